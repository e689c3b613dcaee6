"""Stops a process with all that it started, wherever it is, and lets it go on.

Edge: processes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

_DEADLINE_S = 60.0
_FORKING_S = 1.0


def _family(process: int) -> set[int]:
    """A process and its descendants, now."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            fields = place.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(place.parent.name))
    found, todo = set(), [process]
    while todo:
        one = todo.pop()
        found.add(one)
        todo += parents.get(one, [])
    return found


def _states(process: int) -> set[str]:
    """The states of its threads (proc(5))."""
    found = set()
    for place in Path(f"/proc/{process}/task").glob("*/stat"):
        with suppress(OSError):
            found.add(place.read_text().rpartition(")")[2].split()[0])
    return found


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Nothing of it runs inside the block.

    A parent that waits for the first step of its child (vfork) cannot be stopped and does
    nothing either; a call that the kernel works on is waited for.
    """
    held: set[int] = set()
    began = monotonic()
    try:
        while True:
            family = _family(process)
            for one in family - held:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGSTOP)
                held.add(one)
            states = set().union(*(_states(one) for one in family)) - {"T", "Z", "X"}
            waited = monotonic() - began
            if family <= held and (not states or (states == {"D"} and waited > _FORKING_S)):
                break
            assert waited < _DEADLINE_S, states
            threading.Event().wait(0.001)
        yield
    finally:
        for one in held:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)
