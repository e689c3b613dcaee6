"""One scenario: servers, faults and commits drawn from a seed, then calm and the final checks.

A scenario is a row of phases. Each begins with a fault (`faults`) and lasts from half a second
to long enough for everybody to agree, which is then checked. At the end all is mended and
started. One in four runs servers of several releases (I11).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from scheduler.presets import LAN, WAN
from tests.simulator import invariants
from tests.simulator.faults import Faults
from tests.simulator.lines import Violated
from tests.simulator.rules import REAL, Rules
from tests.simulator.world import World

_COMMIT_S = 0.9
_MIXED = 0.25


@dataclass(frozen=True)
class Result:
    """What a scenario showed. `violation` is empty if nothing broke.

    `waived` commits were on one disk only, and that disk was lost.
    """

    seed: int
    violation: str
    acknowledged: int
    lost: int
    waived: int
    claims: int
    trace: str = ""


def simulate(
    seed: int,
    rules: Rules = REAL,
    counts: tuple[int, int] = (2, 8),
    make: Callable[..., World] = World,
) -> Result:
    """Run the scenario of a seed."""
    scenario = Scenario(seed, rules, counts, make=make)
    violation = ""
    try:
        scenario.run()
    except Violated as broken:
        violation = str(broken)
    world = scenario.world
    acknowledged = world.history.acknowledged.bit_count() - 1
    missing = invariants.lost(world) if not violation and world.nodes else 0
    trace, waived = repr(world.roles), world.history.waived
    return Result(seed, violation, acknowledged, missing, waived, len(world.claims), trace)


def trace_of(seed: int, jumps: float, make: Callable[..., World] = World) -> str:
    """I7: a digest of all that happens in a scenario whose wall clocks jump `jumps` times as far.

    It goes on where an invariant breaks: what is compared is whether the same thing happens.
    """
    scenario = Scenario(seed, REAL, (2, 8), jumps=jumps, traced=True, make=make)
    try:
        scenario.run()
    except Violated as broken:
        return str(broken).splitlines()[0]
    assert scenario.world.trace is not None
    return scenario.world.trace.hexdigest()


class Scenario:
    """The phases of one seed. `jumps`: how far wall clocks jump; 0: not at all."""

    def __init__(
        self,
        seed: int,
        rules: Rules,
        counts: tuple[int, int],
        *,
        jumps: float = 1.0,
        traced: bool = False,
        make: Callable[..., World] = World,
    ) -> None:
        chance = self.chance = random.Random(f"faults of {seed}")
        fewest, most = counts
        # Small clusters are what people have, and they run fast: half have at most 4.
        most = chance.choice((min(4, most), most))
        count = chance.randint(fewest, most)
        preset = WAN if chance.random() < 0.15 else LAN
        mixed = chance.random() < _MIXED
        watched = replace(rules, check_cause=invariants.check_cause)
        self.world = make(seed, count, preset, watched, mixed=mixed, traced=traced)
        self.timing = self.world.timing
        if preset is WAN or chance.random() < 0.1:
            self.world.network.latency_s = (0.05, 0.15) if preset is WAN else (0.01, 0.05)
        self.faults = Faults(self.world, chance, random.Random(f"wall clocks of {seed}"), jumps)

    def run(self) -> None:
        """All phases, then mend everything and check the rest."""
        world, chance = self.world, self.chance
        world.boot(0) if chance.random() < 0.5 else world.boot(world.count - 1)
        for number in range(world.count):
            if number not in world.nodes and chance.random() < 0.9:
                world.boot(number)
        world.after(_COMMIT_S, self._commit)
        self._calm(self.timing.boot_s + self.timing.dead_s + self.timing.claim_s + 1)
        for _ in range(chance.randint(2, 5)):
            self.faults.draw()
            self.faults.jump_all()
            self._phase()
        self._mend()

    def _commit(self) -> None:
        self.world.commit()
        self.world.after(_COMMIT_S * self.chance.uniform(0.2, 2.0), self._commit)

    def _phase(self) -> None:
        timing, chance = self.timing, self.chance
        elected_s = timing.boot_s + timing.dead_s + timing.claim_s + 1 + timing.dial_s
        length = chance.choice((0.5, chance.uniform(1, timing.dead_s), elected_s, elected_s))
        self._calm(length)
        quiet = self.world.network.loss < 0.02 and not self._paused()
        if length == elected_s and quiet and not self._late():
            invariants.check_leaders(self.world)
        if quiet and not self.world.unwitnessed and chance.random() < 0.15:
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
        world.run(world.bars_end_in())
        patience = max((p.patience for n in world.nodes.values() for p in n.view.peers), default=1)
        limit = timing.boot_s + timing.preempt_s * patience + 2 * timing.dead_s
        limit += timing.handover_s + timing.catch_up_s + 2 * timing.dial_s + 5
        until = world.now + limit
        while world.now < until and not invariants.agreed(world):
            world.run(0.5)
        invariants.check_agreement(world)

    def _mend(self) -> None:
        world = self.world
        self.faults.heal()
        for number in range(world.count):
            if number not in world.nodes and number not in world.lost_disks:
                world.boot(number)
        latest = max(node.paused_until for node in world.nodes.values())
        world.run(max(0.0, latest - world.now) + self.timing.dead_s + 2 * self.timing.dial_s)
        self._put_all_in_place()
        self._agree()
        changes = len(world.roles)
        world.run(4 * self.timing.dead_s)
        self._settle_heads()
        if len(world.roles) != changes:
            raise Violated(f"I6: roles changed without a cause: {world.roles[changes:]}")
        invariants.check_agreement(world)
        invariants.check_storm(world)

    def _put_all_in_place(self) -> None:
        world = self.world
        until = world.now + 2 * (self.timing.boot_s + self.timing.dead_s) + self.timing.catch_up_s
        for number in sorted(world.lost_disks):
            while not world.put_in_place(number):
                if world.now > until:
                    raise Violated(f"I9: nobody leads, so BQN {number} cannot be replaced")
                world.run(0.5)

    def _settle_heads(self) -> None:
        """I4, I8: without new commits all heads become equal, and then nothing moves any more."""
        world = self.world
        until = world.now + 10 * self.timing.dead_s
        world.stopped = True
        while world.now < until:
            world.run(self.timing.hb_s)
            if len({disk.line.cluster for disk in world.disks}) == 1:
                break
        invariants.check_heads(world)
        commits = len(world.history)
        world.run(2 * self.timing.dead_s)
        invariants.check_heads(world)
        if len(world.history) != commits:
            raise Violated("I8: there is still something to merge when all heads are equal")
