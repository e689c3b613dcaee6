"""Operations on members, carried out: looked at here, done by the server that may write.

`member_plan` decides; this gathers the facts, brings the operation to the primary, has the
key changed where that belongs to it, and makes one ordinary commit. The same request id is
done once. What a commit changed for this server is followed in `took_effect`, on every
server alike, also after a restart.

Core: the network is behind callables.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from configrepo.cluster_settings import Pause, cluster_settings
from configrepo.members import Member
from configrepo.model import Files, ServerId
from configrepo.store import CommitId, Store
from scheduler import disk_space
from scheduler.changes import Changes, lay_over
from scheduler.control_view import ControlRole, ControlView
from scheduler.departing import Departing
from scheduler.errors import SchedulerError
from scheduler.file_changes import changes_between, servers_touched
from scheduler.member_flags import alarms_of, barred, in_order
from scheduler.member_plan import Plan, Situation, plan, told_secrets, with_sealing_key
from scheduler.operations_seam import ChangeId, Operation, Preview, Remove
from scheduler.operations_wire import operation_from_json, operation_to_json
from scheduler.rekeying import NewKey, Rekeying
from scheduler.renaming import Renaming
from scheduler.roster import Roster
from scheduler.submission import THROUGH, Call, Submission, known_person
from scheduler.views import CommitOutcome, Committed, Comparison, Person, Refused, Role
from scheduler.wire import ChangeRequest, outcome_from_json, outcome_to_json

ROUTE = "/operation"
_TIMEOUT_S = 25.0
_FOLDER = "cluster/"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the operations need of the running server.

    `bar` says whether it may lead; `note` writes a line of the audit log; `no_room` says why
    nothing more can be saved on this server's disk.
    """

    view: Callable[[], ControlView]
    now: Callable[[], datetime]
    call: Call
    certificate: str
    bar: Callable[[bool, str, float | None], None]
    note: Callable[[Person, str, str], None]
    no_room: Callable[[], str | None]


