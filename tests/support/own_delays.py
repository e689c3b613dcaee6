"""How long this machine lets something wait that wants to run: no fault of what is tested.

Edge: a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_delays() -> Iterator[list[float]]:
    """By how much this machine lets a thread wait that wants to run every 50 ms."""
    late, end = [0.0], threading.Event()

    def watch() -> None:
        before = time.monotonic()
        while not end.wait(0.05):
            now = time.monotonic()
            late.append(now - before - 0.05)
            before = now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield late
    finally:
        end.set()
        thread.join()
