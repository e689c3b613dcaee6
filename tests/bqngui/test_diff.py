"""The rows of a diff: what changed, where, and nothing hidden."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from bqngui.diff import Diff, DiffRow, Fold, Piece, diff_texts, visible

TEXTS = st.lists(st.text("ab 1\n", max_size=8), max_size=12).map("\n".join)


def kinds(diff: Diff) -> list[str]:
    return [row.kind if isinstance(row, DiffRow) else f"fold {row.lines}" for row in diff.rows]


def side(diff: Diff, name: str) -> list[str]:
    """The lines of one side, as the table shows them, in the order of their numbers."""
    lines = [getattr(row, name) for row in diff.rows if isinstance(row, DiffRow)]
    return [line.text for line in lines if line is not None]


@given(TEXTS, TEXTS)
def test_each_side_can_be_read_back_from_the_table(old: str, new: str) -> None:
    diff = diff_texts(old, new, context=None)
    for text, name in ((old, "old"), (new, "new")):
        expected = text.split("\n")
        assert side(diff, name) == (expected[:-1] if expected[-1] == "" else expected)
        lines = [getattr(row, name) for row in diff.rows if isinstance(row, DiffRow)]
        assert [line.number for line in lines if line] == list(range(1, len(side(diff, name)) + 1))


@given(TEXTS)
def test_equal_texts_have_no_changed_rows(text: str) -> None:
    diff = diff_texts(text, text, context=None)
    assert (diff.removed, diff.added) == (0, 0)
    assert set(kinds(diff)) <= {"equal"}


def test_an_absent_text_is_all_added_or_all_removed() -> None:
    assert kinds(diff_texts(None, "ntp\n server 192.0.2.1\n")) == ["added", "added"]
    assert kinds(diff_texts("ntp\n", None)) == ["removed"]
    assert diff_texts(None, None).rows == ()


def test_a_changed_line_marks_only_the_words_that_changed() -> None:
    diff = diff_texts(" downlink rate 10000\n", " downlink rate 20000\n")
    (row,) = diff.rows
    assert isinstance(row, DiffRow)
    assert row.old is not None
    assert row.new is not None
    assert row.old.pieces == (Piece(" downlink rate "), Piece("10000", changed=True))
    assert row.new.pieces == (Piece(" downlink rate "), Piece("20000", changed=True))


def test_each_changed_line_is_paired_with_the_line_it_became() -> None:
    old = "policy rate r\n downlink rate 10000\n uplink rate 2000\n acm on\n"
    new = "policy rate r\n block\n downlink rate 9000 burst-rate 1\n uplink rate 4000\n acm on\n"
    assert kinds(diff_texts(old, new)) == ["equal", "added", "changed", "changed", "equal"]


def test_lines_without_likeness_are_removed_and_added() -> None:
    assert kinds(diff_texts("aa bb cc\n", "dd ee ff\n")) == ["removed", "added"]


def test_long_equal_runs_are_folded_and_short_ones_are_not() -> None:
    lines = [f"line {n}" for n in range(30)]
    changed = [*lines[:10], "other words here", *lines[11:]]
    diff = diff_texts("\n".join(lines), "\n".join(changed), context=2)
    assert diff.rows[0] == Fold(8)
    assert diff.rows[-1] == Fold(17)
    assert kinds(diff_texts("a\nb\nc\n", "a\nb\nx y z\n", context=1))[0] == "equal"


def test_what_cannot_be_seen_is_written_out() -> None:
    assert visible("a\u202eb\x1b[0m\u200b\u2028") == "a\\u202eb\\x1b[0m\\u200b\\u2028"
    assert visible("tab\tand ñandú") == "tab\tand ñandú"
    assert side(diff_texts(None, "user \u202egro\n"), "new") == ["user \\u202egro"]


def test_20000_lines_take_well_under_a_second_and_bad_cases_stay_bounded() -> None:
    base = [f"rule access plan-{n} policy rate-{n % 9}" for n in range(20_000)]
    edited = [f"{line} x" if n % 40 == 0 else line for n, line in enumerate(base)]
    cases = {
        "edited": (base, edited),
        "every line edited": (base, [f"{line} x" for line in base]),
        "repetitive": (["a b", "c d"] * 10_000, ["c d", "a b"] * 10_000),
        "long lines": (["a b " * 50 + str(n) for n in range(20_000)], base),
        "one huge line": (["a b " * 500_000], ["a c " * 500_000]),
    }
    for name, (old, new) in cases.items():
        start = time.process_time()
        diff_texts("\n".join(old), "\n".join(new))
        assert time.process_time() - start < 1.5, name


def test_of_very_long_lines_the_part_around_the_difference_is_shown() -> None:
    old, new = "a" * 50_000 + "b" + "c" * 50_000, "a" * 50_000 + "X" + "c" * 50_000
    (row,) = diff_texts(f"{old}\n", f"{new}\n").rows
    assert isinstance(row, DiffRow)
    assert row.old is not None
    assert row.new is not None
    assert "abc" in row.old.text
    assert "aX" in row.new.text
    assert len(row.old.text) < 1_100
    assert row.new.text.startswith("(49800 characters) … a")
    assert row.new.text.endswith("c … (49201 characters)")
