"""How long nobody leads: after a cut, a crash and a planned stop, beside keepalived.

    python bench/takeover.py [--quick] [--keepalived PATH] [--sizes 2,3,16] [--kills N]

Real control rooms with the preset *lan* and keepalived with its default timers run in the
same network namespaces. A kill takes the server that leads; the time ends when another one
says that it leads. The last line holds the worst p99 over all sizes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures
from bench.contest import Cluster, Vrrp
from bench.figures import Figures, RivalMissing
from bench.namespaces import Network, require

KILLS = 50
KILLS_AT_16 = 20
PARALLEL = {2: 6, 3: 5, 16: 1}
RETURNS = 3
_LIMIT_S = 3600
_LIMIT_QUICK_S = 240


@dataclass
class Taken:
    """Seconds until somebody leads again, of one size, by how the leader went away."""

    size: int
    cut: list[float] = field(default_factory=list)
    crash: list[float] = field(default_factory=list)
    stop: list[float] = field(default_factory=list)
    keepalived: list[float] = field(default_factory=list)
    heal: list[float] = field(default_factory=list)
    double: list[float] = field(default_factory=list)


class World:
    """One cluster and its keepalived in namespaces of their own."""

    def __init__(self, name: str, taken: Taken, place: Path, keepalived: str) -> None:
        self._taken = taken
        self._stack = ExitStack()
        # Jitter puts a kill anywhere between two heartbeats.
        self._random = random.Random(name)  # noqa: S311
        self._pause = threading.Event()
        with ExitStack() as stack:
            network = self._network = Network(name, taken.size)
            stack.callback(network.remove)
            place.mkdir()
            self._cluster = Cluster(network, taken.size, place)
            stack.callback(self._cluster.close)
            for number in range(taken.size):
                self._cluster.start(number)
            self._vrrp = Vrrp(network, taken.size, place, keepalived)
            stack.callback(self._vrrp.close)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Stop everything of it."""
        self._pause.set()
        self._stack.close()

    def settle(self) -> None:
        """Wait until everything is in order again, and then some heartbeats' worth."""
        self._cluster.watched.wait(self._cluster.ready, "one primary")
        self._pause.wait(self._cluster.seconds_until_grown() + self._random.uniform(0.0, 0.8))
        self._cluster.watched.wait(self._cluster.ready, "one primary")

    def _lowest_leads(self) -> bool:
        return self._cluster.ready() and self._cluster.leader == 0

    def cut(self) -> None:
        """Cut the leader off, and heal."""
        # Both clusters take the same cut, so both must be led by the lowest id.
        self._cluster.watched.wait(self._lowest_leads, "BQN 0 leads")
        self.settle()
        self._vrrp.watched.wait(self._vrrp.ready, "a master of keepalived")
        victim = self._cluster.leader
        began = monotonic()
        self._network.cut(victim)
        self._taken.cut.append(self._cluster.watched.led_after(began, victim) - began)
        self._taken.keepalived.append(self._vrrp.watched.led_after(began, 0) - began)
        healed = monotonic()
        self._network.heal(victim)
        self._cluster.watched.wait(self._cluster.ready, "one primary after healing")
        last = max(at for at, _, _ in self._cluster.watched.events)
        self._taken.heal.append(max(last - healed, 0.0))

    def crash(self) -> None:
        """Kill the leader, and start it again."""
        self.settle()
        victim = self._cluster.leader
        began = self._cluster.crash(victim)
        self._taken.crash.append(self._cluster.watched.led_after(began, victim) - began)
        self._cluster.start(victim)

    def stop(self) -> None:
        """Stop the leader as planned, and start it again."""
        self.settle()
        victim = self._cluster.leader
        began = self._cluster.stop(victim)
        self._taken.stop.append(self._cluster.watched.led_after(began, victim) - began)
        self._cluster.reap(victim)
        self._cluster.start(victim)

    def come_back(self) -> None:
        """Wait until the lowest id leads again, and see how long two did."""
        self.settle()
        if self._cluster.leader == 0:
            began = self._cluster.crash(0)
            self._cluster.watched.led_after(began, 0)
            self._cluster.start(0)
        watched = self._cluster.watched
        watched.wait(lambda: watched.now.get(0, {}).get("role") == "primary", "the return of id 0")
        watched.wait(self._cluster.ready, "one primary")
        self._taken.double.append(_last_overlap(watched.events))


