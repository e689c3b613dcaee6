from __future__ import annotations

from collections.abc import Sequence

from configrepo.model import ServerId
from scheduler.errors import Unreachable
from scheduler.pull_fallback import PullFallback
from scheduler.pull_plan import PullFacts
from scheduler.ssh import SshTarget

CLUSTER = "refs/heads/cluster"
PRIMARY = SshTarget(ServerId(0), "127.0.0.1", 22, "key")


class World:
    """A server that its primary cannot push to."""

    def __init__(self) -> None:
        self.unreached = True
        self.target: SshTarget | None = PRIMARY
        self.error: Unreachable | None = None
        self.pulled = 0
        self.fallback = PullFallback(self.facts, lambda: self.target, lambda: [CLUSTER], self.pull)

    def facts(self) -> PullFacts:
        return PullFacts(ServerId(0), "b" * 40, "a" * 40, self.unreached)

    def pull(self, target: SshTarget, wanted: Sequence[str]) -> tuple[str, ...]:
        assert (target, wanted) == (PRIMARY, [CLUSTER])
        self.pulled += 1
        if self.error is not None:
            raise self.error
        return ("refs/heads/cluster",)


def test_what_the_primary_cannot_push_is_fetched_and_told() -> None:
    world = World()
    assert world.fallback.run() == "1 lines moved"
    assert "fetched from BQN 0" in world.fallback.state().sentence


def test_a_primary_that_can_push_is_waited_for_unless_somebody_asks() -> None:
    world = World()
    world.unreached = False
    assert world.fallback.run() == "the primary pushes; nothing is fetched"
    world.fallback.ask()
    assert world.fallback.run() == "1 lines moved"
    assert world.pulled == 1


def test_a_failure_is_told_and_not_repeated_at_once() -> None:
    world = World()
    world.error = Unreachable("filtered")
    assert "failed: filtered" in world.fallback.run()
    assert world.fallback.state().sentence == "Fetching from BQN 0 failed: filtered."
    world.fallback.run()
    assert world.pulled == 1


def test_a_primary_has_nobody_to_fetch_from() -> None:
    world = World()
    world.target = None
    assert world.fallback.run() == "there is no other server to fetch from"
