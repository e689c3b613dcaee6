"""Several servers and a network between them: who leads after what, and what never happens."""

from __future__ import annotations

import itertools
import random

import pytest

from configrepo.model import ServerId
from scheduler.control_view import ControlRole
from scheduler.election_sentences import sentence
from scheduler.presets import LAN, PRESETS, WAN
from tests.support.election_world import World

_SETTLED_S = LAN.boot_s + LAN.dead_s + LAN.claim_s + 1


def _settled(count: int) -> World:
    world = World(count)
    world.boot(*range(count))
    world.run_until(lambda: world.agreed(0), _SETTLED_S)
    world.run(5)
    return world


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_lowest_id_leads_and_nothing_changes_by_itself(count: int) -> None:
    world = _settled(count)
    changes = len(world.history)
    world.run(20)
    assert world.agreed(0)
    assert len(world.history) == changes


def test_a_single_server_of_a_cluster_leads_after_it_has_listened() -> None:
    world = World(2)
    world.boot(1)
    took_s = world.run_until(lambda: world.leaders == [1], _SETTLED_S)
    assert took_s > LAN.boot_s


def test_a_crash_is_taken_over_within_three_seconds_and_the_sentence_says_why() -> None:
    world = _settled(3)
    world.crash(0)
    took_s = world.run_until(lambda: world.agreed(1), 3)
    assert took_s < 3
    said = sentence(world.view(1))
    assert said.text == (
        "BQN 0 does not answer since {0} (connection refused); BQN 1 has led since {1}, term 2"
    )
    assert said.at[0] <= said.at[1]


def test_a_planned_stop_is_taken_over_at_once() -> None:
    world = _settled(3)
    world.stop(0)
    assert world.run_until(lambda: world.agreed(1), 3) < 1


def test_a_cut_is_taken_over_within_four_seconds_on_both_sides() -> None:
    for moment in range(3):
        world = _settled(3)
        world.run(moment * 0.13)
        world.divide({0}, {1, 2})
        took_s = world.run_until(lambda: world.view(2).following == 1, 5)  # noqa: B023
        assert took_s <= 4
        assert world.leaders == [0, 1]


def test_after_healing_the_lowest_leads_with_a_newer_term_and_all_follow() -> None:
    world = _settled(4)
    world.divide({0, 3}, {1, 2})
    world.run(20)
    assert world.leaders == [0, 1]
    world.heal()
    took_s = world.run_until(lambda: world.agreed(0), 3)
    assert took_s < 2
    assert world.view(0).epoch > world.view(1).maxep - 1
    assert world.view(2).durable.accepted == world.view(1).durable.accepted


def test_a_returned_lower_server_follows_catches_up_and_then_leads_without_a_second_leader() -> (
    None
):
    world = _settled(3)
    world.commit(0, "first")
    world.run(1)
    world.crash(0)
    world.run_until(lambda: world.agreed(1), 4)
    world.commit(1, "second")
    world.boot(0)
    world.run_until(lambda: world.view(0).following == 1, 2)
    took_s = world.run_until(lambda: world.agreed(0), LAN.boot_s + LAN.preempt_s + 2)
    assert took_s > LAN.preempt_s - LAN.boot_s
    assert world.contents(0) == {"first", "second"}
    assert world.double_s == 0
    assert world.view(0).epoch == 3


def test_a_primary_that_does_not_answer_the_request_is_replaced_all_the_same() -> None:
    world = World(2)
    world.boot(1)
    world.run_until(lambda: world.leaders == [1], 5)
    world.stuck_programs.add(ServerId(1))
    world.boot(0)
    took_s = world.run_until(
        lambda: world.agreed(0), LAN.boot_s + LAN.preempt_s + LAN.handover_s + 3
    )
    assert took_s > LAN.preempt_s + LAN.handover_s


def test_a_new_primary_gets_the_newest_head_of_the_others_before_it_leads() -> None:
    world = _settled(3)
    world.commit(2, "only here")
    world.crash(0)
    world.run_until(lambda: world.leaders == [1], 5)
    assert world.contents(1) == {"only here"}


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.0])
def test_a_short_pause_changes_nothing(seconds: float) -> None:
    world = _settled(3)
    changes = len(world.history)
    for number in (0, 1, 2):
        world.pause(number, seconds)
        world.run(seconds + 3)
    assert len(world.history) == changes


