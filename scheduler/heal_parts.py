"""Puts together what joins lines that grew apart, and what people settle of it.

Core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from configrepo.model import ServerId
from configrepo.store import Store
from scheduler.audit import AuditLog
from scheduler.changes import Changes
from scheduler.control_view import ControlRole, ControlView
from scheduler.healing import Healing, HealSeams
from scheduler.presets import PRESETS
from scheduler.replication import Replicator
from scheduler.roster import Roster
from scheduler.settling import Settling
from scheduler.submission import Submission
from scheduler.vault import Vault


@dataclass(frozen=True, slots=True)
class HealParts:
    """Both parts of one server."""

    healing: Healing
    settling: Settling


def heal_parts(
    me: ServerId,
    state: Path,
    store: Store,
    changes: Changes,
    roster: Roster,
    submission: Submission,
    replicator: Replicator,
    vault: Vault,
    audit: AuditLog,
    control: Callable[[], ControlView],
    preset: str,
) -> HealParts:
    """Make the parts; a merge more is allowed in each time after which a server counts as dead."""
    healing = Healing(
        me,
        state,
        store,
        changes,
        roster,
        HealSeams(
            leading=lambda: control().role is ControlRole.PRIMARY,
            confirmed=lambda: {
                server: push.head
                for server, push in replicator.states().items()
                if push.head is not None
            },
            reseal=vault.reseal,
            monotonic=monotonic,
            dead_s=PRESETS[preset].dead_s,
        ),
    )
    settling = Settling(me, store, changes, submission, healing, vault.seal_files, audit.write)
    return HealParts(healing, settling)
