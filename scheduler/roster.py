"""Who belongs to the cluster, as the newest commit here says.

Addresses are those at which this server dials the others.

Core: reads a store.
"""

from __future__ import annotations

from configrepo.cluster_settings import ClusterSettings, cluster_settings
from configrepo.members import Member, members_of
from configrepo.model import SCHEMA, ServerId
from configrepo.store import CommitId, Store
from scheduler.changes import CLUSTER
from scheduler.compatibility import too_new


class Roster:
    """The members of the newest `cluster` commit; empty while the server is alone."""

    def __init__(self, store: Store, me: ServerId, reads: int = SCHEMA) -> None:
        """`reads` is the newest schema that this release reads."""
        self._store = store
        self._me = me
        self.reads = reads
        self._read: tuple[CommitId | None, tuple[Member, ...], ClusterSettings] = (
            None,
            (),
            ClusterSettings(),
        )

    def everybody(self) -> tuple[Member, ...]:
        """All members, removed ones included."""
        return tuple(member.seen_by(self._me) for member in self.records())

    def records(self) -> tuple[Member, ...]:
        """The same as they are committed."""
        return self._newest()[1]

    @property
    def settings(self) -> ClusterSettings:
        """What holds for the cluster as a whole."""
        return self._newest()[2]

    @property
    def schema(self) -> int:
        """The schema of the configuration that the cluster uses."""
        return self.settings.format

    def too_new(self) -> str | None:
        """Why this release cannot use the newest commit; None if it can."""
        return too_new(self.schema, self.reads)

    def _newest(self) -> tuple[CommitId | None, tuple[Member, ...], ClusterSettings]:
        head = self._store.ref(CLUSTER)
        read = self._read
        if read[0] != head:
            files = {} if head is None else self._store.files(head)
            read = self._read = (head, members_of(files), cluster_settings(files))
        return read

    def active(self) -> tuple[Member, ...]:
        """The members that belong to the cluster now, by id."""
        return tuple(member for member in self.everybody() if member.state == "active")

    def member(self, server: ServerId) -> Member | None:
        """The active member with that id."""
        return next((m for m in self.active() if m.id == server), None)
