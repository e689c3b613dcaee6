"""Problems of a text as a page shows them: in line order, each with its line and a mark under it.

Errors come with the line that they are about, so that they can be understood without the
file at hand. A line that may hold a secret is not quoted: its place is enough.

It knows nothing of requests or HTML.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bqngui.diff import visible
from configrepo.model import Problem, Severity

LONGEST_QUOTE = 160
_SECRET = re.compile(r"\b(?:password|secret|key|community|token|psk)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ShownProblem:
    """A problem with the line it is about; `quote` is "" where there is none to show.

    `mark` has as many blanks as there are characters before the place, then a caret.
    """

    problem: Problem
    quote: str = ""
    mark: str = ""

    @property
    def place(self) -> str:
        """Where it is, in words; "" where there is no place in a text."""
        if self.problem.line < 1:
            return ""
        column = f", column {self.problem.column}" if self.problem.column > 0 else ""
        return f"Line {self.problem.line}{column}"


def shown_problems(problems: Sequence[Problem], text: str | None = None) -> list[ShownProblem]:
    """The problems, errors first and then by line, quoting `text` if it is given."""
    order = list(Severity)
    lines = text.splitlines() if text is not None else []
    ordered = sorted(problems, key=lambda p: (order.index(p.severity), p.line, p.column))
    return [_shown(problem, lines) for problem in ordered]


def has_error(problems: Sequence[Problem]) -> bool:
    """Whether an error is among them: it forbids to load or to commit."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def _shown(problem: Problem, lines: Sequence[str]) -> ShownProblem:
    if not 1 <= problem.line <= len(lines):
        return ShownProblem(problem)
    line = lines[problem.line - 1].replace("\t", " ")
    if _SECRET.search(line):
        return ShownProblem(problem)
    column = min(max(problem.column, 1), len(line) + 1)
    start = max(0, column - LONGEST_QUOTE // 2)
    quote = visible(line[start : start + LONGEST_QUOTE])
    before = visible(line[start : column - 1])
    mark = " " * len(before) + "^" if problem.column > 0 else ""
    return ShownProblem(problem, quote, mark)
