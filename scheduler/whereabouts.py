"""Which servers have a commit on their disks, and since when a server lacks one.

A server has a commit if the newest one that it acknowledged or reported grew from it.
What it has not said is not assumed.

Core: reads a store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from configrepo.errors import ConfigRepoError
from configrepo.model import ServerId
from configrepo.revision import CommitId
from configrepo.store import Store
from scheduler.views import Whereabouts

_CACHED = 512


class Whereabout:
    """Answers for one server."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        head: Callable[[], CommitId],
        members: Callable[[], Collection[ServerId]],
        heads: Callable[[], Mapping[ServerId, Collection[str]]],
    ) -> None:
        """Nothing is looked up yet.

        Args:
            me: this server.
            store: its repository.
            head: the newest commit here.
            members: all servers of the cluster; empty while this server is alone.
            heads: the newest commits that each other server said it has.
        """
        self._me = me
        self._store = store
        self._head = head
        self._members = members
        self._heads = heads
        self._lacking = lru_cache(_CACHED)(self._ask_lacking)

    def of(self, commits: Sequence[str]) -> dict[str, Whereabouts]:
        """Who has each of these commits of this server's history."""
        head = self._head()
        others = [member for member in self._members() if member != self._me]
        told = self._heads()
        lacked = {other: self._lacked_by(head, told.get(other, ())) for other in others}
        return {
            commit: Whereabouts(
                (self._me, *(other for other in others if _has(lacked[other], commit))),
                len(others) + 1,
            )
            for commit in commits
        }

    def lacks_since(self, has: str | None) -> datetime | None:
        """When the oldest commit was made that a server with commit `has` lacks."""
        head = self._head()
        if has is None or has == head:
            return None
        lacking = self._known_lacking(head, has)
        return self._store.revision(lacking[-1]).time if lacking else None

    def _lacked_by(self, head: CommitId, heads: Iterable[str]) -> frozenset[str] | None:
        """The commits that a server lacks; None if it said nothing that can be judged."""
        lists = [self._known_lacking(head, one) for one in heads]
        known = [frozenset[str](found) for found in lists if found is not None]
        return min(known, key=len) if known else None

    def _known_lacking(self, head: CommitId, has: str) -> tuple[CommitId, ...] | None:
        try:
            return () if has == head else self._lacking(head, CommitId(has))
        except ConfigRepoError:
            # It has something that never arrived here; nothing follows from that.
            return None

    def _ask_lacking(self, head: CommitId, has: CommitId) -> tuple[CommitId, ...]:
        return self._store.missing(head, has)


def _has(lacked: frozenset[str] | None, commit: str) -> bool:
    return lacked is not None and commit not in lacked
