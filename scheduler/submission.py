"""Where a change is made: here if this server may write, else at the primary.

A secondary sends the change with the person's name over the RPC connection. The primary
takes the role from its own `user` blocks, so a secondary cannot lend rights; a local
administrator of another server counts as operator. Back on the secondary, the answer
waits (a little) until the commit has arrived here too, so that the next page shows it.

Core: the network is behind a callable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

from configrepo.members import Member
from configrepo.model import Files, ServerId
from configrepo.store import CommitId, Store
from scheduler.accounts import find_user, path_of_user, read_user
from scheduler.apply_turn import CANARY, Staging
from scheduler.changes import CLUSTER, Changes, Standing, line_of
from scheduler.control_view import ControlView
from scheduler.election_events import cause_to_lead
from scheduler.errors import RemoteRefused, Unreachable, WrongIdentity
from scheduler.views import CommitOutcome, Committed, Person, Refused, Role
from scheduler.wire import (
    ChangeRequest,
    outcome_from_json,
    outcome_to_json,
    request_from_json,
    request_to_json,
)

ARRIVES_WITHIN_S = 5.0
SHARED = ("common/", "servers/")
ROUTE = "/commit"
THROUGH = "Through"


class Call(Protocol):
    """Calls a route of another server over mutual TLS."""

    def __call__(
        self, member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        """The answer; raises Unreachable, WrongIdentity or RemoteRefused."""
        ...


def standing_of(
    me: ServerId, control: ControlView, has_cluster: bool, last_member: bool = False
) -> Standing:
    """What this server may write now; the last member of a cluster needs no term."""
    if not has_cluster:
        return Standing(line_of(me), None)
    if last_member:
        return Standing(CLUSTER, None)
    if control.role == "primary":
        return Standing(CLUSTER, control.epoch, cause=cause_to_lead(control))
    if control.following is None:
        return Standing(
            CLUSTER, None, f"No primary can be reached, so nothing can be saved: {control.sentence}"
        )
    cut = _cut_off(control)
    sentence = f"BQN {control.following} is the primary; changes are made there."
    return Standing(CLUSTER, None, sentence if cut is None else cut)


def _cut_off(control: ControlView) -> str | None:
    """Why changes do not reach the primary, if only other servers reach it; else None."""
    primary = None if control.following is None else control.peer(control.following)
    if primary is None or primary.state != "indirect":
        return None
    via = "other servers" if primary.via is None else f"BQN {primary.via}"
    return (
        f"BQN {primary.id} is the primary, but this server reaches it only through {via}, so "
        f"nothing can be saved here. Your input is kept; save at a server that reaches it."
    )


Acknowledge = Callable[[CommitOutcome, Collection[ServerId]], CommitOutcome]


class Submission:
    """Brings a change to the server that may write it.

    Attributes:
        no_room: why nothing more can be saved on the disk of this server, or None.
    """

    def __init__(
        self,
        me: ServerId,
        store: Store,
        changes: Changes,
        control: Callable[[], ControlView],
        members: Callable[[], tuple[Member, ...]],
        call: Call,
        preset: Staging | None = None,
        acknowledge: Acknowledge = lambda outcome, _also: outcome,
        no_room: Callable[[], str | None] = lambda: None,
        too_new: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._acknowledge = acknowledge
        self.no_room = no_room
        self._too_new = too_new
        self._me = me
        self._store = store
        self._changes = changes
        self._preset = preset
        self._control = control
        self._members = members
        self._call = call
        self._arrived = threading.Condition()

    def standing(self) -> Standing:
        """What this server may write now."""
        has_cluster = self._store.ref(CLUSTER) is not None
        if has_cluster and (sentence := self._too_new()) is not None:
            return Standing(CLUSTER, None, f"Nothing can be saved on this server: {sentence}.")
        last = has_cluster and [member.id for member in self._members()] == [self._me]
        return standing_of(self._me, self._control(), has_cluster, last)

    def refusal(self) -> str | None:
        """Why nothing can be saved anywhere now, or None."""
        if full := self._full():
            return full
        standing = self.standing()
        return standing.refusal if self._primary() is None else None

    def _full(self) -> str | None:
        """Why nothing can be saved on this server for want of room, and where it can; or None."""
        full, primary = self.no_room(), self._primary()
        if full is None or primary is None:
            return full
        return f"{full} BQN {primary.id} leads: save there meanwhile."

    def submit(
        self, request: ChangeRequest, person: Person, own_password: bool = False
    ) -> CommitOutcome:
        """Commit here, or at the primary."""
        if full := self._full():
            return Refused(full)
        standing = self.standing()
        if standing.refusal is None:
            return self.acknowledged(
                self._changes.commit(self._staged(request), person, own_password)
            )
        if (done := self._saved_here(request)) is not None:
            return done
        primary = self._primary()
        if primary is None:
            return Refused(standing.refusal)
        return self._forward(primary, request, person, own_password)

    def _saved_here(self, request: ChangeRequest) -> Committed | None:
        """The commit of the same request in the history here, which the primary may not have yet.

        This server made it just before a crash, and another one leads meanwhile: the lines
        are joined, and the change is not made twice.
        """
        done = self._store.find_trailer("Request-Id", request.request_id, self._changes.head())
        if done is None:
            return None
        told = "This was already saved."
        lone = "It is on this server; whether others have it already is not known here."
        return Committed(done.id, self._me, told, repeated=True, warning=lone)

    def _staged(self, request: ChangeRequest) -> ChangeRequest:
        """A change with the staging of this server's settings, if it names none of its own."""
        if self._preset is None or CANARY in request.trailers:
            return request
        if not any(path.startswith(SHARED) for path in request.changes):
            return request
        return replace(request, trailers={**self._preset.trailers, **request.trailers})

    def _primary(self) -> Member | None:
        control = self._control()
        following = control.following if _cut_off(control) is None else None
        return next((m for m in self._members() if m.id == following), None)

    def _forward(
        self, primary: Member, request: ChangeRequest, person: Person, own_password: bool
    ) -> CommitOutcome:
        body = {**request_to_json(request, person), "own_password": own_password}
        try:
            outcome = outcome_from_json(self._call(primary, ROUTE, body, 20.0))
        except (Unreachable, WrongIdentity) as error:
            return Refused(
                f"The primary (BQN {primary.id}) could not be reached: {error}. "
                f"Your input is kept; try again."
            )
        except RemoteRefused as error:
            return Refused(f"The primary (BQN {primary.id}) refused: {error}")
        if isinstance(outcome, Committed):
            self.wait_for(CommitId(outcome.revision))
        return outcome

    def wait_for(self, commit: CommitId) -> None:
        """Wait (a little) until that commit has arrived here."""

        def here() -> bool:
            head = self._store.ref(CLUSTER)
            return (
                head is not None
                and self._store.has(commit)
                and self._store.is_ancestor(commit, head)
            )

        with self._arrived:
            self._arrived.wait_for(here, ARRIVES_WITHIN_S)

    def arrived(self) -> None:
        """Commits came in: wake those who wait for one."""
        with self._arrived:
            self._arrived.notify_all()

    def receive(self, sender: ServerId, body: Mapping[str, Any]) -> dict[str, Any]:
        """A secondary forwards a change. RPC route `/commit`."""
        if full := self.no_room():
            return outcome_to_json(Refused(full))
        request, claimed = request_from_json(body)
        own_password = body.get("own_password") is True
        files = self._store.files(self._changes.head())
        person = known_person(files, claimed, sender)
        if isinstance(person, Refused):
            return outcome_to_json(person)
        own_password = own_password and _only_own_password(files, request, person)
        # Only the sender knows whether that person is there: the commit says who vouched.
        vouched = {**request.trailers, THROUGH: str(sender)}
        request = self._staged(replace(request, trailers=vouched))
        outcome = self._changes.commit(request, person, own_password)
        return outcome_to_json(self.acknowledged(outcome))

    def acknowledged(
        self, outcome: CommitOutcome, also: Collection[ServerId] = ()
    ) -> CommitOutcome:
        """Wait until a commit of this server is where the setting `ack` wants it.

        Args:
            outcome: what became of a change; what is no commit is handed through.
            also: servers that answer although they follow nobody yet.
        """
        return self._acknowledge(outcome, also)


def known_person(files: Files, claimed: Person, sender: ServerId) -> Person | Refused:
    """The person with the role that this server's own configuration gives.

    A local administrator of another server counts as operator.
    """
    where = f"{claimed.address} through BQN {sender}"
    if claimed.local:
        return Person(f"{claimed.name} of BQN {sender}", Role.OPERATOR, where)
    user = find_user(files, claimed.name)
    if user is None:
        return Refused(f"The primary knows no user {claimed.name!r}.")
    return Person(user.name, user.role, where)


def _only_own_password(files: Files, request: ChangeRequest, person: Person) -> bool:
    path = path_of_user(person.name)
    text = request.changes.get(path)
    if set(request.changes) != {path} or text is None or path not in files:
        return False

    def others(block: str) -> list[str]:
        return sorted(line for line in read_user(block).lines if not line.startswith("password "))

    return others(files[path]) == others(text)
