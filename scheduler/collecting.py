"""Brings to the primary what every server ran: `refs/bqn/running/<id>` and its notes.

Only the server itself writes these refs. Each report names where they are; the primary
fetches those that differ from what it has, and its replicator passes them on, so that a
clone of any server tells what ran where. A server that does not answer is asked again
after its next report.

Core: the network is behind callables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

from configrepo.errors import ConfigRepoError
from configrepo.model import ServerId
from scheduler.errors import SchedulerError
from scheduler.push_plan import own_runs
from scheduler.ssh import SshTarget

PARALLEL: Final = 4
AGAIN_AFTER_S: Final = 15.0

_log = logging.getLogger(__name__)


class Collector:
    """Collects for the primary."""

    def __init__(
        self,
        here: Callable[[str], str | None],
        targets: Callable[[], Sequence[SshTarget]],
        told: Callable[[], Mapping[ServerId, Mapping[str, str]]],
        pull: Callable[[SshTarget, Sequence[str]], tuple[str, ...]],
    ) -> None:
        """Nothing is collected yet.

        Args:
            here: where a ref is on this server.
            targets: the other members; none unless this server leads.
            told: where each server says that its refs are.
            pull: fetches refs of a server.
        """
        self._here = here
        self._targets = targets
        self._told = told
        self._pull = pull
        self._not_before: dict[ServerId, float] = {}
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="collect")

    def run(self) -> str:
        """Fetch what is missing; returns one sentence."""
        told = self._told()
        due = [target for target in self._targets() if self._is_due(target, told)]
        done = sum(self._pool.map(self._collect, due))
        return f"collected from {done} of {len(due)} servers"

    def close(self) -> None:
        """Stop."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _is_due(self, target: SshTarget, told: Mapping[ServerId, Mapping[str, str]]) -> bool:
        if monotonic() < self._not_before.get(target.id, 0.0):
            return False
        there = told.get(target.id, {})
        return any(there.get(ref, here) != here for ref, here in self._runs(target))

    def _runs(self, target: SshTarget) -> list[tuple[str, str | None]]:
        return [(ref, self._here(ref)) for ref in own_runs(target.id)]

    def _collect(self, target: SshTarget) -> bool:
        try:
            self._pull(target, own_runs(target.id))
        except (SchedulerError, ConfigRepoError) as error:
            _log.warning("what server %d ran could not be fetched: %s", target.id, error)
            self._not_before[target.id] = monotonic() + AGAIN_AFTER_S
            return False
        except Exception:  # noqa: BLE001 (one server must not keep the others from being asked)
            _log.exception("fetching what server %d ran failed", target.id)
            self._not_before[target.id] = monotonic() + AGAIN_AFTER_S
            return False
        return True
