"""The election holds in 600 drawn scenarios, and each removed rule is noticed."""

from __future__ import annotations

import random

import pytest

from scheduler.presets import PRESETS
from tests.simulator.calm_time import calm_time
from tests.simulator.campaign import campaign
from tests.simulator.lines import History, Line, Violated
from tests.simulator.rules import REAL, REMOVED, without
from tests.simulator.scenario import Scenario, simulate

# Seeds whose scenario breaks when that rule is removed; found once, kept.
SEEDS = {
    "R3": (14, 10),
    "R6": (2, 3),
    "R7": (4, 9),
    "R8": (4, 9),
    "R9": (4, 9),
    "R10": (11, 9),
    "R12": (0, 23),
    "relay": (86, 20),
    "stall shift": (22, 0),
}


@pytest.mark.timeout(1200)
def test_no_invariant_breaks_in_six_hundred_scenarios() -> None:
    total = campaign(range(600))
    assert not total.broken, "\n".join(
        f"python -m bench.simulate --only {result.seed}: {result.violation}"
        for result in total.broken
    )
    assert (total.scenarios, total.lost) == (600, 0)
    assert total.acknowledged > 10_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", REMOVED)
def test_an_election_without_one_rule_is_caught(rule: str) -> None:
    assert any(simulate(seed, without(rule)).violation for seed in SEEDS[rule])


def test_a_seed_gives_the_same_run_each_time() -> None:
    assert simulate(3) == simulate(3)
    assert simulate(3).trace != simulate(4).trace


def test_i7_jumps_of_the_wall_clock_change_nothing() -> None:
    """The step is never told the wall clock; a scenario with other jumps is the same run."""
    runs = []
    for jump in (0.0, -3600.0, 30 * 86_400.0):
        scenario = Scenario(22, REAL, (2, 8))
        scenario.world.wall = jump
        scenario.run()
        runs.append(repr(scenario.world.roles))
    assert len(set(runs)) == 1


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


def test_the_model_of_the_repositories_notices_what_must_not_happen() -> None:
    history, one, other = History(), Line(), Line()
    history.commit(one, (1, 0))
    history.commit(other, (2, 1))
    with pytest.raises(Violated, match="I5"):
        history.move(one, other.cluster, (2, 1))
    with pytest.raises(Violated, match="I3"):
        history.move(other, history.commit(other, (3, 1)), (2, 1))


@pytest.mark.parametrize("name", PRESETS)
def test_one_percent_of_loss_changes_no_role(name: str) -> None:
    assert calm_time(7, PRESETS[name], 0.01, 500.0).changes == 0
