"""What every measurement here shares: its options, quantiles, limits, and last line.

A script prints what it measured as sentences, and as its last line one JSON object. It
exits 3 with a sentence when the program that it compares with is missing, and it ends by
itself: a whole run has a limit, after which what was started is stopped.

Edge: signals, standard output.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

RIVAL_MISSING = 3
OVERDUE = 4

Figures = Mapping[str, float | int | None]


class RivalMissing(Exception):
    """What is compared with is not installed; says how to get it."""


class Overdue(Exception):
    """The whole run took longer than it may."""


def options(description: str | None) -> argparse.ArgumentParser:
    """The options that every script has."""
    summary = (description or "").strip().splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, at most 60 s")
    return parser


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all are not above (nearest rank)."""
    if not values:
        raise ValueError("nothing was measured")
    ranked = sorted(values)
    return ranked[max(math.ceil(share * len(ranked)), 1) - 1]


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Median, p99 and maximum in words."""
    p50, p99 = quantile(values, 0.5), quantile(values, 0.99)
    return f"p50 {p50:.2f} {unit}, p99 {p99:.2f} {unit}, max {max(values):.2f} {unit}"


def note(sentence: str) -> None:
    """One line of what was measured."""
    print(sentence, flush=True)


def machine() -> str:
    """The machine in one line, with how busy it is."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, Linux {platform.release()}, load {load:.1f} at the start"


def measure(work: Callable[[], Figures], limit_s: int) -> int:
    """Run a measurement, print its figures, and return the exit status."""
    note(machine())
    before = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGTERM)}
    signal.signal(signal.SIGALRM, _overdue)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.alarm(limit_s)
    try:
        figures = work()
    except RivalMissing as missing:
        print(missing, file=sys.stderr)
        return RIVAL_MISSING
    except Overdue:
        print(f"it did not end within {limit_s} s and was stopped", file=sys.stderr)
        return OVERDUE
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
    print(json.dumps({name: _rounded(value) for name, value in figures.items()}))
    return 0


def _overdue(*_: object) -> None:
    raise Overdue


def _rounded(value: float | int | None) -> float | int | None:
    return round(value, 4) if isinstance(value, float) else value


def cpu_s(pid: int) -> float:
    """CPU seconds of one process so far, all its threads, to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Memory of one process in MiB: `VmRSS` now, `VmHWM` at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0
