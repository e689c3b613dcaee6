"""One simulated server: what it knows while it runs, and its disk, which survives a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon, Durable, Relay, View
from scheduler.presets import Timing
from scheduler.round_trips import RoundTrips
from tests.simulator.lines import Line
from tests.simulator.releases import Release

PRIMARY = ControlRole.PRIMARY


Said = tuple[Beacon, tuple[Relay, ...], int]


@dataclass
class Side:
    """One end of a connection. `lacks`: of whom the other side wants to be told."""

    serial: int
    trips: RoundTrips
    lacks: int = 0


@dataclass
class Disk:
    """What survives a crash, unless it is the disk that is lost."""

    durable: Durable = field(default_factory=Durable)
    line: Line = field(default_factory=Line)


@dataclass
class Node:
    """One running server. Its clock shows `1000 + rate * time`.

    `calm_at` is when something last happened to it alone (a start, a pause, a bar). `stale`
    is a term that it led when it was paused for too long. `boasts` says of what there is
    more than there is. `cards` are the identities of the others that it knows.
    """

    id: int
    view: View
    release: Release
    rate: float
    started_at: float
    calm_at: float
    cards: dict[int, int]
    seq: int = 0
    paused_until: float = 0.0
    led_at: float = 0.0
    stale: int = -1
    held: bool = False
    boasts: str = ""
    bar_ends_at: float | None = None
    waiting: list[Callable[[], None]] = field(default_factory=list)
    said: Said | None = None
    sides: dict[int, Side] = field(default_factory=dict)
    pushing: set[int] = field(default_factory=set)
    partner: int = 0

    @property
    def timing(self) -> Timing:
        """The times of its release."""
        return self.view.timing

    @property
    def leads(self) -> bool:
        """Whether it leads."""
        return self.view.role is PRIMARY
