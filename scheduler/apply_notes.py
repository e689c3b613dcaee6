"""Writes down in Git when a commit was applied on this server, how long it took, and how.

The note of a commit has one line for each time that it was applied, the newest last. It
stands in `refs/notes/apply-<id>`, so `git log --notes=apply-<id>` tells in any clone when
what ran where. A note that could not be written (a full disk, a crash) is made up for at
the next look; then its duration is not known.

Core: works on a store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from time import monotonic
from typing import Final, Protocol

from configrepo.errors import StoreError
from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.apply_plan import Running
from scheduler.push_plan import own_runs

MOST_LINES: Final = 50
_LONGEST: Final = 400

_log = logging.getLogger(__name__)


class NoteStore(Protocol):
    """What is needed of the store."""

    def note(self, ref: str, about: CommitId) -> str | None:
        """The note of a commit."""
        ...

    def write_note(
        self, ref: str, about: CommitId, text: str, trailers: Mapping[str, str]
    ) -> CommitId:
        """Replace the note of a commit, durably."""
        ...


class ApplyNotes:
    """The notes of one server."""

    def __init__(self, server: ServerId, store: NoteStore, now: Callable[[], datetime]) -> None:
        self._server = server
        self._ref = own_runs(server)[1]
        self._store = store
        self._now = now
        self._noted: tuple[object, ...] | None = None
        self._began = now()
        self._began_s = monotonic()

    def begin(self) -> None:
        """What is applied from now on until the next look takes as long as that."""
        self._began, self._began_s = self._now(), monotonic()

    def look(self, running: Running) -> str | None:
        """Write a note if something was applied since the last look.

        Returns:
            The new line, None if nothing was to be written or the repository does not take it.
        """
        about = running.target if running.result == "failed" else running.commit
        if about is None or running.result not in ("applied", "failed"):
            return None
        seen = (about, running.result, running.applied_at)
        if seen == self._noted:
            return None
        try:
            line = self._write(about, running)
        except StoreError as error:
            _log.warning("what was applied could not be noted, it is tried again: %s", error)
            return None
        self._noted = seen
        return line

    def _write(self, about: CommitId, running: Running) -> str | None:
        lines = (self._store.note(self._ref, about) or "").splitlines()
        if self._noted is None and lines and lines[-1].split()[3:4] == [running.result]:
            # This program was started again; what runs was noted before.
            return None
        line = self._line(running)
        text = "\n".join([*lines, line][-MOST_LINES:]) + "\n"
        self._store.write_note(self._ref, about, text, {"Server": str(self._server)})
        return line

    def _line(self, running: Running) -> str:
        failed = running.result == "failed"
        at = self._now() if failed or running.applied_at is None else running.applied_at
        fresh = self._noted is not None if failed else at >= self._began
        took = f"in {monotonic() - self._began_s:.2f} s" if fresh else "at an earlier time"
        words = " ".join(running.sentence.split())[:_LONGEST]
        moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{moment} BQN {self._server} {running.result} {took}: {words}"
