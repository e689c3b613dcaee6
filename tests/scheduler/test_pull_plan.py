from __future__ import annotations

from dataclasses import replace

from configrepo.model import ServerId
from scheduler.pull_plan import PATIENCE_S, PullFacts, PullState, failed, must_pull, observed

BEHIND = PullFacts(ServerId(0), "b" * 40, "a" * 40, unreached=False)


def test_a_server_waits_for_the_push_and_then_fetches() -> None:
    state = observed(PullState(), BEHIND, 100.0)
    assert not must_pull(state, BEHIND, 100.0)
    state = observed(state, replace(BEHIND, head="c" * 40), 105.0)
    assert not must_pull(state, BEHIND, 100.0 + PATIENCE_S - 0.1)
    assert must_pull(state, BEHIND, 100.0 + PATIENCE_S)


def test_it_does_not_wait_when_the_primary_says_that_it_cannot_push() -> None:
    told = replace(BEHIND, unreached=True)
    assert must_pull(observed(PullState(), told, 100.0), told, 100.0)


def test_nothing_is_fetched_without_a_newer_commit_or_a_primary() -> None:
    for facts in (
        replace(BEHIND, head="a" * 40),
        replace(BEHIND, head=None),
        replace(BEHIND, primary=None),
    ):
        told = replace(facts, unreached=True)
        assert not must_pull(observed(PullState(), told, 100.0), told, 1_000.0)


def test_what_arrived_ends_the_waiting() -> None:
    state = observed(PullState(), BEHIND, 100.0)
    state = observed(state, replace(BEHIND, have="b" * 40), 109.0)
    state = observed(state, BEHIND, 110.0)
    assert not must_pull(state, BEHIND, 110.0 + PATIENCE_S - 0.1)


def test_pauses_double_up_to_a_minute_and_end_with_success() -> None:
    told = replace(BEHIND, unreached=True)
    state, pauses = observed(PullState(), told, 0.0), []
    for _ in range(8):
        state = failed(state, "refused", 0.0)
        pauses.append(state.not_before)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert not must_pull(state, told, 59.0)
    assert must_pull(state, told, 60.0)
    assert observed(state, replace(BEHIND, have="b" * 40), 1.0).failures == 0
