"""Commits and merges that are killed at a system call, or whose disk is full or bad.

The apply is killed in `tests/scheduler/test_applying.py`, receiving in
`test_receiving_faults.py`.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.faults.far_program import FarProgram, far_program

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

CALLS = ("write", "fsync", "rename", "link", "unlink", "mkdir", "openat", "close", "syncfs")


def turn(far: FarProgram, trace: Path, *options: str) -> str:
    """One turn with faults injected; what came of it."""
    child = far.ask()
    strace = subprocess.Popen(
        ["strace", "-f", "-o", str(trace), *options, "-p", child],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert strace.stderr is not None
    with strace.stderr:
        while "attached" not in (line := strace.stderr.readline()):
            assert line, "strace did not attach"
        assert far.ask() == "ended"
        strace.stderr.read()
    strace.wait(60)
    said = far.ask()
    assert said.startswith("fine"), said
    return said


def counted(far: FarProgram, trace: Path) -> dict[str, int]:
    """How often one process of a turn calls each of the calls, at most."""
    assert turn(far, trace, "-e", "trace=" + ",".join(CALLS)) == "fine kept acknowledged"
    seen = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE))
    most: dict[str, int] = {}
    for (_, call), times in seen.items():
        most[call] = max(times, most.get(call, 0))
    assert most["syncfs"] >= 1, "there was no barrier"
    return most


def points(
    most: dict[str, int], calls: tuple[str, ...], chosen: int | None
) -> list[tuple[str, int]]:
    """Which call of which kind is hit; None is all of them.

    A selection takes the same ones each time, and all where names become durable.
    """
    every = [(call, at) for call in calls for at in range(1, most.get(call, 0) + 1)]
    decisive = [point for point in every if point[0] in ("rename", "syncfs")]
    rest = [point for point in every if point not in decisive]
    return decisive + (rest if chosen is None else Random(3).sample(rest, min(chosen, len(rest))))


@pytest.mark.parametrize("act", ["commit", "merge"])
def test_a_kill_at_any_call_loses_nothing_and_the_next_start_goes_on(
    tmp_path: Path, full: bool, act: str
) -> None:
    trace = tmp_path / "trace"
    with far_program("tests.faults.killed_process", str(tmp_path), act) as far:
        hit = points(counted(far, trace), CALLS, None if full else 12)
        said = Counter(
            turn(far, trace, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={at}")
            for call, at in hit
        )
    print(f"{len(hit)} kills during a {act}: {dict(said)}")
    assert said["fine kept acknowledged"] < len(hit)


@pytest.mark.parametrize("act", ["commit", "merge"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_bad_disk_is_never_acknowledged_falsely(
    tmp_path: Path, full: bool, act: str, error: str
) -> None:
    trace = tmp_path / "trace"
    calls = ("write", "fsync", "syncfs", "rename", "link", "mkdir")
    with far_program("tests.faults.killed_process", str(tmp_path), act) as far:
        hit = points(counted(far, trace), calls, None if full else 5)
        said = Counter(
            turn(far, trace, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={at}")
            for call, at in hit
        )
    print(f"{len(hit)} times {error} during a {act}: {dict(said)}")
    assert said["fine kept acknowledged"] < len(hit)
