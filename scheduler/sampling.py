"""Throughput and CPU of this server.

The counters are the host's own (`/proc/net/dev`, `/proc/stat`): downlink is what the
ports towards the internet receive, uplink what they send; seen from the ports towards the
subscribers it is the other way round. In a demonstration the throughput is simulated, and
every value that comes from there says so.

Edge: files of /proc.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from configrepo.model import Files, ServerId
from scheduler.views import Sample

KEPT = 150
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Octets:
    """Octets that some ports received and sent since they came up."""

    received: int
    sent: int


class Meter(Protocol):
    """Where throughput comes from; a simulated one labels its values."""

    simulated: bool

    def kbps(self, now: float) -> tuple[int, int] | None:
        """Downlink and uplink in kbit/s since the last call, or None if not known."""
        ...


def internet_ports(files: Files, server: str) -> tuple[str, ...]:
    """The internet ports of the wires of a server, in the order of the wires."""
    words = (line.split() for line in files.get(f"servers/{server}/wire.conf", "").splitlines())
    return tuple(line[5] for line in words if len(line) >= 6 and line[0] == "wire")


def read_octets(table: str, ports: Iterable[str]) -> Octets | None:
    """Sum the counters of some ports of `/proc/net/dev`; None if none of them exists."""
    wanted = set(ports)
    received = sent = 0
    found = False
    for line in table.splitlines():
        name, colon, rest = line.partition(":")
        if colon and name.strip() in wanted:
            counters = rest.split()
            received, sent = received + int(counters[0]), sent + int(counters[8])
            found = True
    return Octets(received, sent) if found else None


class HostMeter:
    """The counters of this host's own ports.

    Args:
        ports: the ports to count, asked each time.
        towards: what the ports face.
        proc: where the kernel's tables are.
    """

    simulated = False

    def __init__(
        self,
        ports: Callable[[], Iterable[str]],
        towards: Literal["internet", "subscribers"] = "internet",
        proc: Path = PROC,
    ) -> None:
        self._ports = ports
        self._towards = towards
        self._table = proc / "net" / "dev"
        self._last: tuple[float, Octets] | None = None

    def kbps(self, now: float) -> tuple[int, int] | None:
        """See `Meter`. A counter that went back (a reset) gives no value once."""
        octets = read_octets(self._table.read_text(), self._ports())
        last, self._last = self._last, None if octets is None else (now, octets)
        if last is None or octets is None or now <= last[0]:
            return None
        received = octets.received - last[1].received
        sent = octets.sent - last[1].sent
        if received < 0 or sent < 0:
            return None
        scale = 8 / 1000 / (now - last[0])
        rates = round(received * scale), round(sent * scale)
        return rates if self._towards == "internet" else rates[::-1]


class SimulatedMeter:
    """A plausible day of a small provider; for demonstrations only."""

    simulated = True

    def __init__(self, seed: int) -> None:
        self._seed = seed
        # Not cryptography: the same server always shows the same picture.
        self._random = random.Random(seed)  # noqa: S311

    def kbps(self, now: float) -> tuple[int, int]:
        """See `Meter`."""
        wave = 1 + 0.3 * math.sin(now / 40 + self._seed) + 0.1 * math.sin(now / 7 + 2 * self._seed)
        downlink = 2_400_000 * (1 + 0.4 * self._seed) * wave * self._random.uniform(0.92, 1.08)
        return round(downlink), round(downlink * self._random.uniform(0.11, 0.14))


class Sampler:
    """The newest samples of this server, taken by a job."""

    def __init__(self, meter: Meter, wall: Callable[[], float], proc: Path = PROC) -> None:
        self._meter = meter
        self._wall = wall
        self._stat = proc / "stat"
        self._cpu: tuple[int, int] | None = None
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self.cpu_percent: float | None = None

    @property
    def simulated(self) -> bool:
        """Whether the throughput is simulated."""
        return self._meter.simulated

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The newest samples, oldest first."""
        return tuple(self._samples)

    def take(self, now: float) -> None:
        """Take one sample; `now` is monotonic seconds."""
        rates = self._meter.kbps(now)
        if rates is not None:
            self._samples.append(Sample(self._wall(), *rates))
        busy, total = read_cpu(self._stat.read_text())
        if self._cpu is not None and total > self._cpu[1]:
            self.cpu_percent = round(100 * (busy - self._cpu[0]) / (total - self._cpu[1]), 1)
        self._cpu = (busy, total)


def read_cpu(stat: str) -> tuple[int, int]:
    """Busy and total jiffies of all processors, from `/proc/stat`."""
    ticks = [int(word) for word in stat.partition("\n")[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def meter_of(
    source: str,
    access: tuple[str, ...],
    internet: tuple[str, ...],
    me: ServerId,
    files: Callable[[], Files],
) -> Meter:
    """The meter that the settings ask for; without named ports those of the wires count."""
    if source == "simulated":
        return SimulatedMeter(me)
    if access:
        return HostMeter(lambda: access, "subscribers")
    return HostMeter(lambda: internet or internet_ports(files(), str(me)))