class MemberOps:
    """Implements `scheduler.operations_seam.Operations` for one server."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        changes: Changes,
        submission: Submission,
        roster: Roster,
        rekeying: Rekeying,
        renaming: Renaming,
        departing: Departing,
        around: Surroundings,
    ) -> None:
        self._me = me
        self._store = store
        self._changes = changes
        self._submission = submission
        self._roster = roster
        self._rekeying = rekeying
        self._renaming = renaming
        self._departing = departing
        self._around = around
        self._barred: tuple[str, float | None] | None = None
        self._barring = threading.Lock()

    # --- what is seen -----------------------------------------------------------------

    def members(self) -> tuple[Member, ...]:
        """See `Operations`."""
        return self._roster.records()

    def pause(self) -> Pause | None:
        """See `Operations`."""
        return cluster_settings(self._files()).pause

    def alarms(self) -> tuple[str, ...]:
        """What people must not forget."""
        left = self._departing.sentence
        return (*alarms_of(self._files(), self._around.now()), *((left,) if left else ()))

    def preview(self, person: Person, operation: Operation) -> Preview | Refused:
        """See `Operations`."""
        if not person.role.includes(Role.ADMINISTRATOR):
            return Refused("Only an administrator may change who belongs to the cluster, or how.")
        head = self._changes.head()
        planned = self._plan(self._store.files(head), operation)
        if isinstance(planned, Refused):
            return planned
        return Preview(
            operation,
            planned.title,
            planned.effects,
            planned.secrets,
            self._comparison(head, planned),
        )

    def _plan(self, files: Files, operation: Operation) -> Plan | Refused:
        if self._roster.active():
            return plan(files, operation, self._situation())
        if isinstance(operation, ChangeId) and operation.server == self._me:
            return self._renaming.plan_alone(operation.new_id)
        return Refused("This server is in no cluster.")

    def _comparison(self, head: CommitId, planned: Plan) -> Comparison:
        before = self._store.files(head)
        found = changes_between(before, lay_over(before, planned.changes))
        members = tuple(member.id for member in self._roster.active()) or (self._me,)
        return Comparison(head, head, found, servers_touched(found, members) or members, ())

    def _situation(self) -> Situation:
        view = self._around.view()
        leads = view.role is ControlRole.PRIMARY
        alive = {peer.id for peer in view.peers if peer.state in ("alive", "suspect")}
        leader = self._me if leads else view.following
        return Situation(leader, frozenset({*alive, self._me}), self._around.now())

    def _files(self) -> dict[str, str]:
        return self._store.files(self._changes.head())

    # --- what is done -----------------------------------------------------------------

    def carry_out(
        self, person: Person, operation: Operation, base: str, request_id: str
    ) -> CommitOutcome:
        """See `Operations`."""
        outcome = self._carry_out(person, operation, base, request_id)
        what = ", ".join(f"{key} {value}" for key, value in operation_to_json(operation).items())
        match outcome:
            case Committed(revision=revision, sentence=sentence):
                self._around.note(person, what, f"{sentence} Revision {revision}.")
            case Refused(sentence=sentence):
                self._around.note(person, what, sentence)
            case _:
                self._around.note(person, what, "others changed the same meanwhile")
        return outcome

    def _carry_out(
        self, person: Person, operation: Operation, base: str, request_id: str
    ) -> CommitOutcome:
        if not self._roster.active():
            if isinstance(operation, ChangeId) and operation.server == self._me:
                return self._renaming.alone(person, operation.new_id, base, request_id)
            return Refused("This server is in no cluster.")
        refusal = self._submission.standing().refusal
        if refusal is None:
            return self._here(person, operation, base, request_id)
        # Sent again after a switchover it reaches a primary that may not know this person.
        done = self._done(request_id)
        if done is not None:
            return done
        view = self._around.view()
        primary = next((m for m in self._roster.active() if m.id == view.following), None)
        if primary is None:
            return Refused(refusal)
        return self._forward(primary, person, operation, base, request_id)

    def _forward(
        self, primary: Member, person: Person, operation: Operation, base: str, request_id: str
    ) -> CommitOutcome:
        body = {
            "operation": operation_to_json(operation),
            "base": base,
            "request_id": request_id,
            "person": {"name": person.name, "address": person.address, "local": person.local},
        }
        try:
            outcome = outcome_from_json(self._around.call(primary, ROUTE, body, _TIMEOUT_S))
        except SchedulerError as error:
            return Refused(f"BQN {primary.id}, the primary, did not do it: {error}")
        if isinstance(outcome, Committed):
            if operation == Remove(self._me):
                self._departing.leave("This server left the cluster.")
            else:
                self._submission.wait_for(CommitId(outcome.revision))
        return outcome

    def receive(self, sender: ServerId, body: Mapping[str, Any]) -> dict[str, Any]:
        """A secondary forwards an operation. RPC route `/operation`."""
        operation = operation_from_json(body.get("operation"))
        who = body.get("person")
        who = who if isinstance(who, dict) else {}
        claimed = Person(
            str(who.get("name")),
            Role.VIEWER,
            str(who.get("address", "")),
            local=who.get("local") is True,
        )
        person = known_person(self._files(), claimed, sender)
        if isinstance(person, Refused):
            return outcome_to_json(person)
        base, request_id = str(body.get("base")), str(body.get("request_id"))
        through = {THROUGH: str(sender)}
        return outcome_to_json(self._here(person, operation, base, request_id, through))

    def _here(
        self,
        person: Person,
        operation: Operation,
        base: str,
        request_id: str,
        trailers: Mapping[str, str] | None = None,
    ) -> CommitOutcome:
        if not person.role.includes(Role.ADMINISTRATOR):
            return Refused(
                f"{person.name} is no administrator at the primary; log in with an account of "
                f"the cluster that is one."
            )
        head = self._changes.head()
        done = self._done(request_id)
        if done is not None:
            return done
        files = self._store.files(head)
        if not self._store.has(CommitId(base)) or _own(self._store.files(CommitId(base))) != _own(
            files
        ):
            return Refused("The cluster is not what this page showed: look at it again.")
        planned = self._plan(files, operation)
        if isinstance(planned, Refused):
            return planned
        changes, key = dict(planned.changes), None
        if planned.rotates:
            key = self._rekeying.new_key(self._remaining(files, operation))
            changes.update(with_sealing_key(files, key.id))
        message = _message(planned, key)
        request = ChangeRequest(head, changes, message, request_id, trailers=trailers or {})
        outcome = self._submission.acknowledged(self._changes.commit(request, person))
        if isinstance(outcome, Committed) and key is not None:
            return replace(outcome, sentence=f"{outcome.sentence} {_told(key)}")
        return outcome

    def _done(self, request_id: str) -> Committed | None:
        found = self._store.find_trailer("Request-Id", request_id, self._changes.head())
        if found is None:
            return None
        return Committed(found.id, self._me, "This was already saved.", repeated=True)

    def _remaining(self, files: Files, operation: Operation) -> tuple[Member, ...]:
        gone = operation.server if isinstance(operation, Remove) else None
        others = (member for member in self._roster.active() if member.id != self._me)
        return tuple(member for member in others if member.id != gone)

    # --- what follows -----------------------------------------------------------------

    def took_effect(self) -> None:
        """The newest commit is another one: follow what it says of this server."""
        self._rekeying.settle()
        if self._roster.member(self._me) is None:
            self._renaming.follow(self._roster.records(), self._around.certificate)
        self.set_bar()

    def put_in_order(self) -> str:
        """Commit what the primary puts in order by itself; a job. Returns what it did."""
        if not self._roster.active() or self._submission.standing().refusal is not None:
            return "this server does not lead"
        head, view = self._changes.head(), self._around.view()
        reads = {peer.id: peer.schema for peer in view.peers}
        reads[self._me] = self._roster.reads
        found = in_order(self._store.files(head), reads, self._around.now())
        if found is None:
            return "everything is in order"
        request = ChangeRequest(head, found.changes, _message(found, None), f"order-{head}")
        outcome = self._changes.commit(request, Person(f"BQN {self._me}", Role.ADMINISTRATOR))
        return outcome.sentence if isinstance(outcome, Refused) else found.title

    def set_bar(self) -> None:
        """Say to the election whether this server may lead; after a commit and as time goes."""
        with self._barring:
            self._set_bar()

    def _set_bar(self) -> None:
        view = self._around.view()
        above = [p.id for p in view.peers if p.state == "alive" and p.role == "primary"]
        led_by_higher = any(server > self._me for server in above)
        wanted = barred(
            self._files(),
            self._me,
            led_by_higher=led_by_higher or self._barred is not None,
            now=self._around.now(),
            reads=self._roster.reads,
        )
        if wanted is None and self._around.no_room() is not None:
            wanted = (disk_space.BARRED, None)
        if wanted != self._barred:
            self._barred = wanted
            self._around.bar(wanted is None, *(wanted or ("", None)))


def _own(files: Files) -> dict[str, str]:
    return {path: text for path, text in files.items() if path.startswith(_FOLDER)}


def _message(planned: Plan, key: NewKey | None) -> str:
    lines = [planned.title, "", *planned.effects]
    if key is not None:
        lines += told_secrets(planned.secrets)
    return "\n".join(lines)


def _told(key: NewKey) -> str:
    given = ", ".join(f"BQN {server}" for server in key.given)
    told = f"The new key was given to {given}." if given else ""
    if key.missing:
        late = ", ".join(f"BQN {server}" for server in key.missing)
        told += f" {late} could not be reached and asks for it when it is back."
    return told.strip()
