"""What is shown before a commit, and how the answers to it are read."""

from __future__ import annotations

from dataclasses import replace

from bqngui.diff import MAX_LINE, DiffRow
from bqngui.review import (
    MAX_CHARACTERS,
    MAX_COMPARED,
    MAX_COMPARED_LINES,
    MAX_DIFFS,
    MAX_NAMED,
    MAX_ROWS,
    ONLY_NAMED,
    block_count,
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


def test_of_thousands_of_blocks_the_first_are_named_and_the_others_counted() -> None:
    files = file_diffs([CHANGE] * 5_000)
    assert len(files) == MAX_NAMED
    assert files[-1].others == 5_000 - MAX_NAMED
    assert block_count(files) == 5_000
    assert block_count(file_diffs([CHANGE] * MAX_NAMED)) == MAX_NAMED
    assert block_count(()) == 0


def test_a_page_that_has_enough_rows_names_the_other_blocks_only() -> None:
    long = replace(CHANGE, before=None, after="x\n" * (MAX_ROWS + 1))
    files = file_diffs([CHANGE, long, CHANGE, CHANGE], "/the/patch")
    assert [f.diff is None for f in files] == [False, False, True, True]
    assert [f.notice for f in files] == ["", "", ONLY_NAMED, ""]
    assert files[2].patch == "/the/patch"


def test_a_block_that_is_too_large_is_not_compared_and_says_how_large_it_is() -> None:
    long = replace(CHANGE, before=None, after="x" * 40 + "\n" + " y\n" * MAX_COMPARED_LINES)
    heavy = replace(CHANGE, after="x" * MAX_COMPARED + "\n")
    small, *large = file_diffs([CHANGE, long, heavy], "/the/patch")
    assert small.diff is not None
    assert small.hidden == ""
    assert [file.diff for file in large] == [None, None]
    assert "it has 5,001 lines and 15,041 characters" in large[0].hidden
    assert "it has 1 line and 262,145 characters" in large[1].hidden
    assert {file.patch for file in large} == {"/the/patch"}


def test_what_a_page_has_no_room_for_is_counted() -> None:
    long = replace(CHANGE, before=None, after="x\n" * (MAX_ROWS + 7))
    (shown,) = file_diffs([long])
    assert shown.diff is not None
    assert len(shown.diff.rows) == MAX_ROWS
    assert shown.diff.added == MAX_ROWS + 7
    assert shown.hidden == "7 more changed lines of this block are not shown."
    (almost,) = file_diffs([replace(long, after="x\n" * (MAX_ROWS + 1))])
    assert almost.hidden == "1 more changed line of this block is not shown."


def test_whatever_changed_a_page_shows_a_bounded_number_of_rows_and_characters() -> None:
    changes = [
        replace(CHANGE, before="old " * 60_000 + "\n", after=f"{n} " * 60_000 + "\n")
        for n in range(200)
    ] + [replace(CHANGE, before=None, after=f" {n} {'long ' * 180}\n" * 250) for n in range(10)]
    files = file_diffs(changes)
    rows = [row for file in files if file.diff for row in file.diff.rows]
    lines = [one for row in rows if isinstance(row, DiffRow) for one in (row.old, row.new) if one]
    assert len(rows) <= MAX_ROWS
    assert sum(len(line.text) for line in lines) <= MAX_CHARACTERS + 4 * MAX_LINE
    named = [file for file in files if file.diff is None]
    assert [file.notice for file in named] == [ONLY_NAMED] + [""] * (len(named) - 1)


def test_the_fingerprint_changes_with_what_is_shown() -> None:
    absent = replace(COMPARISON, changes=(replace(CHANGE, before=None),))
    empty = replace(COMPARISON, changes=(replace(CHANGE, before=""),))
    assert len({fingerprint(c) for c in (COMPARISON, absent, empty)}) == 3
    assert fingerprint(COMPARISON) == fingerprint(replace(COMPARISON, head="c" * 40))