def _last_overlap(events: list[tuple[float, int, str]]) -> float:
    """How long the last primary led while the one before it still said that it leads."""
    began = max(at for at, _, role in events if role == "primary")
    others: dict[int, str] = {}
    for at, server, role in events:
        if at < began:
            others[server] = role
    still = [server for server, role in others.items() if role == "primary"]
    ends = [at for at, server, role in events if at >= began and server in still]
    return max(ends) - began if ends else 0.0


def contest(size: int, kills: int, worlds: int, place: Path, keepalived: str) -> Taken:
    """All kills of one size, in so many clusters at the same time."""
    taken = Taken(size)
    each = [kills // worlds + (number < kills % worlds) for number in range(worlds)]

    def one(number: int) -> None:
        name = f"bqnb{os.getpid()}x{size}w{number}"
        world = World(name, taken, place / f"{size}-{number}", keepalived)
        try:
            for deed in (world.cut, world.crash, world.stop):
                _repeat(deed, each[number])
            if number < RETURNS and kills >= KILLS_AT_16:
                world.come_back()
        finally:
            world.close()

    with ThreadPoolExecutor(worlds) as pool:
        for result in [pool.submit(one, number) for number in range(worlds)]:
            result.result()
    return taken


def _repeat(deed: Callable[[], None], times: int) -> None:
    for _ in range(times):
        deed()


def tell(taken: Taken) -> None:
    """The figures of one size in words."""
    rows = (
        ("cut", taken.cut),
        ("crash", taken.crash),
        ("planned stop", taken.stop),
        ("keepalived, cut", taken.keepalived),
        ("one primary after healing", taken.heal),
        ("two primaries at the return of id 0", taken.double),
    )
    for what, values in rows:
        if values:
            spread = figures.spread(values)
            figures.note(f"{taken.size} servers, {what}: {spread} ({len(values)} times)")


def run(arguments: argparse.Namespace) -> Figures:
    """Measure every size."""
    require()
    keepalived = shutil.which(arguments.keepalived)
    if keepalived is None:
        raise RivalMissing(
            f"{arguments.keepalived} is missing: apt-get install keepalived, or --keepalived PATH"
        )
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with TemporaryDirectory(prefix="bqn-takeover-") as folder:
        if arguments.quick:
            with ThreadPoolExecutor(len(sizes)) as pool:
                work = [
                    pool.submit(contest, size, arguments.kills, 2, Path(folder), keepalived)
                    for size in sizes
                ]
                results = [one.result() for one in work]
        else:
            results = []
            for size in sizes:
                kills = min(arguments.kills, KILLS_AT_16 if size >= 16 else arguments.kills)
                parallel = min(PARALLEL.get(size, 2), kills)
                results.append(contest(size, kills, parallel, Path(folder), keepalived))
    for taken in results:
        tell(taken)
    return figures_of(results)


def figures_of(results: list[Taken]) -> Figures:
    """The worst p99 over all sizes."""
    return {
        "cut_p99_s": max(figures.quantile(one.cut, 0.99) for one in results),
        "crash_p99_s": max(figures.quantile(one.crash, 0.99) for one in results),
        "stop_p99_s": max(figures.quantile(one.stop, 0.99) for one in results),
        "keepalived_p99_s": max(figures.quantile(one.keepalived, 0.99) for one in results),
    }


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--keepalived", default="keepalived", help="the program to compare with")
    parser.add_argument("--sizes", help="servers, with commas between (2,3,16; quick: 2,3)")
    parser.add_argument("--kills", type=int, help=f"per size and kind ({KILLS}; quick: 2)")
    arguments = parser.parse_args(words)
    arguments.sizes = arguments.sizes or ("2,3" if arguments.quick else "2,3,16")
    arguments.kills = arguments.kills or (2 if arguments.quick else KILLS)
    limit_s = _LIMIT_QUICK_S if arguments.quick else _LIMIT_S
    return figures.measure(lambda: run(arguments), limit_s)


if __name__ == "__main__":
    sys.exit(main())
