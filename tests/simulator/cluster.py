"""A simulated cluster in the hands of a test, which waits for what it expects."""

from __future__ import annotations

from collections.abc import Callable

from configrepo.model import ServerId
from scheduler.election_sentences import sentence
from scheduler.election_values import View
from scheduler.presets import LAN, Timing
from tests.simulator.world import World

SETTLED_S = LAN.boot_s + LAN.dead_s + LAN.claim_s + 1
_STEP_S = 0.01


class Cluster(World):
    """A world without chance in its faults. `double_s` is how long more than one led."""

    def __init__(self, count: int, timing: Timing = LAN) -> None:
        super().__init__(1, count, timing)
        self.double_s = 0.0

    def run_until(self, what: Callable[[], bool], within_s: float) -> float:
        """Let time pass until something holds; says how long it took."""
        began = self.now
        while not what():
            assert self.now - began < within_s, self.describe()
            self.run(_STEP_S)
            self.double_s += _STEP_S if len(self.leaders) > 1 else 0.0
        return self.now - began

    def heal(self) -> None:
        """Mend every link."""
        self.network.set_cut(set())

    def commit_at(self, number: int) -> int:
        """Commit at a server that leads."""
        return self.copies.commit(self.nodes[number])

    def holds(self, number: int, *commits: int) -> bool:
        """Whether the head of a server contains these."""
        held = self.history.contains[self.disks[number].line.cluster]
        return all(held >> commit & 1 for commit in commits)

    def view(self, number: int) -> View:
        """What a running server knows."""
        return self.nodes[number].view

    @property
    def leaders(self) -> list[int]:
        """The servers that lead now."""
        return sorted(number for number in self.nodes if self.leads(number))

    def agreed(self, leader: int) -> bool:
        """Whether exactly that server leads and all others that run follow it."""
        others = [node for number, node in self.nodes.items() if number != leader]
        return self.leaders == [leader] and all(
            node.view.following == ServerId(leader) for node in others
        )

    def describe(self) -> str:
        """Every sentence, for a failed assertion."""
        return "\n".join(
            f"BQN {number}: {node.view.role} {sentence(node.view)}"
            for number, node in self.nodes.items()
        )


def settled(count: int) -> Cluster:
    """A cluster in which the lowest leads for a while."""
    cluster = Cluster(count)
    for number in range(count):
        cluster.boot(number)
    cluster.run_until(lambda: cluster.agreed(0), SETTLED_S)
    cluster.run(5)
    return cluster
