"""Keeps the repository small and free of what killed processes left, while everything runs.

Loose objects and small packs are put together when there are many of them; nothing is ever
dropped. What commits changed is noted (git's commit-graph), so that the history of one object
is found without reading everything. Leftovers are removed only while no git process works on
the repository, and only old ones: nobody's lock or half-received push is taken away.

Core: works on a repository.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from configrepo import durable, git

MOST_LOOSE: Final = 2_000
MOST_PACKS: Final = 40

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """How the repository is kept; `packed` is when it was last packed.

    `removed` is what killed processes had left, `unsound` what git said of the repository
    after that, if it is not whole.
    """

    loose: int
    packs: int
    size: int
    packed: datetime | None = None
    removed: tuple[str, ...] = ()
    unsound: str | None = None


class Upkeep:
    """The upkeep of one repository."""

    def __init__(
        self, repository: Path, now: Callable[[], datetime], most_loose: int = MOST_LOOSE
    ) -> None:
        self._repository = repository
        self._most_loose = most_loose
        self._now = now
        self._lock = threading.Lock()
        self._kept: Kept | None = None

    def kept(self) -> Kept | None:
        """What the last look found; None before the first."""
        return self._kept

    def run(self) -> str:
        """Recover, count, and pack if there is much to pack; returns one sentence."""
        with self._lock:
            removed: tuple[str, ...] = ()
            unsound: str | None = None
            if not git.is_running(self._repository):
                removed = durable.recover(self._repository)
            if removed:
                unsound = git.fsck(self._repository, connectivity_only=True)
                _log.warning("leftovers were removed: %s; %s", removed, unsound or "all is whole")
            found = git.count_objects(self._repository)
            packed = self._kept.packed if self._kept else None
            if found.loose > self._most_loose or found.packs > MOST_PACKS:
                git.pack(self._repository)
                durable.barrier(self._repository)
                packed = self._now()
                found = git.count_objects(self._repository)
            git.index_history(self._repository)
            self._kept = Kept(found.loose, found.packs, found.size, packed, removed, unsound)
        return f"{found.loose} loose objects, {found.packs} packs, {found.size} bytes"
