"""Instants of the monotonic clock, and sentences that name them as times for people.

Edge: the clocks.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from scheduler.election_values import Said


def monotonic() -> float:
    """Seconds that never go back, and that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Speaker:
    """Writes sentences with times of this server's zone, each once, when it is new."""

    def __init__(self) -> None:
        self._written: dict[object, tuple[Said, str]] = {}

    def write(self, key: object, said: Said) -> str:
        """The text of a sentence; the same as before as long as it says the same."""
        known = self._written.get(key)
        if known is not None and known[0] == said:
            return known[1]
        times = [wall(instant).astimezone().strftime("%H:%M:%S") for instant in said.at]
        text = said.text.format(*times)
        self._written[key] = (said, text)
        return text


def wall(instant: float) -> datetime:
    """When an instant is, or was, by the wall clock of this moment."""
    return datetime.now(UTC) + timedelta(seconds=instant - monotonic())
