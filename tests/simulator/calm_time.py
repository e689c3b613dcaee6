"""Long runs without a fault but lost packets: how often do roles change for nothing?"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.presets import Timing
from tests.simulator.servers import PRIMARY
from tests.simulator.world import World


@dataclass(frozen=True)
class Calm:
    """Role changes and false take-overs (claims after the first) within some seconds."""

    seconds: float
    changes: int
    takeovers: int


def calm_time(seed: int, timing: Timing, loss: float, seconds: float, count: int = 2) -> Calm:
    """Let a cluster run at a loss of packets, all else in order."""
    world = World(seed, count, timing)
    world.network.latency_s = (0.001, 0.02)
    for number in range(count):
        world.boot(number)
    world.run(3 * timing.boot_s + timing.preempt_s)
    changes, claims = len(world.roles), len(world.claims)
    world.network.loss = loss
    world.run(seconds)
    assert any(node.view.role is PRIMARY for node in world.nodes.values())
    return Calm(seconds, len(world.roles) - changes, len(world.claims) - claims)