@pytest.mark.parametrize("seconds", [3.0, 10.0, 60.0])
def test_a_paused_primary_steps_down_before_it_does_anything(seconds: float) -> None:
    world = _settled(3)
    world.pause(0, seconds)
    world.run(seconds + 0.011)
    assert world.view(0).role is not ControlRole.PRIMARY
    world.run_until(lambda: world.agreed(0), 30)


def test_a_server_whose_lower_ones_are_all_reached_never_claims() -> None:
    world = _settled(4)
    for _ in range(3):
        world.crash(3)
        world.run(3)
        world.boot(3)
        world.run(6)
    assert {server for _, server in world.terms} == {0}


def test_a_link_that_flaps_does_not_write_a_storm_of_terms() -> None:
    world = _settled(2)
    for _ in range(8):
        world.divide({0}, {1})
        world.run(4)
        world.heal()
        world.run(2)
    assert world.run_until(lambda: world.agreed(0), 5) < 5
    assert len(world.terms) <= 18


def test_one_way_loss_counts_as_no_connection_in_both_directions() -> None:
    world = _settled(2)
    world.cut = {(ServerId(0), ServerId(1))}
    world.run(6)
    assert world.leaders == [0, 1]
    world.heal()
    world.run_until(lambda: world.agreed(0), 5)


@pytest.mark.parametrize("name", PRESETS)
def test_both_presets_elect_and_take_over(name: str) -> None:
    timing = PRESETS[name]
    world = World(3, timing)
    world.boot(0, 1, 2)
    world.run_until(lambda: world.agreed(0), timing.boot_s + timing.dead_s + timing.claim_s + 2)
    world.run(timing.boot_s)
    world.divide({0}, {1, 2})
    world.run_until(lambda: world.view(2).following == 1, timing.dead_s + timing.claim_s + 2)


def test_a_crash_at_every_moment_of_a_take_over_ends_with_one_leader() -> None:
    for hundredths in range(0, 200, 33):
        world = _settled(3)
        world.crash(0)
        world.run(hundredths / 100)
        world.crash(1)
        world.run_until(lambda: world.leaders == [2], 5)  # noqa: B023
        world.boot(0)
        world.boot(1)
        world.run_until(lambda: world.agreed(0), 40)  # noqa: B023


def test_every_order_of_starting_ends_with_the_lowest() -> None:
    for order in itertools.permutations(range(3)):
        for gap in (0.3, 4.0):
            world = World(3)
            for number in order:
                world.boot(number)
                world.run(gap)
            world.run_until(lambda: world.agreed(0), 40)  # noqa: B023


@pytest.mark.parametrize("seed", range(8))
def test_random_faults_break_no_rule_and_end_with_the_lowest(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.choice((2, 3, 3, 5))
    world = World(count, WAN if seed % 6 == 5 else LAN)
    world.boot(*range(count))
    for moment in range(25):
        number = chance.randrange(count)
        match chance.choice(("crash", "boot", "divide", "heal", "pause", "commit", "wait")):
            case "crash" if ServerId(number) in world.nodes:
                world.crash(number)
            case "boot" if ServerId(number) not in world.nodes:
                world.boot(number)
            case "divide":
                side = {n for n in range(count) if chance.random() < 0.5}
                world.divide(side, set(range(count)) - side)
            case "heal":
                world.heal()
            case "pause" if ServerId(number) in world.nodes:
                world.pause(number, chance.uniform(0.1, 8))
            case "commit" if number in world.leaders:
                world.commit(number, f"{number} at {moment}")
        world.run(chance.uniform(0.05, 6))
    world.heal()
    world.boot(*(n for n in range(count) if ServerId(n) not in world.nodes))
    world.run(8)  # the longest pause ends
    timing = world.timing
    world.run_until(
        lambda: world.agreed(0),
        timing.boot_s + timing.preempt_s + timing.handover_s + timing.catch_up_s + 10,
    )
    world.run_until(
        lambda: all(world.contents(number) == world.committed for number in range(count)), 15
    )
    changes = len(world.history)
    world.run(30)
    assert len(world.history) == changes
