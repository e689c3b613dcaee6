"""One scenario: servers, faults and commits drawn from a seed, then calm and the final checks.

A scenario is a row of phases. Each begins with a fault (a crash, a start, a pause, a cut of
any shape, loss, a server that shall not lead, …) and lasts from half a second to long
enough for everybody to agree, which is then checked. At the end all is mended and started.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from scheduler.control_view import Barred
from scheduler.presets import LAN, WAN
from tests.simulator import invariants
from tests.simulator.lines import Violated
from tests.simulator.rules import REAL, Rules
from tests.simulator.world import World

_COMMIT_S = 0.9


@dataclass(frozen=True)
class Result:
    """What a scenario showed. `violation` is empty if nothing broke."""

    seed: int
    violation: str
    acknowledged: int
    lost: int
    claims: int
    trace: str = ""


def simulate(seed: int, rules: Rules = REAL, counts: tuple[int, int] = (2, 8)) -> Result:
    """Run the scenario of a seed."""
    scenario = Scenario(seed, replace(rules, check_cause=invariants.check_cause), counts)
    violation = ""
    try:
        scenario.run()
    except Violated as broken:
        violation = str(broken)
    world = scenario.world
    acknowledged = world.history.acknowledged.bit_count() - 1
    missing = invariants.lost(world) if not violation and world.nodes else 0
    trace = repr(world.roles)
    return Result(seed, violation, acknowledged, missing, len(world.claims), trace)


class Scenario:
    """The phases of one seed."""

    def __init__(self, seed: int, rules: Rules, counts: tuple[int, int], wall: int = 0) -> None:
        self.chance = random.Random(f"faults of {seed}")
        fewest, most = counts
        # Small clusters are what people have, and they run fast: half have at most 4.
        most = self.chance.choice((min(4, most), most))
        self.count = self.chance.randint(fewest, most)
        self.timing = WAN if self.chance.random() < 0.15 else LAN
        self.world = World(seed, self.count, self.timing, rules)
        if self.timing is WAN or self.chance.random() < 0.1:
            self.world.network.latency_s = (0.05, 0.15) if self.timing is WAN else (0.01, 0.05)
        self.wall = wall

    def run(self) -> None:
        """All phases, then mend everything and check the rest."""
        world, chance = self.world, self.chance
        world.boot(0) if chance.random() < 0.5 else world.boot(self.count - 1)
        for number in range(self.count):
            if number not in world.nodes and chance.random() < 0.9:
                world.boot(number)
        world.after(_COMMIT_S, self._commit)
        self._calm(self.timing.boot_s + self.timing.dead_s + self.timing.claim_s + 1)
        for _ in range(chance.randint(2, 5)):
            self._fault()
            self._phase()
        self._mend()

    def _commit(self) -> None:
        self.world.commit()
        self.world.after(_COMMIT_S * self.chance.uniform(0.2, 2.0), self._commit)

    # --- faults ---------------------------------------------------------------------------

    def _fault(self) -> None:
        faults: tuple[Callable[[], None], ...] = (
            *(self._crash, self._crash, self._restart, self._stop, self._pause, self._pause),
            *(self._divide, self._divide, self._one_way, self._some_cuts, self._star),
            *(self._ring, self._flap, self._lossy, self._bar, self._heal, self._wall_jump),
            self._boast,
        )
        for _ in range(self.chance.choice((1, 1, 2))):
            self.chance.choice(faults)()
            self.world.fault_times.append(self.world.now)

    def _any(self, running: bool) -> int | None:
        fitting = [n for n in range(self.count) if (n in self.world.nodes) is running]
        return self.chance.choice(fitting) if fitting else None

    def _crash(self) -> None:
        number = self._any(running=True)
        if number is not None and len(self.world.nodes) > 1:
            self.world.crash(number)

    def _restart(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            number = self._any(running=False)
            if number is not None:
                self.world.boot(number)

    def _stop(self) -> None:
        number = self._any(running=True)
        if number is not None and len(self.world.nodes) > 1:
            self.world.stop(number)

    def _pause(self) -> None:
        number = self._any(running=True)
        if number is not None:
            self.world.pause(number, self.chance.choice((1.0, 2.5, 4.0, 12.0, 30.0)))

    def _divide(self) -> None:
        side = {n for n in range(self.count) if self.chance.random() < 0.5}
        self.world.network.set_cut(
            {
                (a, b)
                for a in range(self.count)
                for b in range(self.count)
                if a != b and (a in side) is not (b in side)
            }
        )

    def _one_way(self) -> None:
        a, b = self.chance.sample(range(self.count), 2)
        self.world.network.set_cut(self.world.network.cut | {(a, b)})

    def _some_cuts(self) -> None:
        """Links that are cut here and there: who reaches whom is not transitive."""
        share = self.chance.uniform(0.1, 0.6)
        pairs = list(self.world.network.links)
        cut = [pair for pair in pairs if self.chance.random() < share]
        self.world.network.set_cut({way for a, b in cut for way in ((a, b), (b, a))})

    def _star(self) -> None:
        hub = self.chance.randrange(self.count)
        self.world.network.set_cut(
            {
                way
                for a, b in self.world.network.links
                if hub not in (a, b)
                for way in ((a, b), (b, a))
            }
        )

    def _ring(self) -> None:
        """Each server is heard by the next one only: nobody has an answer."""
        ways = {(n, (n + 1) % self.count) for n in range(self.count)}
        everything = {w for a, b in self.world.network.links for w in ((a, b), (b, a))}
        if self.count > 2:
            self.world.network.set_cut(everything - ways)

    def _flap(self) -> None:
        a, b = self.chance.sample(range(self.count), 2)
        for _ in range(self.chance.randint(2, 6)):
            self.world.network.set_cut(self.world.network.cut ^ {(a, b), (b, a)})
            self.world.run(self.chance.uniform(0.3, 5.0))

    def _lossy(self) -> None:
        self.world.network.loss = self.chance.choice((0.0, 0.01, 0.05, 0.2))

    def _bar(self) -> None:
        number = self._any(running=True)
        if number is not None:
            barred = Barred("maintenance") if self.chance.random() < 0.7 else None
            self.world.barred_at = self.world.now
            self.world.bar(number, barred)

    def _boast(self) -> None:
        """A member says that there is a higher epoch than there is, whatever there is."""
        number = self._any(running=True)
        if number is not None:
            self.world.nodes[number].boasts = True
            self.world.run(6 * self.timing.dead_s)
            invariants.check_storm(self.world)

    def _heal(self) -> None:
        for node in self.world.nodes.values():
            node.boasts = False
        self.world.network.set_cut(set())
        self.world.network.loss = 0.0

    def _wall_jump(self) -> None:
        self.world.wall += self.chance.choice((-3600.0, 3600.0, 30 * 86400.0))

    # --- calm -----------------------------------------------------------------------------

    def _phase(self) -> None:
        timing, chance = self.timing, self.chance
        elected_s = timing.boot_s + timing.dead_s + timing.claim_s + 1 + timing.dial_s
        length = chance.choice((0.5, chance.uniform(1, timing.dead_s), elected_s, elected_s))
        self._calm(length)
        quiet = self.world.network.loss < 0.02 and not self._paused()
        if length == elected_s and quiet and not self._late():
            invariants.check_leaders(self.world)
        if quiet and chance.random() < 0.15:
            self._agree()

    def _calm(self, seconds: float) -> None:
        self.world.run(seconds)
        invariants.check_storm(self.world)

    def _paused(self) -> bool:
        return any(node.paused_until > self.world.now for node in self.world.nodes.values())

    def _late(self) -> bool:
        """Whether somebody began to listen, or to catch up, too late to lead already."""
        since = self.world.now - self.timing.boot_s - self.timing.dead_s - self.timing.catch_up_s
        return any(node.calm_at > since for node in self.world.nodes.values())

    def _agree(self) -> None:
        """I1: everybody agrees when nothing has happened for T_conv."""
        world, timing = self.world, self.timing
        patience = max((p.patience for n in world.nodes.values() for p in n.view.peers), default=1)
        limit = timing.boot_s + timing.preempt_s * patience + 2 * timing.dead_s
        limit += timing.handover_s + timing.catch_up_s + 2 * timing.dial_s + 5
        until = world.now + limit
        while world.now < until and not invariants.agreed(world):
            world.run(0.5)
        invariants.check_agreement(world)

    def _mend(self) -> None:
        world = self.world
        self._heal()
        for number in range(self.count):
            if number not in world.nodes:
                world.boot(number)
        latest = max(node.paused_until for node in world.nodes.values())
        world.run(max(0.0, latest - world.now) + self.timing.dead_s + 2 * self.timing.dial_s)
        self._agree()
        changes = len(world.roles)
        world.run(4 * self.timing.dead_s)
        self._settle_heads()
        if len(world.roles) != changes:
            raise Violated(f"I6: roles changed without a cause: {world.roles[changes:]}")
        invariants.check_agreement(world)
        invariants.check_storm(world)

    def _settle_heads(self) -> None:
        """I4, I8: without new commits all heads become equal."""
        world = self.world
        until = world.now + 10 * self.timing.dead_s
        world.stopped = True
        while world.now < until:
            world.run(self.timing.hb_s)
            if len({disk.line.cluster for disk in world.disks}) == 1:
                break
        invariants.check_heads(world)
