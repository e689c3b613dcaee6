"""What is shown before a commit, and how the answers to it are read."""

from __future__ import annotations

from dataclasses import replace

from bqngui.review import (
    MAX_DIFFS,
    MAX_ROWS,
    choices_of,
    file_diffs,
    fingerprint,
    questions,
    row_id,
)
from configrepo.merge import Disagreement
from configrepo.unify import Edit, RowId, Take
from scheduler.views import Comparison, FileChange

HOURS = Disagreement("common/profile/time/p.conf", "hours", "hours a", "hours b", "hours c")
WHOLE = Disagreement("common/ntp.conf", None, "ntp", None, "ntp\nserver 192.0.2.1")
CHANGE = FileChange("common/ntp.conf", "ntp", "ntp\n", "ntp\n server 192.0.2.1\n")
COMPARISON = Comparison("a" * 40, "b" * 40, (CHANGE,), (), ())


def test_an_answer_stays_with_its_question_whatever_its_number() -> None:
    form = {
        "choice-1-row": row_id(HOURS),
        "choice-1": "joiner",
        "choice-7-row": row_id(WHOLE),
        "choice-7": "edit",
        "text-7": "ntp\r\n server 192.0.2.2\r\n",
        "choice-8-row": "common/unanswered.conf|",
    }
    assert choices_of(form) == {
        RowId("common/profile/time/p.conf|hours"): Take("joiner"),
        RowId("common/ntp.conf|"): Edit("ntp\n server 192.0.2.2"),
    }


def test_a_side_that_is_not_offered_is_no_answer() -> None:
    assert choices_of({"choice-1-row": "x|", "choice-1": "everything"}) == {}


def test_questions_show_what_was_said_and_propose_the_candidates_text_for_editing() -> None:
    first, second = questions((HOURS, WHOLE), {row_id(WHOLE): Edit("ntp")})
    assert (first.said, first.text) == ("", "hours c")
    assert (second.number, second.said, second.text) == (2, "edit", "ntp")


def test_each_block_says_whether_it_is_new_removed_or_changed() -> None:
    changes = [CHANGE, replace(CHANGE, before=None), replace(CHANGE, after=None)]
    assert [f.kind for f in file_diffs(changes)] == ["changed", "new", "removed"]


def test_very_many_blocks_are_named_without_their_lines() -> None:
    files = file_diffs([CHANGE] * (MAX_DIFFS + 5))
    assert [f.diff is None for f in files].count(True) == 5


def test_a_page_that_has_enough_rows_names_the_other_blocks_only() -> None:
    long = replace(CHANGE, before=None, after="x\n" * (MAX_ROWS + 1))
    assert [f.diff is None for f in file_diffs([CHANGE, long, CHANGE])] == [False, False, True]


def test_the_fingerprint_changes_with_what_is_shown() -> None:
    absent = replace(COMPARISON, changes=(replace(CHANGE, before=None),))
    empty = replace(COMPARISON, changes=(replace(CHANGE, before=""),))
    assert len({fingerprint(c) for c in (COMPARISON, absent, empty)}) == 3
    assert fingerprint(COMPARISON) == fingerprint(replace(COMPARISON, head="c" * 40))
