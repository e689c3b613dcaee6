"""Runs jobs at intervals, whatever the wall clock does: the one door to APScheduler.

APScheduler 3 plans by the wall clock and has no other. Three things make that harmless:

- the next run is `max(now, previous) + interval`: never in the past, so a clock that
  jumped forward causes one run and no enumeration of missed ones;
- a guard looks every 100 ms (by the monotonic clock) for a job planned more than two
  intervals ahead, which only a clock that jumped back can cause, and plans it for now;
- each kind of job has threads of its own, so slow jobs delay only their like.

A job returns a sentence that says what it did, or None; an exception is logged with its
traceback and becomes the sentence of a failed run. No job runs twice at once.

Edge: APScheduler, threads.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

Job = Callable[[], str | None]

EXECUTORS: Mapping[str, int] = MappingProxyType(
    {"control": 1, "push": 8, "update": 2, "maintenance": 2}
)

_GUARD_S = 0.1

_log = logging.getLogger(__name__)
# It logs each run of each job, and skipped ones as warnings; what matters is logged here.
logging.getLogger("apscheduler").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last run of a job ended. `ended` is for people; `runs` counts them."""

    name: str
    ok: bool
    sentence: str
    ended: datetime
    duration_s: float
    runs: int


class _Interval(BaseTrigger):  # type: ignore[misc]
    """Never plans into the past."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        return (now if previous is None else max(now, previous)) + self._interval


class _Wall(tzinfo):
    """UTC as a wall clock shows it that need not be right.

    `datetime.now(zone)` asks the zone for the time, so a zone is where APScheduler can be
    given another clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "UTC"

    def fromutc(self, _: datetime) -> datetime:
        return self._now().replace(tzinfo=self)


class _Runner:
    """One job with its last outcome; the bulkhead around it."""

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        self.outcome: Outcome | None = None
        self._job = job
        self._lock = threading.Lock()
        self._running = False
        self._wanted = False

    @property
    def overdue(self) -> bool:
        """Whether a run is wanted and none is going on that could see it."""
        with self._lock:
            return self._wanted and not self._running

    def want(self) -> None:
        """Ask for a run that begins from now on."""
        with self._lock:
            self._wanted = True

    def __call__(self) -> None:
        # Woken while it runs, it may have read already what it should see: so once more.
        while self._begin():
            self._run()

    def _begin(self) -> bool:
        with self._lock:
            first, again = not self._running, self._wanted
            self._running, self._wanted = first or again, False
            return self._running

    def _run(self) -> None:
        began = time.monotonic()
        try:
            said, ok = self._job() or "nothing to do", True
        except Exception as error:  # noqa: BLE001 (the bulkhead of the jobs)
            _log.exception("job %s failed", self.name)
            said, ok = f"{type(error).__name__}: {error}", False
        self.outcome = Outcome(
            name=self.name,
            ok=ok,
            sentence=said,
            ended=datetime.now(UTC),
            duration_s=time.monotonic() - began,
            runs=1 if self.outcome is None else self.outcome.runs + 1,
        )


class Clock:
    """The jobs of one process.

    Args:
        executors: threads by kind of job.
        now: the wall clock, for tests of its jumps.
    """

    def __init__(
        self,
        executors: Mapping[str, int] = EXECUTORS,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._zone: tzinfo = UTC if now is None else _Wall(now)
        self._runners: dict[str, _Runner] = {}
        self._intervals: dict[str, timedelta] = {}
        self._stopping = threading.Event()
        self._scheduler = BackgroundScheduler(
            timezone=self._zone,
            executors={name: ThreadPoolExecutor(threads) for name, threads in executors.items()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.start()
        self._guard = threading.Thread(target=self._watch, name="clock-guard", daemon=True)
        self._guard.start()

    def every(
        self,
        interval_s: float,
        job: Job,
        name: str,
        executor: str = "maintenance",
        first_after_s: float = 0.0,
    ) -> None:
        """Run a job at an interval, for the first time after `first_after_s`."""
        runner = _Runner(name, job)
        interval = timedelta(seconds=interval_s)
        self._runners[name] = runner
        self._intervals[name] = max(interval, timedelta(seconds=first_after_s))
        self._scheduler.add_job(
            runner,
            trigger=_Interval(interval),
            id=name,
            name=name,
            executor=executor,
            next_run_time=self._now() + timedelta(seconds=first_after_s),
            replace_existing=True,
        )

    def wake(self, name: str) -> None:
        """Run a job now; if it is running, once more when it has ended."""
        self._runners[name].want()
        self._run_now(name)

    def forget(self, name: str) -> None:
        """Run a job no more."""
        self._intervals.pop(name, None)
        if self._runners.pop(name, None) is not None:
            self._scheduler.remove_job(name)

    def outcomes(self) -> tuple[Outcome, ...]:
        """How the last run of each job ended, by name."""
        runners = sorted(self._runners.items())
        return tuple(runner.outcome for _, runner in runners if runner.outcome is not None)

    def outcome(self, name: str) -> Outcome | None:
        """How the last run of a job ended; None if it has not run yet."""
        return self._runners[name].outcome

    def stop(self, wait: bool = True) -> None:
        """Run nothing more; by default wait for what runs. Twice is as once."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._guard.join()
        self._scheduler.shutdown(wait=wait)

    def _now(self) -> datetime:
        return datetime.now(self._zone)

    def _run_now(self, name: str) -> None:
        if not self._stopping.is_set():
            with contextlib.suppress(JobLookupError):  # forgotten meanwhile
                self._scheduler.modify_job(name, next_run_time=self._now())

    def _watch(self) -> None:
        while not self._stopping.wait(_GUARD_S):
            try:
                for job in self._scheduler.get_jobs():
                    self._check(job.id, job.next_run_time)
            except Exception:  # noqa: BLE001 (without it a clock that goes back stops all jobs)
                _log.exception("the guard of the jobs failed once")

    def _check(self, name: str, due: datetime | None) -> None:
        interval, runner = self._intervals.get(name), self._runners.get(name)
        if interval is None or runner is None or due is None:
            return
        if due - self._now() > 2 * interval:
            _log.warning("the wall clock went back; job %s runs now", name)
            self._run_now(name)
        elif runner.overdue:
            self._run_now(name)
