"""Puts together what applies: the applier, whose turn it is, drift, the mirror.

Core: gives each part what it needs of the running server.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from configrepo.mirroring import MirrorTarget, push_mirror
from configrepo.model import Files, ServerId
from configrepo.store import CommitId, Store
from scheduler.apply_run import ApplyRun, ApplySeams
from scheduler.apply_turn import Staging, Turn
from scheduler.applying import Applier, ApplyCommands
from scheduler.audit import AuditLog
from scheduler.changes import Changes
from scheduler.clock import Clock
from scheduler.control_room import ControlRoom
from scheduler.drift import Drift, DriftSeams
from scheduler.editing import Editing
from scheduler.mirror import Mirror, MirrorSeams
from scheduler.observing import Observer
from scheduler.overview import STALE_S
from scheduler.roster import Roster
from scheduler.running_text import RunningText
from scheduler.settings_table import ApplySection, Settings
from scheduler.state_dir import StateDir
from scheduler.submission import Call
from scheduler.vault import Vault


class Server(Protocol):
    """The parts of a running server that are needed (`scheduler.assembly.Assembly` has them)."""

    me: ServerId
    settings: Settings
    state: StateDir
    store: Store
    vault: Vault
    roster: Roster
    changes: Changes
    observer: Observer
    audit: AuditLog
    clock: Clock
    control: ControlRoom
    editing: Editing


def preset_of(apply: ApplySection) -> Staging | None:
    """How commits are staged by the settings."""
    return None if apply.canary is None else Staging(ServerId(apply.canary), apply.canary_pause_s)


class ApplyParts:
    """What applies on one server; `call` asks another member."""

    def __init__(self, server: Server, call: Call) -> None:
        self._server = server
        self.applier = _applier(server)
        self.run = ApplyRun(
            server.me,
            self.applier,
            server.store,
            ApplySeams(
                head=server.changes.head,
                reports=server.observer.reports,
                members=lambda: frozenset(member.id for member in server.roster.active()),
                monotonic=time.monotonic,
                wake=lambda: server.clock.wake("apply"),
            ),
        )
        self.drift = Drift(
            server.me,
            self.applier,
            DriftSeams(
                files=self._sealed_files,
                newest=lambda: server.store.files(server.changes.head()),
                propose=lambda *asked: server.editing.propose(*asked),
                ask=self.run.ask,
                drifted=self._drifted,
                member=server.roster.member,
                call=call,
                note=server.audit.write,
            ),
        )
        self.mirror = _mirror(server)

    def alarms(self) -> tuple[str, ...]:
        """A staged commit that stopped, a mirror that cannot be pushed to."""
        return (*self.run.alarms(), *self.mirror.alarms())

    def preset(self) -> Staging | None:
        """See `StagingDesk`."""
        return preset_of(self._server.settings.apply)

    def turn(self) -> Turn:
        """See `StagingDesk`."""
        return self.run.turn

    def _sealed_files(self, commit: CommitId) -> Files:
        return self._server.vault.reseal(self._server.store.files(commit))

    def _drifted(self) -> tuple[ServerId, ...]:
        """The servers that report a change from outside, this one included."""
        reports = self._server.observer.reports()
        others = {
            s
            for s, (report, age) in reports.items()
            if report.result == "drifted" and age < STALE_S
        }
        mine = {self._server.me} if self.applier.running().result == "drifted" else set()
        return tuple(sorted(others | mine))


def _applier(server: Server) -> Applier:
    commands = server.settings.apply
    return Applier(
        server.state.path,
        server.me,
        server.store,
        RunningText(server.store, server.vault, server.me),
        ApplyCommands(
            commands.apply_command,
            commands.health_command,
            commands.read_command,
            commands.timeout_s,
            who=commands.who_command,
        ),
        now=lambda: datetime.now(UTC),
    )


def _mirror(server: Server) -> Mirror:
    mirror = server.settings.mirror
    target = MirrorTarget(
        mirror.url or "", mirror.key, mirror.known_hosts, mirror.token_file, mirror.ca_file
    )
    credentials = server.state.path / "mirror.credentials"
    return Mirror(
        mirror.url,
        MirrorSeams(
            push=lambda: push_mirror(server.state.repository, target, credentials),
            refs=server.store.refs,
            role=lambda: server.control.view.role,
            now=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
        ),
    )
