"""Another id for this server: alone by a commit of its own, in a cluster as the commit says.

The id lives in the state directory. Everything that carries it (control port, names of
refs, the cookie of the GUI) is made at the start of the program, so the program restarts
itself once the new id is on the disk. What was committed under the old id stays there, and
the line of the new id begins anew from the factory root with what the old one held: every
commit names the server that made it, and that was another one.

Core: the restart is a callable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from configrepo.errors import StoreError
from configrepo.factory import FACTORY_ROOT
from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate, Store
from configrepo.store import Person as Author
from scheduler.changes import REQUEST_ID, SENT_WRONG, Changes, lay_over, line_of
from scheduler.file_changes import changes_between
from scheduler.member_plan import Plan, refusal_of_id, renamed_files
from scheduler.state_dir import StateDir
from scheduler.views import CommitOutcome, Committed, Comparison, Person, Refused, Role

RESTARTING = "This server is restarting with another id; try again in a moment."


class Renaming:
    """Changes the id of this server."""

    def __init__(
        self,
        me: ServerId,
        state: StateDir,
        store: Store,
        changes: Changes,
        restart: Callable[[], None],
    ) -> None:
        self._me = me
        self._state = state
        self._store = store
        self._changes = changes
        self._restart = restart

    def plan_alone(self, new_id: ServerId) -> Plan | Refused:
        """What it will do to a server that is in no cluster."""
        refused = refusal_of_id(new_id, self._me)
        if refused is not None:
            return refused
        line = self._store.ref(line_of(new_id))
        if line is not None and not self._unfinished(line):
            return Refused(
                f"This repository holds the history of a BQN {new_id} already; take another id."
            )
        files = self._store.files(self._changes.head())
        effects = (
            f"This server becomes BQN {new_id}; its own part of the configuration moves along.",
            "The program restarts by itself. Its pages end: log in again. If it processes "
            "traffic, the restart can interrupt it briefly.",
            f"It then listens on control port {63500 + new_id}, unless its settings say another.",
            f"What was committed under the id {self._me} stays under the id {self._me}.",
        )
        return Plan(
            f"Change the id of this server from {self._me} to {new_id}",
            effects,
            renamed_files(files, self._me, new_id),
        )

    def _unfinished(self, line: CommitId) -> bool:
        """Whether only the beginning of a change of id is there: this server never had that id.

        Its program ended, or its disk was full, before the id itself was written.
        """
        return self._store.revision(line).trailers.get("Server") == str(self._me)

    def comparison(self, plan: Plan) -> Comparison:
        """What such a plan commits."""
        head = self._changes.head()
        before = self._store.files(head)
        changed = changes_between(before, lay_over(before, plan.changes))
        return Comparison(head, head, changed, (self._me,), ())

    def alone(self, person: Person, new_id: ServerId, base: str, request_id: str) -> CommitOutcome:
        """Become another id; the program restarts after this returned."""
        if not person.role.includes(Role.ADMINISTRATOR):
            return Refused("Only an administrator may change the id.")
        if not REQUEST_ID.fullmatch(request_id):
            return Refused(SENT_WRONG)
        done = self._store.find_trailer("Request-Id", request_id, self._changes.head())
        if done is not None:
            return Committed(done.id, self._me, "This was already saved.", repeated=True)
        self._changes.hold(RESTARTING)
        outcome: CommitOutcome | None = None
        try:
            outcome = self._write(person, new_id, base, request_id)
        finally:
            if not isinstance(outcome, Committed):
                self._changes.release()
        if isinstance(outcome, Committed):
            self.adopt(new_id)
        return outcome

    def _write(
        self, person: Person, new_id: ServerId, base: str, request_id: str
    ) -> Committed | Refused:
        head = self._changes.head()
        if head != base:
            return Refused("Somebody committed meanwhile: look at it again.")
        plan = self.plan_alone(new_id)
        if isinstance(plan, Refused):
            return plan
        line = line_of(new_id)
        begun = self._store.ref(line)
        try:
            commit = self._store.write_commit(
                (FACTORY_ROOT if begun is None else begun,),
                lay_over(self._store.files(head), plan.changes),
                Author(person.name, f"{person.name}@bqn-{self._me}.invalid"),
                plan.title,
                {"Server": str(self._me), "Request-Id": request_id},
            )
            self._store.move((RefUpdate(line, begun, commit),), plan.title)
        except StoreError as error:
            return Refused(f"Nothing was changed: {error}.")
        self._store.set_head(line)
        return Committed(
            commit, self._me, f"This server becomes BQN {new_id}; its program restarts by itself."
        )

    def adopt(self, new_id: ServerId) -> None:
        """Be another id from the restart on, which follows."""
        self._changes.hold(RESTARTING)
        try:
            self._state.write_record(replace(self._state.record(), id=new_id))
        except OSError:  # the disk is full: it stays what it was
            self._changes.release()
            raise
        self._restart()

    def follow(self, members: tuple[Member, ...], certificate: str) -> bool:
        """Adopt the id that the cluster gave to this server; whether it gave one."""
        own = [member for member in members if member.certificate == certificate]
        if not any(member.id == self._me and member.state == "removed" for member in own):
            return False
        for member in own:
            if member.state == "active":
                self.adopt(member.id)
                return True
        return False
