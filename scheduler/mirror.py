"""The mirror on an external Git server: pushed when refs moved, tried again with patience.

Only the server that leads pushes (or one that is alone), so that a follower that is behind
does not disturb it. Nothing waits for the mirror: no commit, no secondary, no page. What
cannot be pushed is an alarm with its cause, and the next try comes by itself.

Core: pushes through a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from configrepo.errors import StoreError
from configrepo.revision import CommitId
from scheduler.control_view import ControlRole
from scheduler.mirror_seam import MirrorView

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 300.0
SENT: Final = ("refs/heads/", "refs/terms/", "refs/notes/", "refs/bqn/running/")


@dataclass(frozen=True, slots=True)
class MirrorSeams:
    """What is needed: `push` raises StoreError; `now` is for people, `monotonic` for pauses."""

    push: Callable[[], None]
    refs: Callable[[], Mapping[str, CommitId]]
    role: Callable[[], ControlRole]
    now: Callable[[], datetime]
    monotonic: Callable[[], float]


class Mirror:
    """Implements `scheduler.mirror_seam.MirrorDesk`; `url` None: there is no mirror."""

    def __init__(self, url: str | None, seams: MirrorSeams) -> None:
        self._url = url
        self._seams = seams
        self._pushed: frozenset[tuple[str, CommitId]] | None = None
        self._failures = 0
        self._next_try = 0.0
        waiting = "Nothing was pushed to it since the start."
        self._view = None if url is None else MirrorView(url, "waiting", waiting)

    def state(self) -> MirrorView | None:
        """See `MirrorDesk`."""
        if self._view is None or self._view.state != "failed":
            return self._view
        left_s = max(0, round(self._next_try - self._seams.monotonic()))
        return replace(self._view, next_try_s=left_s)

    def alarms(self) -> tuple[str, ...]:
        """A mirror that cannot be pushed to."""
        view = self._view
        if view is None or view.state != "failed":
            return ()
        return (f"The mirror {view.url} does not have the newest commits: {view.sentence}",)

    def run(self) -> str:
        """Push what the mirror lacks; meant as a job."""
        if self._view is None:
            return "no mirror is configured"
        if self._seams.role() not in (ControlRole.PRIMARY, ControlRole.ALONE):
            self._pushed = None
            sentence = "The server that leads pushes to it, if it is configured there."
            self._view = replace(self._view, state="elsewhere", sentence=sentence)
            return sentence
        refs = frozenset(
            (name, head) for name, head in self._seams.refs().items() if name.startswith(SENT)
        )
        if refs == self._pushed:
            return self._view.sentence
        if self._failures and self._seams.monotonic() < self._next_try:
            return f"{self._view.sentence}; waiting"
        return self._push(self._view, refs)

    def _push(self, view: MirrorView, refs: frozenset[tuple[str, CommitId]]) -> str:
        try:
            self._seams.push()
        except StoreError as error:
            pause_s = min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
            self._failures = min(self._failures + 1, 10)
            self._next_try = self._seams.monotonic() + pause_s
            self._view = replace(view, state="failed", sentence=str(error))
            return str(error)
        self._pushed, self._failures = refs, 0
        sentence = "It has everything that this server has."
        self._view = replace(
            view, state="current", sentence=sentence, last_success=self._seams.now()
        )
        return sentence
