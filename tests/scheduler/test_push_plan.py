from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.push_plan import (
    ErrorClass,
    PushState,
    is_due,
    lines_of,
    pause_s,
    plan_push,
    relayed,
    split,
    wanted_at,
    without_room,
    writer_of,
)

CLUSTER = "refs/heads/cluster"
ONE = ServerId(1)


def commit(number: int) -> CommitId:
    return CommitId(f"{number:040x}")


def grows(older: CommitId, newer: CommitId) -> bool:
    """A history in which every commit grew from those with a smaller number of its parity."""
    a, b = int(older, 16), int(newer, 16)
    return a <= b and a % 2 == b % 2


def test_a_server_is_sent_the_cluster_the_terms_and_the_lines_of_the_others() -> None:
    here = {
        CLUSTER: commit(4),
        "refs/heads/server/0": commit(2),
        "refs/heads/server/1": commit(2),
        "refs/heads/server/10": commit(2),
        "refs/terms/000000000001-000": commit(4),
        "refs/terms/000000000002-001": commit(4),
        "refs/bqn/drafts/x": commit(6),
        "refs/bqn/running/0": commit(6),
        "refs/bqn/running/1": commit(6),
        "refs/notes/apply-0": commit(6),
        "refs/notes/apply-1": commit(6),
        "refs/notes/commits": commit(6),
    }
    assert set(wanted_at(ONE, here)) == {
        CLUSTER,
        "refs/heads/server/0",
        "refs/heads/server/10",
        "refs/terms/000000000001-000",
        "refs/bqn/running/0",
        "refs/notes/apply-0",
    }


def test_lines_are_passed_on_only_of_members() -> None:
    """A server that was let in but is no member yet has a line here that nobody can check."""
    here = {CLUSTER: commit(4), "refs/heads/server/0": commit(2), "refs/heads/server/7": commit(2)}
    assert set(relayed(here, {ServerId(0)})) == {CLUSTER, "refs/heads/server/0"}


def test_what_ran_where_may_wait_and_may_move_back() -> None:
    running = "refs/bqn/running/0"
    plan = plan_push(ONE, {CLUSTER: commit(6), running: commit(2)}, {running: commit(4)}, grows)
    assert split(plan.updates) == ({CLUSTER: commit(6)}, {running: commit(2)})


def test_a_server_that_fetches_asks_for_lines_of_members_only() -> None:
    assert lines_of({ServerId(2), ServerId(0)}) == (
        CLUSTER, "refs/terms/", "refs/heads/server/0", "refs/heads/server/2",
        "refs/bqn/running/0", "refs/notes/apply-0", "refs/bqn/running/2", "refs/notes/apply-2",
    )  # fmt: skip


def test_the_writer_is_in_the_name_of_a_line() -> None:
    assert writer_of("refs/heads/server/0") == 0
    assert writer_of("refs/terms/000000000012-007") == 7
    assert writer_of("refs/bqn/running/0") == 0
    assert writer_of("refs/notes/apply-12") == 12
    assert writer_of(CLUSTER) is None
    assert writer_of("refs/heads/server/0/x") is None


def test_only_what_is_missing_and_grows_is_sent() -> None:
    here = {CLUSTER: commit(6), "refs/heads/server/0": commit(2)}
    assert plan_push(ONE, here, {}, grows).updates == here
    assert plan_push(ONE, here, dict(here), grows).updates == {}
    plan = plan_push(ONE, here, {CLUSTER: commit(4), "refs/heads/server/0": commit(2)}, grows)
    assert plan.updates == {CLUSTER: commit(6)}
    assert plan.ahead == {}


@pytest.mark.parametrize("there", [8, 5])
def test_a_cluster_that_is_ahead_or_apart_is_left_alone_and_lines_are_given(there: int) -> None:
    here = {CLUSTER: commit(6), "refs/heads/server/0": commit(2)}
    plan = plan_push(ONE, here, {CLUSTER: commit(there)}, grows)
    assert plan.updates == {"refs/heads/server/0": commit(2)}
    assert plan.ahead == {CLUSTER: commit(there)}


def test_another_line_that_is_ahead_is_left_alone_and_the_rest_is_sent() -> None:
    here = {CLUSTER: commit(6), "refs/terms/000000000001-002": commit(2)}
    there = {CLUSTER: commit(4), "refs/terms/000000000001-002": commit(4)}
    plan = plan_push(ONE, here, there, grows)
    assert plan.updates == {CLUSTER: commit(6)}
    assert plan.ahead == {"refs/terms/000000000001-002": commit(4)}


REFS = [CLUSTER, "refs/heads/server/0", "refs/heads/server/1", "refs/terms/000000000001-002"]
lines = st.dictionaries(st.sampled_from(REFS), st.integers(0, 5).map(commit))


@given(lines, lines)
def test_after_a_push_nothing_is_left_and_no_ref_went_back(
    here: dict[str, CommitId], there: dict[str, CommitId]
) -> None:
    plan = plan_push(ONE, here, there, grows)
    after = {**there, **plan.updates}
    assert plan_push(ONE, here, after, grows).updates == {}
    assert all(grows(there[ref], after[ref]) for ref in there)
    assert all(writer_of(ref) != ONE for ref in plan.updates)


def test_the_pause_doubles_from_one_second_to_one_minute_for_the_network() -> None:
    pauses = [pause_s(ErrorClass.NETWORK, failures, 0.0) for failures in range(1, 9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert pause_s(ErrorClass.NETWORK, 10_000, 0.0) == 60


@pytest.mark.parametrize("error_class", [ErrorClass.AUTH, ErrorClass.REFUSED, ErrorClass.DISK])
def test_what_trying_does_not_mend_is_tried_once_a_minute(error_class: ErrorClass) -> None:
    assert pause_s(error_class, 1, 0.0) == 60


def test_jitter_spreads_the_pause_by_a_fifth() -> None:
    assert pause_s(ErrorClass.NETWORK, 3, 1.0) == pytest.approx(4.8)
    assert pause_s(ErrorClass.NETWORK, 3, -1.0) == pytest.approx(3.2)


def test_a_server_is_due_when_nothing_failed_or_the_pause_is_over() -> None:
    waiting = PushState(ONE, ok=False, next_try=10.0)
    due = [is_due(PushState(ONE), 0.0), is_due(waiting, 9.9), is_due(waiting, 10.0)]
    assert due == [True, False, True]


def test_deliveries_in_any_order_and_number_end_in_the_same_refs() -> None:
    """Every line has one writer and only grows: the refs are a join-semilattice."""
    senders = [
        {CLUSTER: commit(2), "refs/heads/server/0": commit(0)},
        {CLUSTER: commit(4), "refs/terms/000000000001-002": commit(2)},
        {CLUSTER: commit(4), "refs/terms/000000000001-002": commit(4)},
    ]
    ends = set()
    for order in itertools.permutations(senders * 2):
        there: dict[str, CommitId] = {}
        for here in order:
            plan = plan_push(ONE, here, there, grows)
            there.update(plan.updates)
        ends.add(tuple(sorted(there.items())))
    assert len(ends) == 1


def test_nobody_waits_for_a_full_disk_until_it_is_tried_again() -> None:
    full = PushState(ServerId(0), ok=False, error_class=ErrorClass.DISK, next_try=50.0)
    cut = PushState(ONE, ok=False, error_class=ErrorClass.NETWORK, next_try=50.0)
    assert without_room([full, cut, PushState(ServerId(2))]) == {0}
    assert without_room([replace(full, next_try=None)]) == frozenset()
