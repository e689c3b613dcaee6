from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from configrepo.revision import CommitId
from scheduler.apply_plan import (
    NEVER,
    Apply,
    Count,
    Leave,
    ReadBack,
    Running,
    Unread,
    decide,
    observe,
    running_from_json,
    running_to_json,
)

OLD, NEW = CommitId("a" * 40), CommitId("b" * 40)
APPLIED = Running("applied", "applied", OLD, "old", datetime(2026, 1, 1, tzinfo=UTC))
DRIFTED = replace(APPLIED, result="drifted", hash="other")
FAILED = replace(APPLIED, result="failed", target=NEW, sentence="no")


def test_the_first_commit_is_applied() -> None:
    assert decide(NEVER, NEW, "new", None, ReadBack(None)) == Apply()


def test_a_new_text_is_applied() -> None:
    assert decide(APPLIED, NEW, "new", "old", ReadBack("old")) == Apply()


def test_a_commit_that_changes_nothing_here_only_counts() -> None:
    assert decide(APPLIED, NEW, "old", "old", ReadBack("old")) == Count()
    assert decide(APPLIED, NEW, "old", "old", Unread("no answer")) == Count()


def test_an_apply_that_was_cut_short_is_done_again_even_if_it_seems_done() -> None:
    cut = replace(APPLIED, result="applying", target=NEW)
    assert decide(cut, NEW, "new", "old", ReadBack("new")) == Apply()
    assert decide(cut, OLD, "old", "old", ReadBack("old")) == Apply()


def test_a_failed_commit_is_tried_again_only_when_somebody_asks() -> None:
    assert decide(FAILED, NEW, "new", "old", ReadBack("old")) == Leave(FAILED)
    assert decide(FAILED, NEW, "new", "old", ReadBack("old"), asked=True) == Apply()


def test_after_a_failure_the_next_commit_is_applied_or_counts() -> None:
    other = CommitId("c" * 40)
    assert decide(FAILED, other, "third", "old", ReadBack("old")) == Apply()
    assert decide(FAILED, other, "old", "old", ReadBack("old")) == Count()


def test_a_commit_that_wants_the_same_as_the_failed_one_is_not_tried_either() -> None:
    begun = CommitId("c" * 40)
    moved = replace(FAILED, target=begun)
    assert decide(FAILED, begun, "new", "old", ReadBack("old"), failed="new") == Leave(moved)
    assert decide(FAILED, begun, "new", "old", ReadBack("old"), asked=True, failed="new") == Apply()
    assert decide(FAILED, begun, "third", "old", ReadBack("old"), failed="new") == Apply()


def test_a_change_from_outside_is_left_alone_until_somebody_asks() -> None:
    plan = decide(APPLIED, OLD, "old", "old", ReadBack("other"))
    assert isinstance(plan, Leave)
    assert plan.running.result == "drifted"
    assert plan.running.hash == "other"
    assert decide(DRIFTED, OLD, "old", "old", ReadBack("other"), asked=True) == Apply(True)


def test_a_new_text_overwrites_a_change_from_outside_and_knows_it() -> None:
    assert decide(DRIFTED, NEW, "new", "old", ReadBack("other")) == Apply(overwrites=True)


def test_an_outside_change_that_the_commit_adopts_counts() -> None:
    assert decide(DRIFTED, NEW, "other", "old", ReadBack("other")) == Count()


def test_looking_sees_the_drift_and_its_end() -> None:
    drifted = observe(APPLIED, "old", ReadBack("other"))
    assert (drifted.result, drifted.hash, drifted.commit) == ("drifted", "other", OLD)
    assert observe(drifted, "old", ReadBack("other")) == drifted
    assert observe(drifted, "old", ReadBack("old")).result == "applied"


def test_looking_without_an_answer_changes_nothing() -> None:
    assert observe(APPLIED, "old", Unread("no")) == APPLIED
    assert observe(DRIFTED, "old", Unread("no")) == DRIFTED


def test_a_new_key_changes_the_hash_but_is_no_drift() -> None:
    rekeyed = observe(APPLIED, "old under the new key", ReadBack("old under the new key"))
    assert rekeyed.result == "applied"
    assert rekeyed.hash == "old under the new key"
    assert rekeyed.sentence == APPLIED.sentence


@pytest.mark.parametrize("running", [NEVER, APPLIED, DRIFTED, FAILED])
def test_the_record_survives_being_written(running: Running) -> None:
    assert running_from_json(running_to_json(running)) == running


@pytest.mark.parametrize("value", [None, [], {}, {"result": "applied"}, 7])
def test_a_damaged_record_is_said_so(value: object) -> None:
    with pytest.raises(ValueError, match="not a record"):
        running_from_json(value)
