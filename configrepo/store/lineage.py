"""Questions about the newest part of the history, answered without starting git each time.

A commit usually has one parent, and then its history is itself and the history of that
parent: what git listed before is only continued. Wherever the history forks or nothing is
known, git is asked. The answers are those of git.

Edge: git processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configrepo import git
from configrepo.remembered import Remembered
from configrepo.revision import CommitId, Revision

_NEAR = 64
_KEPT = 40_000
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class _Listed:
    """The newest commits of a history; `whole` if there are no others."""

    ids: tuple[CommitId, ...]
    whole: bool


class Lineage:
    """The newest commits of the lines of one repository."""

    def __init__(
        self, path: Path, revision: Callable[[CommitId], Revision], quarantine: Path | None
    ) -> None:
        self._path = path
        self._revision = revision
        self._quarantine = quarantine
        self._listed: Remembered[CommitId, _Listed] = Remembered(_KEPT)

    def newest(self, start: CommitId, limit: int) -> tuple[CommitId, ...]:
        """The last `limit` commits of a history, newest first and children before parents.

        Raises:
            NotFound: there is no such commit.
        """
        found = self._continued(start, limit)
        if found is None:
            ids = git.rev_list(self._path, [start], limit=limit, quarantine=self._quarantine)
            found = _Listed(tuple(ids), whole=len(ids) < limit)
        return self._listed.keep(start, found, len(found.ids)).ids[:limit]

    def _continued(self, start: CommitId, limit: int) -> _Listed | None:
        """The same, if it continues what is known."""
        steps: list[CommitId] = []
        one = start
        while len(steps) < _NEAR:
            known = self._listed.get(one)
            if known is not None and (known.whole or len(steps) + len(known.ids) >= limit):
                ids = (*steps, *known.ids)
                most = max(limit, _LONGEST)
                return _Listed(ids[:most], known.whole and len(ids) <= most)
            parents = self._revision(one).parents
            if len(parents) != 1:
                return None
            steps.append(one)
            one = parents[0]
        return None

    def ahead(self, commit: CommitId, of: CommitId) -> int:
        """How many commits `commit` has that `of` has not.

        Raises:
            NotFound: one of them is not here.
        """
        one = commit
        for steps in range(_NEAR):
            if one == of:
                return steps
            parents = self._revision(one).parents
            if len(parents) != 1:
                break
            one = parents[0]
        listed = git.rev_list(self._path, [commit], not_from=[of], quarantine=self._quarantine)
        return len(listed)
