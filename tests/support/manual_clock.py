"""Clocks that tests turn by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    """A monotonic clock that stands still until it is turned."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        """The time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class JumpingWall:
    """A wall clock that goes on, and can be set wrong."""

    def __init__(self) -> None:
        self._error = timedelta()

    def __call__(self) -> datetime:
        """The time that it shows (UTC)."""
        return datetime.now(UTC) + self._error

    def jump(self, by: timedelta) -> None:
        """Set it forward or back."""
        self._error += by
