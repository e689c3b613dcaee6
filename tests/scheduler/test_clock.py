"""Jobs run at their interval whatever the wall clock does and however full the pools are."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from scheduler.clock import Clock
from tests.support.manual_clock import JumpingWall


class Beats:
    """A job that remembers when it ran, by the monotonic clock."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._changed = threading.Condition()

    def __call__(self) -> str:
        with self._changed:
            self.at.append(time.monotonic())
            self._changed.notify_all()
        return f"run {len(self.at)}"

    def wait_for(self, count: int, timeout_s: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.at) >= count, timeout_s), self.at

    def largest_gap_after(self, count: int) -> float:
        later = self.at[count:]
        return max(b - a for a, b in itertools.pairwise(later))


@pytest.fixture
def new_clock() -> Iterator[Callable[..., Clock]]:
    clocks: list[Clock] = []

    def make(**arguments: object) -> Clock:
        clocks.append(Clock(**arguments))  # type: ignore[arg-type]
        return clocks[-1]

    yield make
    for clock in clocks:
        clock.stop()


def test_a_job_runs_at_its_interval(new_clock: Callable[..., Clock]) -> None:
    beats = Beats()
    new_clock().every(0.05, beats, "beat", executor="control")
    beats.wait_for(6)
    assert 0.2 <= beats.at[5] - beats.at[0] < 2


@pytest.mark.parametrize(
    "jump", [timedelta(hours=-1), timedelta(hours=1), timedelta(days=30)], ids=str
)
def test_a_jump_of_the_wall_clock_leaves_no_gap_even_with_a_full_pool(
    new_clock: Callable[..., Clock], jump: timedelta
) -> None:
    wall, beats, release = JumpingWall(), Beats(), threading.Event()
    clock = new_clock(executors={"control": 1, "maintenance": 2}, now=wall)

    def slow() -> None:
        release.wait(20)

    for number in range(5):
        clock.every(0.1, slow, f"slow {number}")
    clock.every(0.2, beats, "beat", executor="control")
    try:
        beats.wait_for(3)
        wall.jump(jump)
        beats.wait_for(9)
    finally:
        release.set()
    # One interval, the guard's 100 ms, and what two busy cores may add.
    assert beats.largest_gap_after(1) < 0.9
    assert beats.at[8] - beats.at[2] < 5


def test_many_jumps_do_not_make_a_job_run_in_bursts(new_clock: Callable[..., Clock]) -> None:
    wall, beats = JumpingWall(), Beats()
    clock = new_clock(now=wall)
    clock.every(0.2, beats, "beat", executor="control")
    for count in range(1, 6):
        beats.wait_for(count)
        wall.jump(timedelta(days=3650 if count % 2 else -3650))
    beats.wait_for(8)
    assert len(beats.at) < 14


def test_waking_runs_a_job_long_before_its_time(new_clock: Callable[..., Clock]) -> None:
    beats, clock = Beats(), new_clock()
    clock.every(3600, beats, "hourly", first_after_s=3600)
    clock.wake("hourly")
    beats.wait_for(1)
    clock.wake("hourly")
    beats.wait_for(2)


def test_waking_a_job_that_runs_makes_it_run_once_more(new_clock: Callable[..., Clock]) -> None:
    started, release, beats = threading.Event(), threading.Event(), Beats()

    def job() -> str:
        started.set()
        release.wait(10)
        return beats()

    clock = new_clock()
    clock.every(3600, job, "hourly")
    assert started.wait(10)
    clock.wake("hourly")
    clock.wake("hourly")
    release.set()
    beats.wait_for(2)
    clock.stop()
    # Once more is enough; once for each waking is harmless.
    assert len(beats.at) in (2, 3)


def test_a_job_never_runs_twice_at_once(new_clock: Callable[..., Clock]) -> None:
    inside, most, beats = [0], [0], Beats()

    def job() -> str:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.monotonic()
        said = beats()
        inside[0] -= 1
        return said

    clock = new_clock()
    clock.every(0.01, job, "often")
    for count in range(1, 30):
        clock.wake("often")
        beats.wait_for(count)
    assert most == [1]


def test_the_sentence_of_the_last_run_is_kept(new_clock: Callable[..., Clock]) -> None:
    beats, clock = Beats(), new_clock()
    clock.every(3600, beats, "hourly")
    assert [outcome.name for outcome in clock.outcomes()] in ([], ["hourly"])
    beats.wait_for(1)
    clock.wake("hourly")
    beats.wait_for(2)
    clock.stop()
    outcome = clock.outcome("hourly")
    assert outcome is not None
    assert (outcome.ok, outcome.sentence, outcome.runs) == (True, "run 2", 2)


def test_a_job_that_fails_is_logged_with_its_traceback_and_runs_again(
    new_clock: Callable[..., Clock], caplog: pytest.LogCaptureFixture
) -> None:
    beats = Beats()

    def job() -> str:
        beats()
        raise ZeroDivisionError("no luck")

    with caplog.at_level(logging.ERROR):
        clock = new_clock()
        clock.every(0.05, job, "unlucky")
        beats.wait_for(3)
        clock.stop()
    outcome = clock.outcome("unlucky")
    assert outcome is not None
    assert (outcome.ok, outcome.sentence) == (False, "ZeroDivisionError: no luck")
    assert "Traceback" in caplog.text


def test_a_forgotten_job_runs_no_more(new_clock: Callable[..., Clock]) -> None:
    beats, others, clock = Beats(), Beats(), new_clock()
    clock.every(0.05, beats, "beat", executor="control")
    beats.wait_for(2)
    clock.forget("beat")
    clock.every(0.05, others, "other", executor="control")
    others.wait_for(1)
    seen = len(beats.at)
    others.wait_for(5)
    assert len(beats.at) == seen


def test_the_guard_outlives_a_fault(
    new_clock: Callable[..., Clock], caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    def now() -> datetime:
        if threading.current_thread().name == "clock-guard" and not failed.is_set():
            failed.set()
            raise LookupError("a fault")
        return wall()

    wall = JumpingWall()
    clock = new_clock(now=now)
    beats = Beats()
    clock.every(0.05, beats, "beat", executor="control")
    beats.wait_for(3)
    assert failed.wait(60)
    wall.jump(timedelta(hours=-5))
    beats.wait_for(len(beats.at) + 3, 60)
    assert "the guard of the jobs failed" in caplog.text
