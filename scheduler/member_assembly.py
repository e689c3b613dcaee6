"""Puts together what operations on members need, for one running server.

Core: wires parts that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, Store
from scheduler import departing, member_ops, rekeying, tls
from scheduler.applying import Applier
from scheduler.audit import AuditLog
from scheduler.changes import Changes
from scheduler.clock import Clock
from scheduler.control_room import ControlRoom
from scheduler.departing import Departing, Left
from scheduler.doors import Doors
from scheduler.inviting import Inviting
from scheduler.member_ops import MemberOps, Surroundings
from scheduler.reactions import Reactions
from scheduler.rekeying import Rekeying
from scheduler.renaming import Renaming
from scheduler.roster import Roster
from scheduler.rpc import Handler, JoinHandler
from scheduler.rpc_client import call_join
from scheduler.state_dir import StateDir
from scheduler.submission import Call, Submission
from scheduler.vault import Vault

_ASK_S = 4.0


@dataclass(frozen=True, slots=True)
class Given:
    """The parts that exist already; those of `later` are made after this."""

    me: ServerId
    state: StateDir
    store: Store
    vault: Vault
    changes: Changes
    submission: Submission
    roster: Roster
    applier: Applier
    inviting: Inviting
    control: ControlRoom
    audit: AuditLog
    certificate: str
    call: Call
    restart: Callable[[], None]
    later: Callable[[], tuple[Doors, Reactions]]


class MemberParts:
    """The parts behind operations on members."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._rekeying = Rekeying(given.vault, self._newest, self._others, given.call)
        self._departing = Departing(
            given.me,
            given.store,
            given.changes,
            given.vault,
            given.roster.everybody,
            self._running,
            lambda: given.control.view,
            _ask,
            Left(
                self._forget_cluster,
                tell=lambda: given.later()[1].cluster_moved(),
                fetch=lambda source, head: given.later()[1].catch_up(source, head),
            ),
        )
        self.ops = MemberOps(
            given.me,
            given.store,
            given.changes,
            given.submission,
            given.roster,
            self._rekeying,
            Renaming(given.me, given.state, given.store, given.changes, given.restart),
            self._departing,
            Surroundings(
                view=lambda: given.control.view,
                now=lambda: datetime.now(UTC),
                call=given.call,
                certificate=given.certificate,
                bar=given.control.set_eligible,
                note=given.audit.write,
            ),
        )

    def start(self, clock: Clock) -> None:
        """Follow what the newest commit says, and look again and again."""
        self.ops.took_effect()
        clock.every(2.0, self._departing.look, "ask whether it was removed", "members")
        clock.every(2.0, self._rekeying.fetch, "fetch the key of the cluster", "members")
        clock.every(2.0, self._bar, "say whether it may lead", "members")

    @property
    def routes(self) -> dict[str, Handler]:
        """What members may ask."""
        return {rekeying.ROUTE: self._rekeying.answer, member_ops.ROUTE: self.ops.receive}

    @property
    def join_routes(self) -> dict[str, JoinHandler]:
        """What anybody may ask."""
        return {departing.ROUTE: self._departing.answer}

    def _newest(self) -> dict[str, str]:
        return self._given.store.files(self._given.changes.head())

    def _others(self) -> list[Member]:
        following = self._given.control.view.following
        others = [m for m in self._given.roster.active() if m.id != self._given.me]
        return sorted(others, key=lambda member: member.id != following)

    def _running(self) -> CommitId | None:
        return self._given.applier.running().commit

    def _forget_cluster(self) -> None:
        self._given.state.set_cluster(None)
        self._given.inviting.withdraw()
        self._given.later()[0].set()

    def _bar(self) -> str:
        self.ops.set_bar()
        return "said whether this server may lead"


def _ask(member: Member, body: Mapping[str, Any]) -> dict[str, Any]:
    pin = tls.digest_b64(member.certificate)
    answer, _ = call_join(
        member.address, member.control_port, pin, departing.ROUTE, dict(body), _ASK_S
    )
    return answer
