"""The faults of a scenario, drawn from its seed.

A crash, a stop, a start, a pause, a cut of any shape, a link that flaps, loss; a server that
shall not lead, that boasts of epochs or of heads, that was copied, whose disk is lost; a
witness that falls silent. Wall clocks jump all the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.simulator import invariants
from tests.simulator.world import World

_JUMPS_S = (0.0, -3600.0, 3600.0, 30 * 86400.0)


class Faults:
    """What may happen to a world. Wall clocks jump `jumps` times as far as `wall` draws."""

    def __init__(
        self, world: World, chance: random.Random, wall: random.Random, jumps: float
    ) -> None:
        self.world, self.chance = world, chance
        self._wall, self._jumps = wall, jumps
        self.count = world.count
        self._all: tuple[Callable[[], None], ...] = (
            *(self._crash, self._crash, self._restart, self._stop, self._pause, self._pause),
            *(self._divide, self._divide, self._one_way, self._some_cuts, self._star),
            *(self._ring, self._flap, self._lossy, self._bar, self._bar, self.heal),
            *(self._boast, self._clone, self._witness, self._lose_disk),
        )

    def draw(self) -> None:
        """One or two of them."""
        for _ in range(self.chance.choice((1, 1, 2))):
            self.chance.choice(self._all)()
            self.world.fault_times.append(self.world.now)

    def jump_all(self) -> None:
        """Each server's wall clock jumps, or does not."""
        for number in range(self.count):
            self.world.walls[number] += self._jumps * self._wall.choice(_JUMPS_S)

    def heal(self) -> None:
        """Mend all links, end every boast, every copy and every silence of the witness."""
        world = self.world
        for node in world.nodes.values():
            node.boasts = ""
        world.network.set_cut(set())
        world.network.loss = 0.0
        for number in list(world.twins):
            world.end_clone(number)
        if world.witnessed:
            world.ask_witness(set())

    def _any(self, running: bool) -> int | None:
        fitting = [
            n
            for n in range(self.count)
            if (n in self.world.nodes) is running and n not in self.world.twins
        ]
        return self.chance.choice(fitting) if fitting else None

    def _crash(self) -> None:
        number = self._any(running=True)
        if number is not None and len(self.world.nodes) > 1:
            self.world.crash(number)

    def _restart(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            number = self._any(running=False)
            if number in self.world.lost_disks:
                self.world.put_in_place(number)
            elif number is not None:
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
        self.world.divide(side, set(range(self.count)) - side)

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
        reason = "maintenance" if self.chance.random() < 0.7 else None
        seconds = self.chance.choice((None, 3.0, 20.0))
        if number is not None:
            self.world.bar(number, reason, None if reason is None else seconds)

    def _boast(self) -> None:
        """A member says that there is a higher epoch, or a head, that there is not."""
        number = self._any(running=True)
        if number is None:
            return
        boaster = self.world.nodes[number]
        boaster.boasts = self.chance.choice(("epochs", "epochs", "heads"))
        self.world.run(6 * self.world.timing.dead_s)
        invariants.check_storm(self.world)
        # Who claims waits for such a head as long as it may: the rest of the scenario would.
        if boaster.boasts == "heads":
            boaster.boasts = ""
            self.world.run(self.world.timing.catch_up_s)

    def _clone(self) -> None:
        number = self._any(running=True)
        if number is not None and self.world.answers(number):
            self.world.clone(number)

    def _witness(self) -> None:
        """R13: some do not reach the witness, or all do again."""
        share = self.chance.choice((0.0, 0.3, 1.0))
        silent = {n for n in range(self.count) if self.chance.random() < share}
        self.world.ask_witness(silent)

    def _lose_disk(self) -> None:
        """At most one in a scenario: what is on two disks survives the loss of one (I4)."""
        number = self.chance.randrange(self.count)
        others = set(self.world.nodes) - {number}
        lost_before = self.world.lost_disks or self.world.identity
        if others and not lost_before and number not in self.world.twins:
            self.world.lose_disk(number)
