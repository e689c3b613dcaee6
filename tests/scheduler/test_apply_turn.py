"""Every small world of a staged apply: who is canary, what it does, what comes before and after."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest

from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.apply_turn import (
    CanarySeen,
    CanaryState,
    Staging,
    Step,
    Turn,
    staging_of,
    turn_of,
)

R, A, B, C = (CommitId(letter * 40) for letter in "0abc")
ME, CANARY = ServerId(0), ServerId(1)
STAGED = Staging(CANARY, 60)
STATES: tuple[CanaryState, ...] = ("healthy", "failed", "drifted", "not yet", "silent", "gone")
PASSED = CanarySeen("healthy", 60.0)


def seen(state: CanaryState, healthy_s: float = 0.0) -> CanarySeen:
    return CanarySeen(state, healthy_s, "the health command said no")


def test_without_a_canary_the_newest_commit_is_applied() -> None:
    assert turn_of(ME, R, [], {}) == Turn(R)
    assert turn_of(ME, R, [Step(A), Step(B)], {}) == Turn(B)


@pytest.mark.parametrize("state", STATES)
def test_the_canary_itself_never_waits(state: CanaryState) -> None:
    assert turn_of(CANARY, R, [Step(A, STAGED)], {A: seen(state)}) == Turn(A)


@pytest.mark.parametrize(
    ("found", "applied"),
    [
        (PASSED, True),
        (seen("healthy", 59.9), False),
        (seen("failed"), False),
        (seen("drifted"), False),
        (seen("not yet"), False),
        (seen("silent"), False),
        (seen("gone"), True),
        (None, False),
    ],
)
def test_the_others_apply_after_the_pause_and_only_then(
    found: CanarySeen | None, applied: bool
) -> None:
    known = {} if found is None else {A: found}
    turn = turn_of(ME, R, [Step(A, STAGED)], known)
    assert (turn.target == A) is applied
    assert (turn.held == A) is not applied
    assert ("BQN 1" in turn.sentence) is not applied
    assert turn.stopped is (found is not None and found.state == "failed")


def test_a_server_that_runs_nothing_waits_for_nobody() -> None:
    assert turn_of(ME, None, [Step(A, STAGED)], {A: seen("failed")}) == Turn(A)


def test_what_came_before_a_staged_commit_is_applied_meanwhile() -> None:
    turn = turn_of(ME, R, [Step(A), Step(B, STAGED), Step(C)], {B: seen("not yet")})
    assert (turn.target, turn.held) == (A, B)


def test_all_at_once_releases_what_came_before_it_and_not_what_comes_after() -> None:
    at_once = Staging(None)
    failed = {A: seen("failed"), C: seen("not yet")}
    assert turn_of(ME, R, [Step(A, STAGED), Step(B, at_once)], failed).target == B
    turn = turn_of(ME, R, [Step(A, STAGED), Step(B, at_once), Step(C, STAGED)], failed)
    assert (turn.target, turn.held) == (B, C)


@pytest.mark.parametrize(("first", "second"), list(product(STATES, STATES)))
def test_two_staged_commits_are_passed_one_after_the_other(
    first: CanaryState, second: CanaryState
) -> None:
    found = {A: seen(first, 60.0), B: seen(second, 60.0)}
    turn = turn_of(ME, R, [Step(A, STAGED), Step(B, STAGED)], found)
    free = ("healthy", "gone")
    expected = R if first not in free else A if second not in free else B
    assert turn.target == expected
    assert turn.held == {R: A, A: B, B: None}[expected]


def test_no_world_lets_a_server_pass_a_commit_that_its_canary_did_not_prove() -> None:
    stagings = (None, STAGED, Staging(None), Staging(ME, 5))
    for chosen in product(stagings, repeat=3):
        for states in product(STATES, repeat=3):
            steps = [Step(c, s) for c, s in zip((A, B, C), chosen, strict=True)]
            found = {c: seen(s, 60.0) for c, s in zip((A, B, C), states, strict=True)}
            _check(steps, found)


def _check(steps: list[Step], found: Mapping[CommitId, CanarySeen]) -> None:
    turn = turn_of(ME, R, steps, found)
    order = [R, *(step.commit for step in steps)]
    assert turn.target is not None
    reached = order.index(turn.target)
    freed = max((n for n, s in enumerate(steps) if s.staging == Staging(None)), default=-1)
    for number, step in enumerate(steps[:reached]):
        proven = step.staging != STAGED or found[step.commit].state in ("healthy", "gone")
        assert proven or number < freed
    if reached == len(steps):
        assert turn == Turn(order[-1])
    else:
        assert turn.held is not None
        assert turn.sentence


@pytest.mark.parametrize("staging", [STAGED, Staging(None), Staging(ServerId(0), 0)])
def test_trailers_are_read_back(staging: Staging) -> None:
    assert staging_of(staging.trailers) == staging


@pytest.mark.parametrize(
    "trailers",
    [
        {},
        {"Canary": ""},
        {"Canary": "256"},
        {"Canary": "-1"},
        {"Canary": "²"},
        {"Canary": "1", "Canary-Pause": "soon"},
        {"Canary": "1", "Canary-Pause": "99999"},
    ],
)
def test_trailers_that_say_nothing_stage_nothing(trailers: dict[str, str]) -> None:
    assert staging_of(trailers) is None
