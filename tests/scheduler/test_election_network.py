"""Several servers and a network between them: who leads after what, and how soon.

Faults that are drawn, and all that must never happen, are in `tests/simulator`.
"""

from __future__ import annotations

import itertools

import pytest

from scheduler.control_view import ControlRole
from scheduler.election_sentences import sentence
from scheduler.presets import LAN, PRESETS
from tests.simulator.cluster import SETTLED_S, Cluster, settled


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_lowest_id_leads_and_nothing_changes_by_itself(count: int) -> None:
    world = settled(count)
    changes = len(world.roles)
    world.run(20)
    assert world.agreed(0)
    assert len(world.roles) == changes


def test_a_single_server_of_a_cluster_leads_after_it_has_listened() -> None:
    world = Cluster(2)
    world.boot(1)
    took_s = world.run_until(lambda: world.leaders == [1], SETTLED_S)
    assert took_s > LAN.boot_s


def test_a_crash_is_taken_over_within_three_seconds_and_the_sentence_says_why() -> None:
    world = settled(3)
    world.crash(0)
    took_s = world.run_until(lambda: world.agreed(1), 3)
    assert took_s < 3
    said = sentence(world.view(1))
    assert said.text == (
        "BQN 0 does not answer since {0} (connection refused); BQN 1 has led since {1}, term 2"
    )
    assert said.at[0] <= said.at[1]


def test_a_planned_stop_is_taken_over_at_once() -> None:
    world = settled(3)
    world.stop(0)
    assert world.run_until(lambda: world.agreed(1), 3) < 1


def test_a_cut_is_taken_over_within_four_seconds_on_both_sides() -> None:
    for moment in range(3):
        world = settled(3)
        world.run(moment * 0.13)
        world.divide({0}, {1, 2})
        took_s = world.run_until(lambda: world.view(2).following == 1, 5)  # noqa: B023
        assert took_s <= 4
        assert world.leaders == [0, 1]


def test_after_healing_the_lowest_leads_with_a_newer_term_and_all_follow() -> None:
    world = settled(4)
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
    world = settled(3)
    first = world.commit_at(0)
    world.run(1)
    world.crash(0)
    world.run_until(lambda: world.agreed(1), 4)
    second = world.commit_at(1)
    world.boot(0)
    world.run_until(lambda: world.view(0).following == 1, 2)
    took_s = world.run_until(lambda: world.agreed(0), LAN.boot_s + LAN.preempt_s + 2)
    assert took_s > LAN.preempt_s - LAN.boot_s
    assert world.holds(0, first, second)
    assert world.double_s == 0
    assert world.view(0).epoch == 3


def test_a_primary_that_does_not_answer_the_request_is_replaced_all_the_same() -> None:
    world = Cluster(2)
    world.boot(1)
    world.run_until(lambda: world.leaders == [1], 5)
    world.stuck.add(1)
    world.boot(0)
    took_s = world.run_until(
        lambda: world.agreed(0), LAN.boot_s + LAN.preempt_s + LAN.handover_s + 3
    )
    assert took_s > LAN.preempt_s + LAN.handover_s


def test_a_new_primary_gets_the_newest_head_of_the_others_before_it_leads() -> None:
    world = settled(3)
    world.network.set_cut({(0, 1), (1, 0)})
    only_there = world.commit_at(0)
    world.run_until(lambda: world.holds(2, only_there), 2)
    assert not world.holds(1, only_there)
    world.crash(0)
    world.run_until(lambda: world.leaders == [1], 8)
    assert world.holds(1, only_there)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.0])
def test_a_short_pause_changes_nothing(seconds: float) -> None:
    world = settled(3)
    changes = len(world.roles)
    for number in (0, 1, 2):
        world.pause(number, seconds)
        world.run(seconds + 3)
    assert len(world.roles) == changes


@pytest.mark.parametrize("seconds", [3.0, 10.0, 60.0])
def test_a_paused_primary_steps_down_before_it_does_anything(seconds: float) -> None:
    world = settled(3)
    world.pause(0, seconds)
    world.run(seconds + 0.011)
    assert world.view(0).role is not ControlRole.PRIMARY
    world.run_until(lambda: world.agreed(0), 30)


def test_a_server_whose_lower_ones_are_all_reached_never_claims() -> None:
    world = settled(4)
    for _ in range(3):
        world.crash(3)
        world.run(3)
        world.boot(3)
        world.run(6)
    assert {server for _, server in world.terms} == {0}


def test_a_link_that_flaps_does_not_write_a_storm_of_terms() -> None:
    world = settled(2)
    for _ in range(8):
        world.divide({0}, {1})
        world.run(4)
        world.heal()
        world.run(2)
    assert world.run_until(lambda: world.agreed(0), 5) < 5
    assert len(world.terms) <= 18


def test_one_way_loss_counts_as_no_connection_in_both_directions() -> None:
    world = settled(2)
    world.network.set_cut({(0, 1)})
    world.run(6)
    assert world.leaders == [0, 1]
    world.heal()
    world.run_until(lambda: world.agreed(0), 5)


@pytest.mark.parametrize("name", PRESETS)
def test_both_presets_elect_and_take_over(name: str) -> None:
    timing = PRESETS[name]
    world = Cluster(3, timing)
    for number in range(3):
        world.boot(number)
    world.run_until(lambda: world.agreed(0), timing.boot_s + timing.dead_s + timing.claim_s + 2)
    world.run(timing.boot_s)
    world.divide({0}, {1, 2})
    world.run_until(lambda: world.view(2).following == 1, timing.dead_s + timing.claim_s + 2)


def test_a_crash_at_every_moment_of_a_take_over_ends_with_one_leader() -> None:
    for hundredths in range(0, 200, 33):
        world = settled(3)
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
            world = Cluster(3)
            for number in order:
                world.boot(number)
                world.run(gap)
            world.run_until(lambda: world.agreed(0), 40)  # noqa: B023
