"""Puts together what joins lines that grew apart, and what people settle of it.

Core.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from configrepo.model import ServerId
from configrepo.store import Store
from scheduler.audit import AuditLog
from scheduler.changes import Changes
from scheduler.control_view import ControlRole, ControlView
from scheduler.healing import Healing, HealSeams
from scheduler.presets import PRESETS
from scheduler.replication import Replicator
from scheduler.roster import Roster
from scheduler.settings_table import Settings
from scheduler.settling import Settling
from scheduler.state_dir import StateDir
from scheduler.submission import Submission
from scheduler.vault import Vault


class Server(Protocol):
    """The parts of a running server that are needed (`scheduler.assembly.Assembly` has them)."""

    me: ServerId
    settings: Settings
    state: StateDir
    store: Store
    changes: Changes
    roster: Roster
    submission: Submission
    replicator: Replicator
    vault: Vault
    audit: AuditLog


class HealParts:
    """Both parts of one server.

    One merge more is allowed in each time after which a silent server counts as dead.
    """

    def __init__(self, server: Server, control: Callable[[], ControlView]) -> None:
        seams = HealSeams(
            leading=lambda: control().role is ControlRole.PRIMARY,
            confirmed=lambda: {
                peer: push.head
                for peer, push in server.replicator.states().items()
                if push.head is not None
            },
            reseal=server.vault.reseal,
            monotonic=monotonic,
            dead_s=PRESETS[server.settings.control.preset].dead_s,
        )
        store, changes = server.store, server.changes
        self.healing = Healing(server.me, server.state.path, store, changes, server.roster, seams)
        self.settling = Settling(
            server.me,
            store,
            changes,
            server.submission,
            self.healing,
            server.vault.seal_files,
            server.audit.write,
        )
