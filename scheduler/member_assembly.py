"""Puts together what operations on members need, for one running server.

Core: wires parts that it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, Store
from scheduler import departing, member_ops, rekeying, tls
from scheduler.applying import Applier
from scheduler.audit import AuditLog
from scheduler.changes import Changes, line_of
from scheduler.clock import Clock
from scheduler.control_room import ControlRoom
from scheduler.departing import Departing, Left
from scheduler.doors import Doors
from scheduler.identity import Identity
from scheduler.inviting import Former, Inviting
from scheduler.joining import Joining
from scheduler.member_ops import MemberOps, Surroundings
from scheduler.membership import Membership
from scheduler.reactions import Reactions, target_of
from scheduler.rekeying import Rekeying
from scheduler.renaming import Renaming
from scheduler.replication import Replicator
from scheduler.roster import Roster
from scheduler.rpc import Handler, JoinHandler
from scheduler.rpc_client import call_join
from scheduler.state_dir import StateDir
from scheduler.submission import Call, Submission
from scheduler.succeeding import Succeeding
from scheduler.unifying import Unifying
from scheduler.vault import Vault

_ASK_S = 4.0


class Given(Protocol):
    """The running server; `doors`, `reactions` and `replicator` are made after this."""

    me: ServerId
    identity: Identity
    state: StateDir
    store: Store
    vault: Vault
    changes: Changes
    submission: Submission
    roster: Roster
    applier: Applier
    unifying: Unifying
    membership: Membership
    inviting: Inviting
    joining: Joining
    control: ControlRoom
    audit: AuditLog
    doors: Doors
    reactions: Reactions
    replicator: Replicator

    def restart(self) -> None:
        """Start the program again."""
        ...


class MemberParts:
    """The parts behind operations on members."""

    def __init__(self, given: Given, call: Call) -> None:
        self._given = given
        self._rekeying = Rekeying(
            given.vault,
            self._newest,
            self._others,
            call,
            lambda: given.control.view.following,
        )
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
                tell=lambda: given.reactions.cluster_moved(),
                fetch=lambda source, head: given.reactions.catch_up(source, head),
            ),
        )
        self._succeeding = Succeeding(given.me, given.store, given.joining, self._fetch)
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
                call=call,
                certificate=given.identity.certificate_b64,
                bar=given.control.set_eligible,
                note=given.audit.write,
                no_room=given.submission.no_room,
            ),
        )

    def start(self, clock: Clock) -> None:
        """Follow what the newest commit says, and look again and again."""
        self.ops.took_effect()
        clock.every(2.0, self._departing.look, "ask whether it was removed", "members")
        clock.every(2.0, self._rekeying.fetch, "fetch the key of the cluster", "members")
        clock.every(2.0, self._succeeding.run, "take the place of a server", "members")
        clock.every(5.0, self._fetch_joiner, "fetch the joiner", "push")
        # Not behind jobs that ask others: whose disk is full must say so at once.
        clock.every(1.0, self._bar, "say whether it may lead", "disk")
        clock.every(5.0, self.ops.put_in_order, "put in order", "members")
        # Whoever is told so by a member asks at once what that means.
        self._given.control.on_removed = lambda _: clock.wake("ask whether it was removed")

    def new_key_without(self, server: ServerId) -> str:
        """Make a key and give it to the members but one; returns its id."""
        others = [member for member in self._others() if member.id != server]
        return self._rekeying.new_key(others).id

    @property
    def routes(self) -> dict[str, Handler]:
        """What members may ask."""
        return {rekeying.ROUTE: self._rekeying.answer, member_ops.ROUTE: self.ops.receive}

    @property
    def join_routes(self) -> dict[str, JoinHandler]:
        """What anybody may ask."""
        return {departing.ROUTE: self._departing.answer}

    def only_as_member(self, apply: Callable[[], str | None]) -> Callable[[], str | None]:
        """The job that applies, held while the newest commit knows this server no more.

        A removed server goes on with what it ran, a renamed one restarts first: the commit
        holds nothing of its own for it.
        """

        def guarded() -> str | None:
            roster, agreed = self._given.roster, self._given.joining.agreed
            if agreed is not None and agreed.former is not None:
                return f"this server is taking the place of BQN {self._given.me}"
            if roster.active() and roster.member(self._given.me) is None:
                return "what runs stays: the newest commit knows this server no more"
            if (sentence := roster.too_new()) is not None:
                return f"what runs stays: {sentence}"
            return apply()

        return guarded

    def _fetch_joiner(self) -> str:
        admitted = self._given.inviting.admitted
        if admitted is None or self._given.unifying.joiner() is not None:
            return "nobody is joining"
        refused = self._given.membership.fetch_admitted()
        return refused.sentence if refused else f"the line of BQN {admitted.id} was fetched"

    def _newest(self) -> dict[str, str]:
        return self._given.store.files(self._given.changes.head())

    def _others(self) -> list[Member]:
        following = self._given.control.view.following
        others = [m for m in self._given.roster.active() if m.id != self._given.me]
        return sorted(others, key=lambda member: member.id != following)

    def _fetch(self, member: Member, line: str) -> None:
        self._given.replicator.fetch_from(target_of(member), (line,))

    def _running(self) -> CommitId | None:
        return self._given.applier.running().commit

    def _forget_cluster(self) -> None:
        self._given.state.set_cluster(None)
        self._given.inviting.withdraw()
        self._given.doors.set()

    def _bar(self) -> str:
        self.ops.set_bar()
        return "said whether this server may lead"


def former_of(store: Store, roster: Roster, server: ServerId) -> Former | None:
    """Whose place a server takes that is invited as a replacement."""
    line = store.ref(line_of(server))
    record = next((member for member in roster.records() if member.id == server), None)
    if line is None or record is None:
        return None
    return Former(line, (record.ssh_key, *(key.ssh_key for key in record.former_keys)))


def _ask(member: Member, body: Mapping[str, Any]) -> dict[str, Any]:
    pin = tls.digest_b64(member.certificate)
    answer, _ = call_join(
        member.address, member.control_port, pin, departing.ROUTE, dict(body), _ASK_S
    )
    return answer
