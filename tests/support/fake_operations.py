"""Operations on members in memory: the real plan over the fake's newest tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from configrepo.cluster_settings import Pause, cluster_settings
from configrepo.members import Member, member_file, members_of
from configrepo.model import ServerId
from scheduler.changes import lay_over
from scheduler.file_changes import changes_between, servers_touched
from scheduler.member_plan import Plan, Situation, plan
from scheduler.operations_seam import Operation, Preview
from scheduler.views import CommitOutcome, Comparison, Person, Refused
from tests.support import fake_scenes as scenes

if TYPE_CHECKING:
    from tests.support.fake_users import FakeUsers


class FakeOperations:
    """Implements `scheduler.operations_seam.Operations` over the fake's commits."""

    def __init__(self, desk: FakeUsers) -> None:
        self._desk = desk
        self.done: list[Operation] = []

    def _files(self) -> dict[str, str]:
        """The newest tree; the examples have no records, so they are made from the view."""
        files = dict(self._desk.newest_files())
        if members_of(files) or not self._desk.view.clustered:
            return files
        return files | dict(member_file(_record(server.id)) for server in self._desk.view.servers)

    def members(self) -> tuple[Member, ...]:
        """The records."""
        return members_of(self._files())

    def pause(self) -> Pause | None:
        """The pause."""
        return cluster_settings(self._files()).pause

    def preview(self, person: Person, operation: Operation) -> Preview | Refused:
        """What the real plan says."""
        files = self._files()
        planned = self._plan(operation)
        if isinstance(planned, Refused):
            return planned
        found = changes_between(files, lay_over(files, planned.changes))
        members = tuple(server.id for server in self._desk.view.servers)
        head = self._desk.head
        comparison = Comparison(head, head, found, servers_touched(found, members) or members, ())
        return Preview(operation, planned.title, planned.effects, planned.secrets, comparison)

    def carry_out(
        self, person: Person, operation: Operation, base: str, request_id: str
    ) -> CommitOutcome:
        """Commit what the plan changes."""
        planned = self._plan(operation)
        if isinstance(planned, Refused):
            return planned
        self.done.append(operation)
        tree = lay_over(self._files(), planned.changes)
        return self._desk.commit_tree(person, tree, planned.title, request_id)

    def _plan(self, operation: Operation) -> Plan | Refused:
        view = self._desk.view
        if self._desk.refusal:
            return Refused(self._desk.refusal)
        if not view.clustered:
            return Refused("This server is in no cluster.")
        alive = frozenset(server.id for server in view.servers if server.state == "ready")
        return plan(self._files(), operation, Situation(view.primary, alive, scenes.NOW))


def _record(server: ServerId) -> Member:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 42 + str(int(server) % 10)
    address = f"192.168.56.{111 + server}"
    return Member(
        server, f"bqn{server}", address, 22, 63500 + server, "QUJD", key, key, state="active"
    )
