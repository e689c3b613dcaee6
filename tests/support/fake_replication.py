"""Replication in memory: every server as the overview of the scene says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from configrepo.model import ServerId
from scheduler.replication_seam import ReplicationView, ReplicaView, RepositoryView
from scheduler.views import Overview, Person, Refused, Role


class FakeReplication:
    """The whole `ReplicationDesk`; a test may set `view` and read `asked`."""

    def __init__(self, overview: Callable[[], Overview]) -> None:
        self._overview = overview
        self.view: ReplicationView | None = None
        self.asked: list[ServerId | None] = []

    def standing(self) -> ReplicationView:
        """What was set, else what follows from the overview."""
        return self.view or self.of_overview()

    def of_overview(self) -> ReplicationView:
        """Nothing went wrong anywhere."""
        seen = self._overview()
        servers = tuple(
            ReplicaView(
                id=one.id,
                name=one.name,
                state=one.sync,
                sentence=one.sync_sentence,
                behind=one.behind,
                saved=one.head,
                here=one.id == seen.me,
            )
            for one in seen.servers
        )
        return ReplicationView(
            me=seen.me,
            leading=seen.primary == seen.me,
            primary=seen.primary,
            ack="one",
            head=servers[0].saved or "0" * 40,
            servers=servers,
            repository=RepositoryView(7_340_032, 312, 3, None, 0.42, 64 << 20),
        )

    def changed(self, server: int, **changes: object) -> None:
        """Change the row of one server."""
        view = self.standing()
        rows = tuple(
            replace(row, **changes) if row.id == server else row  # type: ignore[arg-type]
            for row in view.servers
        )
        self.view = replace(view, servers=rows)

    def now(self, person: Person, server: ServerId | None) -> str | Refused:
        """Note who was asked for."""
        if not person.role.includes(Role.OPERATOR):
            return Refused("Only an operator may start replication.")
        self.asked.append(server)
        names = "all other servers" if server is None else f"BQN {server}"
        return f"Sending to {names} was started."
