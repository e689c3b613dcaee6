"""How long a login must wait after wrong passwords.

Three things are counted, so that guessing is slow and yet nobody who sits elsewhere can
keep a person waiting:

1. An account from one address: five wrong passwords are free, then each further one doubles
   the wait: 30 s, 60 s, … to at most 15 minutes.
2. An address, whatever the account: the same after twenty, against trying many names.
3. An account from all addresses together: a hundred wrong passwords, then one each 30 s. An
   address from which this account came in before does not wait for that, nor does the
   machine itself, so that many strangers cannot lock its owner out either.

A try counts as wrong from its begin until it is known to be right, so that tries side by
side are no more than tries one after the other. Nobody is locked out for good: an hour
without a wrong password forgets the first two, and so does a right one. IPv6 addresses
count by their /64: one person has as many as he likes. What is remembered is bounded; if it
is too much, what says least goes first, so that a flood of names pushes out nothing but
itself. Time is monotonic. A restart forgets everything.

Core.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

FREE_TRIES = 5
FREE_TRIES_OF_ADDRESS = 20
FREE_TRIES_OF_ACCOUNT = 100
ONE_MORE_OF_ACCOUNT_S = 30.0
FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 15 * 60.0
FORGET_AFTER_S = 3600.0
_MOST_ENTRIES = 10_000
_KEPT_ENTRIES = 7_500
_PLACES_OF_ACCOUNT = 32

Key = tuple[str, str]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Count:
    """Wrong passwords of one key; `free` of them cost nothing."""

    free: int
    wrong: int
    last: float

    def free_at(self) -> float:
        """When the next try is allowed."""
        return self.last + self._wait_s()

    def given_back(self, now: float) -> _Count:
        """Without the last try, whose turn it was already when it began."""
        before = replace(self, wrong=max(self.wrong - 1, 0))
        return replace(before, last=min(self.last, now - before._wait_s()))

    def _wait_s(self) -> float:
        extra = self.wrong - self.free
        return 0.0 if extra < 0 else min(FIRST_WAIT_S * float(2 ** min(extra, 10)), LONGEST_WAIT_S)

    def weight(self, now: float) -> float:
        """How much is lost if this is forgotten."""
        return 0.0 if now - self.last > FORGET_AFTER_S else self.wrong / self.free


class Attempts:
    """Remembers wrong passwords; bounded in memory, safe for threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counts: dict[Key, _Count] = {}
        self._spent: dict[str, tuple[float, float]] = {}
        self._came_in: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def begin(self, account: str, address: str) -> float:
        """Begin a try: 0, and it counts as wrong from now on; else the seconds to wait.

        A try that began is ended by `right`, by `give_back`, or stays counted.
        """
        name, network, now = account.casefold(), _network(address), self._now()
        with self._lock:
            wait_s = self._wait_of(name, network, now)
            if wait_s == 0.0:
                self._count(name, network, now)
        return wait_s

    def wait_s(self, account: str, address: str) -> float:
        """Seconds until a login for this account from this address is looked at; 0 is now."""
        name, network, now = account.casefold(), _network(address), self._now()
        with self._lock:
            return self._wait_of(name, network, now)

    def right(self, account: str, address: str) -> None:
        """Forget the wrong passwords of this account from here; its owner sits here."""
        name, network, now = account.casefold(), _network(address), self._now()
        with self._lock:
            for key in _counted(name, network):
                self._counts.pop(key, None)
            self._spend(name, -1.0, now)
            if network is not None:
                self._remember(name, network)

    def give_back(self, account: str, address: str) -> None:
        """Count a try no longer that was not wrong, or that nobody could decide."""
        name, network, now = account.casefold(), _network(address), self._now()
        with self._lock:
            for key in _counted(name, network):
                before = self._counts.get(key)
                if before is not None:
                    self._counts[key] = before.given_back(now)
            self._spend(name, -1.0, now)

    def _wait_of(self, name: str, network: str | None, now: float) -> float:
        found = (self._counts.get(key) for key in _counted(name, network))
        waits = [count.free_at() - now for count in found if count is not None]
        if network is not None and network not in self._came_in.get(name, ()):
            over = self._spent_of(name, now) - FREE_TRIES_OF_ACCOUNT + 1.0
            waits.append(over * ONE_MORE_OF_ACCOUNT_S)
        return max([*waits, 0.0])

    def _count(self, name: str, network: str | None, now: float) -> None:
        for key, free in _counted(name, network).items():
            before = self._counts.get(key)
            known = before is not None and now - before.last <= FORGET_AFTER_S
            self._counts[key] = _Count(free, before.wrong + 1 if before and known else 1, now)
        self._spend(name, 1.0, now)
        if len(self._counts) > _MOST_ENTRIES:
            self._counts = _heaviest(self._counts, lambda count: count.weight(now))
        if len(self._spent) > _MOST_ENTRIES:
            self._spent = _heaviest(self._spent, lambda kept: _left(kept, now))

    def _spend(self, name: str, tries: float, now: float) -> None:
        spent = self._spent_of(name, now) + tries
        if spent > 0.0:
            self._spent[name] = (spent, now)
        else:
            self._spent.pop(name, None)

    def _spent_of(self, name: str, now: float) -> float:
        """How many of the free tries of an account are used up; they come back with time."""
        return _left(self._spent.get(name, (0.0, now)), now)

    def _remember(self, name: str, network: str) -> None:
        """An account came in from here; so many places each, so that none pushes out another's."""
        places = self._came_in.setdefault(name, OrderedDict())
        places[network] = None
        places.move_to_end(network)
        self._came_in.move_to_end(name)
        if len(places) > _PLACES_OF_ACCOUNT:
            places.popitem(last=False)
        if len(self._came_in) > _MOST_ENTRIES:
            self._came_in.popitem(last=False)


def _left(spent: tuple[float, float], now: float) -> float:
    tries, then = spent
    return max(tries - (now - then) / ONE_MORE_OF_ACCOUNT_S, 0.0)


def _heaviest(kept: dict[K, V], weight: Callable[[V], float]) -> dict[K, V]:
    """What weighs most, of the same weight the newest; less than may be kept, for some peace."""
    order = sorted(kept, key=lambda key: weight(kept[key]))
    return {key: kept[key] for key in order[-_KEPT_ENTRIES:]}


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
