"""Puts together what watches over the cluster: doctor, elections, what if, term starts.

Core: gives each part what it needs of the running server.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, Store
from scheduler.audit import AuditLog
from scheduler.changes import CLUSTER, Changes
from scheduler.control_room import ControlRoom
from scheduler.control_view import ControlRole, ControlView
from scheduler.doctor import Doctor
from scheduler.elections import Elections
from scheduler.elections_seam import IfDies
from scheduler.findings import Standpoint
from scheduler.identity import Identity
from scheduler.member_check import Prober, standpoint
from scheduler.probing import ROUTE, Probing
from scheduler.roster import Roster
from scheduler.rpc import Handler, JoinHandler
from scheduler.rpc_client import call_join
from scheduler.settings_table import Settings
from scheduler.sshd import account
from scheduler.state_dir import StateDir
from scheduler.submission import Call
from scheduler.term_start import begin_term
from scheduler.views import Reach
from scheduler.way_back import ANSWER_S, WayBack, there_and_back
from scheduler.way_back import ROUTE as BACK_ROUTE
from scheduler.what_if import ServerFacts, WhatIfFacts, what_if

# Who is reached through another one counts in the election.
_ANSWER = ("alive", "suspect", "indirect")


class Server(Protocol):
    """The parts of a running server that are watched (`scheduler.assembly.Assembly` has them)."""

    me: ServerId
    settings: Settings
    state: StateDir
    identity: Identity
    control_port: int
    control: ControlRoom
    store: Store
    roster: Roster
    changes: Changes
    audit: AuditLog


class Watching:
    """What watches over the cluster from one server; `call` asks another member."""

    def __init__(self, server: Server, call: Call) -> None:
        self._server = server
        me, state, ssh = server.me, server.state, server.settings.ssh
        prober = Prober(server.identity, ssh.user or account())
        self._back = WayBack(me)
        self._probing = Probing(
            me,
            server.roster.member,
            lambda: state.record().cluster_id,
            prober,
            self._standpoint,
        )

        def check(address: str, control_port: int, ssh_port: int) -> tuple[Reach, ...]:
            own_ports = (server.control_port, ssh.port)
            return there_and_back(me, own_ports, address, control_port, ssh_port, _ask)

        def now() -> datetime:
            return datetime.now(UTC)

        self.doctor = Doctor(
            me,
            state.path / "doctor.json",
            self._members,
            call,
            self._probing.answer,
            check,
            server.audit.write,
            now,
        )
        self.elections = Elections(
            me, state.path / "elections.jsonl", server.audit.write, self._what_if, now
        )
        self.routes: Mapping[str, Handler] = {ROUTE: self._probing.answer}
        self.join_routes: Mapping[str, JoinHandler] = {BACK_ROUTE: self._back.answer}

    def viewed(self, view: ControlView) -> bool:
        """Take in a view of the control room; returns whether `run` has something to do."""
        return self.elections.viewed(view) or view.role is ControlRole.PRIMARY

    def run(self) -> str:
        """Write what happened, and begin a term; both only if there is need."""
        server, written = self._server, self._write_elections()
        return f"{written}; {begin_term(server.control.view, server.store, server.changes)}"

    def _write_elections(self) -> str:
        try:
            return self.elections.write()
        except OSError as error:
            # A full disk must not keep a term from beginning, nor the program from ending.
            return f"what was elected waits to be written: {error}"

    def close(self) -> None:
        """Stop what goes on, and write what was not written."""
        self.doctor.close()
        self._probing.close()
        self._write_elections()

    def _members(self) -> tuple[Member, ...]:
        records = self._server.roster.records()
        return tuple(member for member in records if member.state == "active")

    def _standpoint(self, asker: ServerId) -> Standpoint:
        own, other = self._server.roster.member(self._server.me), self._server.roster.member(asker)
        if own is None:
            return Standpoint()
        dialled = (own.address, *(seen.address for seen in own.seen_from))
        return standpoint(dialled, own.address if other is None else other.address)

    def _what_if(self) -> tuple[IfDies, ...]:
        view = self._server.control.view
        primary = view.id if view.role is ControlRole.PRIMARY else view.following
        drafts = sum(1 for _ in self._server.state.drafts.glob("*.json"))
        servers = tuple(self._facts(member, view) for member in self._server.roster.active())
        return what_if(WhatIfFacts(self._server.me, primary, servers, drafts, self._missing))

    def _facts(self, member: Member, view: ControlView) -> ServerFacts:
        if member.id == self._server.me:
            return ServerFacts(
                self._server.me, True, view.eligible, self._server.store.ref(CLUSTER)
            )
        peer = view.peer(member.id)
        if peer is None:
            return ServerFacts(member.id, False, True, None)
        return ServerFacts(member.id, peer.state in _ANSWER, peer.eligible, peer.head)

    def _missing(self, head: str, of: str) -> int | None:
        if head == of:
            return 0
        one, other = CommitId(head), CommitId(of)
        if not (self._server.store.has(one) and self._server.store.has(other)):
            return None
        return self._server.store.ahead(one, other)


def _ask(address: str, port: int, route: str, body: dict[str, Any]) -> dict[str, Any]:
    answer, _ = call_join(address, port, None, route, body, ANSWER_S)
    return answer
