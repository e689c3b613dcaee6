"""How long a login must wait after wrong passwords.

Three things are counted, so that guessing is slow and yet nobody who sits elsewhere can
keep a person waiting:

1. An account from one address: five wrong passwords are free, then each further one doubles
   the wait: 30 s, 60 s, … to at most 15 minutes.
2. An address, whatever the account: the same after twenty, against trying many names.
3. An account from all addresses together: a hundred wrong passwords, then one each 30 s. An
   address from which this account came in before does not wait for that, nor does the
   machine itself, so that many strangers cannot lock its owner out either.

Nobody is locked out for good: an hour without a wrong password forgets the first two, and
so does a right one. IPv6 addresses count by their /64: one person has as many as he likes.
Time is monotonic. A restart forgets everything.

Core.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_TRIES = 5
FREE_TRIES_OF_ADDRESS = 20
FREE_TRIES_OF_ACCOUNT = 100
ONE_MORE_OF_ACCOUNT_S = 30.0
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 15 * 60.0
FORGET_AFTER_S = 3600.0
_MOST_ENTRIES = 10_000

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Count:
    """Wrong passwords of one key; `free` of them cost nothing."""

    free: int
    wrong: int
    last: float

    def free_at(self) -> float:
        """When the next try is allowed."""
        extra = self.wrong - self.free
        if extra < 0:
            return self.last
        return self.last + min(FIRST_WAIT_S * float(2 ** min(extra, 10)), LONGEST_WAIT_S)


class Attempts:
    """Remembers wrong passwords; bounded in memory, safe for threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counts: OrderedDict[Key, _Count] = OrderedDict()
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._came_in: OrderedDict[Key, None] = OrderedDict()

    def wait_s(self, account: str, address: str) -> float:
        """Seconds until a login for this account from this address is looked at; 0 is now."""
        name, network, now = account.casefold(), _network(address), self._now()
        with self._lock:
            found = (self._counts.get(key) for key in _counted(name, network))
            waits = [count.free_at() - now for count in found if count is not None]
            if network is not None and (name, network) not in self._came_in:
                waits.append(self._wait_of_account(name, now))
        return max([*waits, 0.0])

    def wrong(self, account: str, address: str) -> float:
        """Count a wrong password; returns the wait that follows from it, in seconds."""
        name, network, now = account.casefold(), _network(address), self._now()
        with self._lock:
            for key, free in _counted(name, network).items():
                before = self._counts.pop(key, None)
                forgotten = before is None or now - before.last > FORGET_AFTER_S
                wrong = 1 if before is None or forgotten else before.wrong + 1
                self._counts[key] = _Count(free, wrong, now)
            self._spent[name] = (self._spent_of(name, now) + 1.0, now)
            self._spent.move_to_end(name)
            _bound(self._counts)
            _bound(self._spent)
        return self.wait_s(account, address)

    def right(self, account: str, address: str) -> None:
        """Forget the wrong passwords of this account from here; its owner sits here."""
        name, network = account.casefold(), _network(address)
        with self._lock:
            for key in _counted(name, network):
                self._counts.pop(key, None)
            if network is not None:
                self._came_in[name, network] = None
                self._came_in.move_to_end((name, network))
                _bound(self._came_in)

    def _spent_of(self, name: str, now: float) -> float:
        """How many of the free tries of an account are used up; they come back with time."""
        spent, then = self._spent.get(name, (0.0, now))
        return max(spent - (now - then) / ONE_MORE_OF_ACCOUNT_S, 0.0)

    def _wait_of_account(self, name: str, now: float) -> float:
        over = self._spent_of(name, now) - FREE_TRIES_OF_ACCOUNT + 1.0
        return over * ONE_MORE_OF_ACCOUNT_S


def _counted(name: str, network: str | None) -> dict[Key, int]:
    """What is counted for an account from a network, with the tries that are free."""
    where = network or "this machine"
    return {(name, where): FREE_TRIES, ("", where): FREE_TRIES_OF_ADDRESS}


def _network(address: str) -> str | None:
    """What counts as one place: an IPv4 address, an IPv6 /64; None for the machine itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    found = mapped if mapped is not None else found
    if found.is_loopback:
        return None
    return str(found) if found.version == 4 else str(ipaddress.ip_network((int(found), 64), False))


def _bound(
    kept: OrderedDict[Key, _Count] | OrderedDict[str, tuple[float, float]] | OrderedDict[Key, None],
) -> None:
    while len(kept) > _MOST_ENTRIES:
        kept.popitem(last=False)
