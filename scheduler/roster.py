"""Who belongs to the cluster, as the newest commit here says.

Addresses are those at which this server dials the others.

Core: reads a store.
"""

from __future__ import annotations

from configrepo.members import Member, members_of
from configrepo.model import ServerId
from configrepo.store import CommitId, Store
from scheduler.changes import CLUSTER


class Roster:
    """The members of the newest `cluster` commit; empty while the server is alone."""

    def __init__(self, store: Store, me: ServerId) -> None:
        self._store = store
        self._me = me
        self._read: tuple[CommitId | None, tuple[Member, ...]] = (None, ())

    def everybody(self) -> tuple[Member, ...]:
        """All members, removed ones included."""
        return tuple(member.seen_by(self._me) for member in self.records())

    def records(self) -> tuple[Member, ...]:
        """The same as they are committed."""
        head = self._store.ref(CLUSTER)
        read = self._read
        if read[0] != head:
            found = () if head is None else members_of(self._store.files(head))
            read = self._read = (head, found)
        return read[1]

    def active(self) -> tuple[Member, ...]:
        """The members that belong to the cluster now, by id."""
        return tuple(member for member in self.everybody() if member.state == "active")

    def member(self, server: ServerId) -> Member | None:
        """The active member with that id."""
        return next((m for m in self.active() if m.id == server), None)
