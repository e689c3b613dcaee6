"""The election holds in 600 drawn scenarios."""

from __future__ import annotations

import random

import pytest

from scheduler.presets import PRESETS
from tests.simulator.calm_time import calm_time
from tests.simulator.campaign import campaign
from tests.simulator.cluster import settled
from tests.simulator.lines import History, Line
from tests.simulator.releases import is_left_alone
from tests.simulator.rules import REAL
from tests.simulator.scenario import Scenario, simulate, trace_of

# Seeds in which wall clocks jump while servers with a timed bar run.
WALL_SEEDS = (3, 4)


@pytest.mark.timeout(1200)
def test_no_invariant_breaks_in_six_hundred_scenarios() -> None:
    total = campaign(range(600))
    assert not total.broken, "\n".join(
        f"python -m bench.simulate --only {result.seed}: {result.violation}"
        for result in total.broken
    )
    assert (total.scenarios, total.lost) == (600, 0)
    assert total.acknowledged > 10_000


def test_a_seed_gives_the_same_run_each_time() -> None:
    assert simulate(3) == simulate(3)
    assert simulate(3).trace != simulate(4).trace


def test_i4_a_lost_disk_takes_with_it_only_what_was_nowhere_else() -> None:
    cluster = settled(3)
    elsewhere = cluster.commit_at(0)
    cluster.run_until(lambda: cluster.holds(1, elsewhere), 2)
    cluster.divide({0}, {1, 2})
    only_here = cluster.commit_at(0)
    cluster.lose_disk(0)
    assert cluster.history.waived == 1
    cluster.heal()
    cluster.run_until(lambda: cluster.put_in_place(0), 10)
    cluster.run_until(lambda: cluster.agreed(0), 30)
    assert cluster.holds(0, elsewhere)
    assert not cluster.holds(0, only_here)
    assert cluster.view(0).epoch > 100_000


@pytest.mark.parametrize("seed", WALL_SEEDS)
def test_i7_jumps_of_the_wall_clocks_change_nothing_at_all(seed: int) -> None:
    """Every event, what came of it and what was known then is the same, to the byte."""
    assert len({trace_of(seed, jumps) for jumps in (0.0, 1.0, -400.0)}) == 1


def test_i10_the_same_heads_give_the_same_contents_in_any_order() -> None:
    chance = random.Random(1)
    history = History()
    lines = [Line() for _ in range(3)]
    for number, line in enumerate(lines):
        for _ in range(3):
            history.commit(line, (1, number))
    heads = [line.cluster for line in lines]
    contents = set()
    for _ in range(6):
        chance.shuffle(heads)
        line = Line()
        for head in heads:
            history.merge(line, head, (2, 0))
            assert not history.merge(line, head, (2, 0))
        contents.add(history.contains[line.cluster] & history.acknowledged)
    assert contents == {history.acknowledged}


def test_i11_scenarios_of_several_releases_are_among_those_that_are_drawn() -> None:
    mixed = [seed for seed in range(40) if Scenario(seed, REAL, (2, 8)).world.mixed]
    assert 4 <= len(mixed) <= 20


def test_i11_a_message_that_only_a_later_release_knows_is_left_alone() -> None:
    assert is_left_alone()


@pytest.mark.parametrize("name", PRESETS)
def test_one_percent_of_loss_changes_no_role(name: str) -> None:
    assert calm_time(7, PRESETS[name], 0.01, 500.0).changes == 0
