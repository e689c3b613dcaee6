"""How many servers must have a commit on their disks before a person is told *saved*.

The setting `[replication] ack` says it: `local` waits for nobody, `one` for one other
server, `all` for every other server that answers. Nobody waits longer than the time limit;
the commit is saved on this server either way, and the answer then says what is missing.

Core: waits through a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from enum import StrEnum

from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.views import CommitOutcome, Committed


class Level(StrEnum):
    """On how many servers a commit must be."""

    LOCAL = "local"
    ONE = "one"
    ALL = "all"


def wanted_of(level: Level, reachable: int) -> int:
    """How many other servers are waited for."""
    match level:
        case Level.LOCAL:
            return 0
        case Level.ONE:
            return min(reachable, 1)
        case Level.ALL:
            return reachable


def told(committed: Committed, level: Level, others: int, there: int) -> Committed:
    """The outcome with where the commit is: `there` of `others` other servers have it."""
    here = f"BQN {committed.written_by}"
    words = f"Saved on {here}."
    if there >= others:
        words = f"Saved on {here} and on all other servers."
    elif there > 0:
        words = f"Saved on {here} and on {there} of {others} other servers so far."
    return replace(
        committed,
        sentence=words,
        servers=there + 1,
        members=others + 1,
        warning=_missing(committed.written_by, level, others, there),
    )


def _missing(here: ServerId, level: Level, others: int, there: int) -> str:
    if level is Level.LOCAL or there >= (others if level is Level.ALL else 1):
        return ""
    if there == 0:
        return (
            f"Only on this server (BQN {here}): no other server has said yet that it has this "
            "commit on its disk. It is sent as soon as one answers."
        )
    return f"Not on all servers yet: {others - there} of {others} have not confirmed it."


class Acknowledging:
    """Waits, on the primary, until a commit is where it should be."""

    def __init__(
        self,
        level: Level,
        time_limit_s: float,
        others: Callable[[], Collection[ServerId]],
        reachable: Callable[[], Collection[ServerId]],
        wait_until_on: Callable[[CommitId, int, float], int],
    ) -> None:
        """Nobody waits yet.

        Args:
            level: the setting.
            time_limit_s: how long a person waits at most.
            others: the other members.
            reachable: those of them that answer now.
            wait_until_on: waits until a commit is on that many other servers; says on how many.
        """
        self._level = level
        self._time_limit_s = time_limit_s
        self._others = others
        self._reachable = reachable
        self._wait_until_on = wait_until_on

    def __call__(self, outcome: CommitOutcome, also: Collection[ServerId] = ()) -> CommitOutcome:
        """Wait for a commit of this server; other outcomes are handed through.

        Args:
            outcome: what became of a change.
            also: others that answer although nobody follows them yet: a joiner.
        """
        others = self._others()
        if not isinstance(outcome, Committed) or not others:
            return outcome
        answering = {*self._reachable(), *(server for server in also if server in others)}
        wanted = wanted_of(self._level, len(answering))
        limit_s = self._time_limit_s if wanted > 0 else 0.0
        there = self._wait_until_on(CommitId(outcome.revision), wanted, limit_s)
        return told(outcome, self._level, len(others), there)
