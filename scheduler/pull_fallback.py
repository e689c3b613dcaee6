"""Fetches what the primary has, on a server that the primary cannot push to.

Core: the network is behind callables.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic

from configrepo.errors import ConfigRepoError
from scheduler.errors import SchedulerError
from scheduler.pull_plan import PullFacts, PullState, failed, must_pull, observed
from scheduler.ssh import SshTarget


class PullFallback:
    """The fallback of one server."""

    def __init__(
        self,
        facts: Callable[[], PullFacts],
        target: Callable[[], SshTarget | None],
        wanted: Callable[[], Sequence[str]],
        pull: Callable[[SshTarget, Sequence[str]], tuple[str, ...]],
    ) -> None:
        """Nothing is fetched yet.

        Args:
            facts: what is known now.
            target: where the primary answers; None if there is none or it is this server.
            wanted: the refs that this server wants from it.
            pull: fetches refs, and moves those that are let in.
        """
        self._facts = facts
        self._target = target
        self._wanted = wanted
        self._pull = pull
        self._lock = threading.Lock()
        self._state = PullState()
        self._asked = False

    def state(self) -> PullState:
        """How fetching stands."""
        return self._state

    def run(self) -> str:
        """Fetch if it must be; returns one sentence."""
        with self._lock:
            facts, now = self._facts(), monotonic()
            self._state = observed(self._state, facts, now)
            asked, self._asked = self._asked, False
            if not asked and not must_pull(self._state, facts, now):
                return "the primary pushes; nothing is fetched"
            return self._fetch()

    def ask(self) -> None:
        """Somebody asked: the next run fetches without waiting."""
        self._asked = True

    def _fetch(self) -> str:
        target = self._target()
        if target is None:
            return "there is no other server to fetch from"
        try:
            pulled = self._pull(target, self._wanted())
        except (SchedulerError, ConfigRepoError) as error:
            told = f"Fetching from BQN {target.id} failed: {error}."
            self._state = failed(self._state, told, monotonic())
            return told
        sentence = f"fetched from BQN {target.id}, which cannot push to this server"
        self._state = PullState(sentence=sentence if pulled else self._state.sentence)
        return f"{len(pulled)} lines moved"
