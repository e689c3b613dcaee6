"""Values that were worked out before, kept as long as there is room; the oldest used go first.

What is kept is bounded by weight, not by number: a thousand small files cost what one large
file costs. It never decides anything: who asks gets what was put in for exactly that key.

Core: shared by threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values by key; one instance serves all threads."""

    def __init__(self, most: int) -> None:
        """Nothing is kept yet; all that is kept together weighs at most `most`."""
        self._most = most
        self._weight = 0
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def weight(self) -> int:
        """What all that is kept weighs."""
        return self._weight

    def get(self, key: Key) -> Value | None:
        """What was kept for a key, or None."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, key: Key, value: Value, weight: int) -> Value:
        """Keep a value, unless it alone is too heavy; returns it."""
        with self._lock:
            known = self._kept.pop(key, None)
            if known is not None:
                self._weight -= known[1]
            if weight <= self._most:
                self._kept[key] = (value, weight)
                self._weight += weight
            while self._weight > self._most:
                _, (_, gone) = self._kept.popitem(last=False)
                self._weight -= gone
        return value
