"""Values that were worked out before, kept as long as there is room; what is unused goes.

What is kept is bounded by weight, not by number: a thousand small files cost what one large
file costs. There are two shelves. What is asked for comes to the first; when that is full it
becomes the second, and what nobody asked for since then is dropped with the old second one.
It never decides anything: who asks gets what was put in for exactly that key. Threads may
share one; two that put something in at the same moment may lose one of the two, which is
worked out again, or keep a little more than the limit until the shelf is full.

Pure.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values by key."""

    def __init__(self, most: int) -> None:
        """Nothing is kept yet; each shelf carries half of `most`."""
        self._most = most // 2
        self._weight = 0
        self._first: dict[Key, tuple[Value, int]] = {}
        self._second: dict[Key, tuple[Value, int]] = {}

    @property
    def weight(self) -> int:
        """What all that is kept weighs."""
        return sum(w for shelf in (self._first, self._second) for _, w in shelf.values())

    def get(self, key: Key) -> Value | None:
        """What was kept for a key, or None."""
        found = self._first.get(key)
        if found is None:
            found = self._second.get(key)
            if found is None:
                return None
            self._put(key, found)
        return found[0]

    def keep(self, key: Key, value: Value, weight: int) -> Value:
        """Keep a value, unless it is too heavy for a shelf; returns it."""
        if weight <= self._most:
            self._put(key, (value, weight))
        return value

    def _put(self, key: Key, entry: tuple[Value, int]) -> None:
        before = self._first.get(key)
        added = entry[1] if before is None else entry[1] - before[1]
        if self._weight + added > self._most:
            self._second, self._first, self._weight = self._first, {}, 0
            added = entry[1]
        self._first[key] = entry
        self._weight += added
