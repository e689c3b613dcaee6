"""How long a login must wait after wrong passwords.

Counted by account and by address. Five wrong passwords are free; then each further one
doubles the wait: 30 s, 60 s, … to at most 15 minutes. Nobody is locked out for good: an
hour without a wrong password forgets all, and so does a right one. Time is monotonic.

Core.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_TRIES = 5
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 15 * 60.0
FORGET_AFTER_S = 3600.0
_MOST_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class _Count:
    wrong: int
    last: float

    def free_at(self) -> float:
        """When the next try is allowed."""
        extra = self.wrong - FREE_TRIES
        if extra < 0:
            return self.last
        return self.last + min(FIRST_WAIT_S * float(2 ** min(extra, 10)), LONGEST_WAIT_S)


class Attempts:
    """Remembers wrong passwords; bounded in memory, safe for threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    def wait_s(self, account: str, address: str) -> float:
        """Seconds until a login for this account from this address is looked at; 0 is now."""
        now = self._now()
        with self._lock:
            found = (self._counts.get(key) for key in _keys(account, address))
            return max([count.free_at() - now for count in found if count is not None] + [0.0])

    def wrong(self, account: str, address: str) -> float:
        """Count a wrong password; returns the wait that follows from it, in seconds."""
        now = self._now()
        with self._lock:
            for key in _keys(account, address):
                before = self._counts.pop(key, None)
                forgotten = before is None or now - before.last > FORGET_AFTER_S
                wrong = 1 if before is None or forgotten else before.wrong + 1
                self._counts[key] = _Count(wrong, now)
            while len(self._counts) > _MOST_ENTRIES:
                self._counts.popitem(last=False)
        return self.wait_s(account, address)

    def right(self, account: str, address: str) -> None:
        """Forget the wrong passwords of this account and this address."""
        with self._lock:
            for key in _keys(account, address):
                self._counts.pop(key, None)


def _keys(account: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("account", account.casefold()), ("address", address)
