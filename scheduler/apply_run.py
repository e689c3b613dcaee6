"""The run that applies: which commit it is this server's turn for, and what was asked.

Facts are what the canary reported lately and what was committed since this server's own
commit; `scheduler.apply_turn` decides. For how long a canary is healthy is counted here
since it was first seen so, on the monotonic clock: after a restart it is counted anew.

Core: asks the parts of the running server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from configrepo.model import ServerId
from configrepo.revision import CommitId, Revision
from scheduler.apply_plan import Running
from scheduler.apply_turn import CanarySeen, Staging, Step, Turn, staging_of, turn_of
from scheduler.applying import Applier
from scheduler.overview import STALE_S, Report

_LONGEST_WALK: Final = 256


class History(Protocol):
    """What is needed of the store."""

    def has(self, commit: CommitId) -> bool:
        """Whether a commit is here."""
        ...

    def revision(self, commit: CommitId) -> Revision:
        """One commit."""
        ...

    def is_ancestor(self, ancestor: CommitId, commit: CommitId) -> bool:
        """Whether `commit` is `ancestor` or grew from it."""
        ...


@dataclass(frozen=True, slots=True)
class ApplySeams:
    """Where the facts come from. `reports` carry their age in seconds."""

    head: Callable[[], CommitId]
    reports: Callable[[], Mapping[ServerId, tuple[Report, float]]]
    members: Callable[[], frozenset[ServerId]]
    monotonic: Callable[[], float]
    wake: Callable[[], None]


class ApplyRun:
    """Applies on this server when it is its turn."""

    def __init__(self, me: ServerId, applier: Applier, history: History, seams: ApplySeams) -> None:
        self._me = me
        self._applier = applier
        self._history = history
        self._seams = seams
        self._asked = threading.Event()
        self._healthy_since: dict[CommitId, float] = {}
        self._walked: tuple[tuple[CommitId, CommitId | None], tuple[Step, ...]] | None = None
        self._turn = Turn(None)

    @property
    def turn(self) -> Turn:
        """What the last run decided."""
        return self._turn

    def ask(self) -> None:
        """Somebody asked: try a failed apply again, overwrite a change from outside."""
        self._asked.set()
        self._seams.wake()

    def run(self) -> str:
        """Apply what may be applied, then look at what runs; meant as a job."""
        turn = self._turn = self.decide(self._applier.running())
        if asked := self._asked.is_set():
            self._asked.clear()  # one who asks from here on is in time for this run
        if turn.target is not None:
            self._applier.apply(turn.target, asked=asked)
        running = self._applier.check()
        return turn.sentence or f"{running.result}: {running.sentence}"

    def shown(self) -> tuple[str, str]:
        """Result and sentence as they are reported: *waiting* while it is not its turn."""
        running, turn = self._applier.running(), self._turn
        if turn.held is not None and running.result == "applied":
            return "waiting", turn.sentence
        return running.result, running.sentence

    def alarms(self) -> tuple[str, ...]:
        """A staged commit that stopped."""
        return (self._turn.sentence,) if self._turn.stopped else ()

    def decide(self, running: Running) -> Turn:
        """What this server may apply now."""
        head = self._seams.head()
        steps = self._steps(head, running.commit)
        staged = [
            (s.commit, s.staging) for s in steps if s.staging and s.staging.canary != self._me
        ]
        seen = {commit: self._seen(commit, staging) for commit, staging in staged if staging}
        self._healthy_since = {c: at for c, at in self._healthy_since.items() if c in seen}
        return turn_of(self._me, running.commit, steps, seen)

    def _steps(self, head: CommitId, runs: CommitId | None) -> tuple[Step, ...]:
        """What was committed on the line of `head` since `runs`, oldest first."""
        if runs == head:
            return ()
        if self._walked is None or self._walked[0] != (head, runs):
            self._walked = ((head, runs), self._walk(head, runs))
        return self._walked[1]

    def _walk(self, head: CommitId, runs: CommitId | None) -> tuple[Step, ...]:
        steps: list[Step] = []
        commit = head
        known = runs is not None and self._history.has(runs)
        for _ in range(_LONGEST_WALK if known else 1):
            revision = self._history.revision(commit)
            steps.append(Step(commit, staging_of(revision.trailers)))
            if not revision.parents:
                break
            commit = revision.parents[0]
            if runs is not None and known and self._history.is_ancestor(commit, runs):
                break
        return tuple(reversed(steps))

    def _seen(self, commit: CommitId, staging: Staging) -> CanarySeen:
        canary = staging.canary
        if canary is None or canary not in self._seams.members():
            return CanarySeen("gone")
        report, age_s = self._seams.reports().get(canary, (None, STALE_S))
        fresh = report if age_s < STALE_S else None
        found = CanarySeen("silent") if fresh is None else self._judged(commit, fresh)
        if found.state != "healthy":
            self._healthy_since.pop(commit, None)
            return found
        now = self._seams.monotonic()
        return CanarySeen("healthy", now - self._healthy_since.setdefault(commit, now))

    def _judged(self, commit: CommitId, report: Report) -> CanarySeen:
        """What a fresh report of the canary says about a commit."""
        if report.result == "drifted":
            return CanarySeen("drifted")
        runs_it = self._has(report.running, commit)
        if runs_it and report.result in ("applied", "waiting"):
            return CanarySeen("healthy")
        if report.result == "failed" and self._has(report.head, commit):
            return CanarySeen("failed", 0.0, report.sentence)
        return CanarySeen("not yet")

    def _has(self, newer: str | None, commit: CommitId) -> bool:
        """Whether a commit that a report names is here and is, or grew from, `commit`."""
        if newer is None or not self._history.has(CommitId(newer)):
            return False
        return self._history.is_ancestor(commit, CommitId(newer))
