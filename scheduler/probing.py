"""The asked side of the doctor: tries a list of members and hands the results out in slices.

A server is only ever asked about members that it knows itself, with the addresses and
keys of its own newest commit: nobody can use it to look at other machines. The targets
are tried `PARALLEL` at a time, beginning after the own id, so that in a cluster where all
try all, each server is tried by a few at a time. One run for each asker; a newer one
replaces it, and one that nobody asks about any more ends by itself.

Core: what touches the network is behind callables.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler import causes
from scheduler.errors import RemoteRefused
from scheduler.findings import Finding, Pair, Row, Standpoint, row_of

ROUTE = "/doctor"
PARALLEL = 8
SLICE = 256
MOST_WAIT_S = 2.0
FORGOTTEN_S = 60.0
_UNKNOWN = "it does not know that server: its configuration is behind"
_FAULT = "its program failed when it tried: its log says why"

_log = logging.getLogger(__name__)


class Probe(Protocol):
    """Tries one member; `scheduler.member_check.Prober` does it over the network."""

    def control(self, member: Member, cluster: str | None) -> Finding:
        """Whether it answers on its control port."""
        ...

    def ssh(self, member: Member) -> Finding:
        """Whether it lets this server in over SSH."""
        ...


@dataclass
class _Run:
    """One list of targets that is being tried."""

    name: str
    total: int
    rows: list[Row] = field(default_factory=list)
    stopped: bool = False
    asked_at: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> bool:
        return self.stopped or len(self.rows) == self.total


class Probing:
    """Tries members for those who ask.

    Args:
        me: this server.
        member: the active member with an id, as this server knows it.
        cluster: the cluster that this server belongs to.
        probe: tries one member.
        standpoint: this server's place in the network, seen towards an asker.
        parallel: how many are tried at a time.
    """

    def __init__(
        self,
        me: ServerId,
        member: Callable[[ServerId], Member | None],
        cluster: Callable[[], str | None],
        probe: Probe,
        standpoint: Callable[[ServerId], Standpoint],
        parallel: int = PARALLEL,
    ) -> None:
        self._me = me
        self._member = member
        self._cluster = cluster
        self._probe = probe
        self._standpoint = standpoint
        self._changed = threading.Condition()
        self._runs: dict[ServerId, _Run] = {}
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="doctor")

    def answer(self, asker: ServerId, body: Mapping[str, Any]) -> dict[str, Any]:
        """RPC route `/doctor`: start, results, cancel.

        Raises:
            RemoteRefused: the question cannot be read, or is about a run that is not known.
        """
        match body:
            case {"do": "start", "run": str(name), "targets": [*targets]}:
                return self._start(asker, name, targets)
            case {"do": "results", "run": str(name), "from": int(first)} if first >= 0:
                return self._results(asker, name, first, body.get("wait_s"))
            case {"do": "cancel", "run": str(name)}:
                self._cancel(asker, name)
                return {}
        raise RemoteRefused("the question of the connectivity doctor cannot be read")

    def close(self) -> None:
        """Stop trying."""
        with self._changed:
            for run in self._runs.values():
                run.stopped = True
            self._changed.notify_all()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, asker: ServerId, name: str, targets: list[Any]) -> dict[str, Any]:
        wanted = sorted({t for t in targets if type(t) is int and 0 <= t <= 255} - {self._me})
        turned = [t for t in wanted if t > self._me] + [t for t in wanted if t < self._me]
        run = _Run(name[:64], len(turned))
        with self._changed:
            old = self._runs.get(asker)
            if old is not None and old.name == run.name:
                run = old  # asked twice: an answer got lost
            else:
                if old is not None:
                    old.stopped = True
                self._runs[asker] = run
                for target in turned:
                    self._pool.submit(self._try, run, ServerId(target))
        place = self._standpoint(asker)
        return {"total": run.total, "inside": place.inside, "foreign": [*place.foreign]}

    def _try(self, run: _Run, target: ServerId) -> None:
        if run.stopped or time.monotonic() - run.asked_at > FORGOTTEN_S:
            run.stopped = True
            return
        try:
            pair = self.check(target)
        except Exception:  # noqa: BLE001 (a run that lacks one pair would never end)
            _log.exception("trying BQN %d failed", target)
            fault = Finding(causes.NO_ANSWER, 0, _FAULT)
            pair = Pair(self._me, target, fault, fault)
        with self._changed:
            run.rows.append(row_of(pair))
            self._changed.notify_all()

    def check(self, target: ServerId) -> Pair:
        """Try one member now."""
        member = self._member(target)
        if member is None:
            unknown = Finding(causes.NOT_A_MEMBER, 0, _UNKNOWN)
            return Pair(self._me, target, unknown, unknown)
        return Pair(
            self._me,
            target,
            self._probe.control(member, self._cluster()),
            self._probe.ssh(member),
        )

    def _results(self, asker: ServerId, name: str, first: int, wait_s: object) -> dict[str, Any]:
        wait = min(float(wait_s), MOST_WAIT_S) if isinstance(wait_s, int | float) else 0.0
        with self._changed:
            run = self._runs.get(asker)
            if run is None or run.name != name:
                raise RemoteRefused("this server was restarted, or asked anew by another page")
            run.asked_at = time.monotonic()
            self._changed.wait_for(lambda: run.done or len(run.rows) > first, max(wait, 0.0))
            rows = run.rows[first : first + SLICE]
            done = run.done and first + len(rows) == len(run.rows)
            return {"rows": rows, "done": done}

    def _cancel(self, asker: ServerId, name: str) -> None:
        with self._changed:
            run = self._runs.get(asker)
            if run is not None and run.name == name:
                run.stopped = True
                self._changed.notify_all()
