"""Problems with the lines that they are about."""

from __future__ import annotations

from bqngui.problem_list import has_error, shown_problems
from configrepo.model import Problem, Severity

TEXT = 'ntp\n server "x\napi rest\n user a password hunter2 extra\n'


def problem(line: int, column: int, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(severity, line, column, f"at {line}")


def test_a_problem_shows_its_line_with_a_mark_under_the_place() -> None:
    (shown,) = shown_problems([problem(2, 9)], TEXT)
    assert shown.place == "Line 2, column 9"
    assert shown.quote == ' server "x'
    assert shown.mark == " " * 8 + "^"


def test_errors_come_first_and_then_the_order_of_lines() -> None:
    given = [problem(1, 1, Severity.HINT), problem(3, 1), problem(1, 2), problem(1, 1)]
    shown = shown_problems(given, TEXT)
    assert [(s.problem.line, s.problem.column) for s in shown] == [(1, 1), (1, 2), (3, 1), (1, 1)]


def test_a_line_that_may_hold_a_secret_is_not_quoted() -> None:
    (shown,) = shown_problems([problem(4, 25)], TEXT)
    assert (shown.quote, shown.place) == ("", "Line 4, column 25")


def test_a_problem_without_a_place_has_none() -> None:
    (shown,) = shown_problems([problem(0, 0)], TEXT)
    assert (shown.place, shown.quote, shown.mark) == ("", "", "")
    assert shown_problems([problem(99, 1)], TEXT)[0].quote == ""


def test_a_very_long_line_is_cut_around_the_place_and_control_characters_are_visible() -> None:
    (shown,) = shown_problems([problem(1, 5001)], "x" * 5000 + "\x1b" + "y" * 5000)
    assert len(shown.quote) < 200
    assert shown.quote[len(shown.mark) - 1 :].startswith("\\x1b")


def test_only_errors_forbid() -> None:
    assert has_error([problem(1, 1, Severity.WARNING), problem(1, 1)])
    assert not has_error([problem(1, 1, Severity.WARNING), problem(1, 1, Severity.HINT)])
