"""Connections between simulated servers: TCP that stalls when packets are lost or cut.

A lost packet is sent again after 0.2 s, 0.4 s, …, and what follows waits behind it; a cut
loses every packet of its direction. Opening a connection needs both directions, and fails
if its first packets are lost. Who waits in vain for a connection dials again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.presets import Timing

RETRANSMIT_S = 0.2
LONGEST_RETRANSMIT_S = 8.0
QUEUED = 64


@dataclass
class Way:
    """One direction of a connection; `queue` holds what waits behind a lost packet."""

    queue: list[Callable[[], None]] | None = None
    tries: int = 0
    free_at: float = 0.0


@dataclass
class Link:
    """Two servers and the connection between them; `serial` counts its connections."""

    pair: tuple[int, int]
    up: bool = False
    serial: int = 0
    dialling: bool = False
    fresh: bool = False
    ways: tuple[Way, Way] = field(default_factory=lambda: (Way(), Way()))
    mended_at: float = 0.0

    def close(self) -> None:
        """End the connection; what is under way is lost."""
        self.up = self.fresh = False
        self.serial += 1
        self.ways = (Way(), Way())


class Network:
    """All links of a world.

    Args:
        at: does something after some seconds.
        answers: whether a server runs and reacts.
        opened: is told when a connection was opened.
    """

    def __init__(
        self,
        count: int,
        chance: random.Random,
        timing: Timing,
        now: Callable[[], float],
        at: Callable[..., None],
        answers: Callable[[int], bool],
        opened: Callable[[int, int], None],
    ) -> None:
        self.loss = 0.0
        self.latency_s = (0.001, 0.02)
        self.cut: set[tuple[int, int]] = set()
        self.links = {(a, b): Link((a, b)) for a in range(count) for b in range(a + 1, count)}
        self._chance = chance
        self._dial_s = timing.dial_s
        self._pause_s = timing.hb_s
        self._now, self._at, self._answers, self._opened = now, at, answers, opened

    def link(self, a: int, b: int) -> Link:
        """The link between two servers."""
        return self.links[(a, b) if a < b else (b, a)]

    def whole(self, a: int, b: int) -> bool:
        """Whether nothing is cut between two servers."""
        return (a, b) not in self.cut and (b, a) not in self.cut

    def set_cut(self, cut: set[tuple[int, int]]) -> None:
        """Cut these directions, mend all others."""
        for (a, b), link in self.links.items():
            if {(a, b), (b, a)} & (cut ^ self.cut):
                link.mended_at = self._now()
        self.cut = cut

    def send(self, a: int, b: int, deliver: Callable[[], None]) -> None:
        """Send something over the connection, if there is one."""
        link = self.link(a, b)
        if not link.up:
            return
        way = link.ways[a < b]
        if way.queue is not None:
            if len(way.queue) < QUEUED:
                way.queue.append(deliver)
        elif self._lost(a, b):
            way.queue, way.tries = [deliver], 0
            self._at(RETRANSMIT_S, self._again, link, link.serial, a, b)
        else:
            self._pass(link, way, deliver)

    def _lost(self, a: int, b: int) -> bool:
        if (a, b) in self.cut:
            return True
        return self.loss > 0 and self._chance.random() < self.loss

    def _pass(self, link: Link, way: Way, deliver: Callable[[], None]) -> None:
        now = self._now()
        at = max(way.free_at, now + self._chance.uniform(*self.latency_s))
        way.free_at = at
        self._at(at - now, self._deliver, link, link.serial, deliver)

    def _deliver(self, link: Link, serial: int, deliver: Callable[[], None]) -> None:
        if link.serial == serial:
            deliver()

    def _again(self, link: Link, serial: int, a: int, b: int) -> None:
        if link.serial != serial:
            return
        way = link.ways[a < b]
        if self._lost(a, b):
            way.tries += 1
            pause_s = min(RETRANSMIT_S * 2**way.tries, LONGEST_RETRANSMIT_S)
            self._at(pause_s, self._again, link, serial, a, b)
            return
        queue, way.queue = way.queue or [], None
        for deliver in queue:
            self._pass(link, way, deliver)

    # --- opening --------------------------------------------------------------------------

    def dial(self, a: int, b: int, *, fresh: bool = False) -> None:
        """Open a connection, again and again until there is one; `fresh`: a second one."""
        link = self.link(a, b)
        link.fresh = link.fresh or fresh
        if not link.dialling and (not link.up or link.fresh):
            link.dialling = True
            self._at(self._chance.uniform(0.0, 0.05), self._try, link)

    def settle(self, a: int, b: int) -> None:
        """The connection answers again: no second one is needed."""
        self.link(a, b).fresh = False

    def _try(self, link: Link) -> None:
        a, b = link.pair
        if link.up and not link.fresh:
            link.dialling = False
            return
        reached = self.whole(a, b) and self._answers(a) and self._answers(b)
        if reached and not self._lost(a, b) and not self._lost(b, a):
            link.dialling = False
            self._at(3 * 2 * self._chance.uniform(*self.latency_s), self._open, link)
        else:
            pause_s = self._dial_s + self._pause_s * self._chance.uniform(0.9, 1.1)
            self._at(pause_s, self._try, link)

    def _open(self, link: Link) -> None:
        a, b = link.pair
        if self._answers(a) and self._answers(b) and self.whole(a, b):
            link.close()
            link.up = True
            self._opened(a, b)
        else:
            self.dial(a, b)
