"""Two texts side by side: rows of old line, new line and the pieces that changed in them.

Lines are aligned first; inside a changed line the words are aligned, as long as the effort
that a page may cost lasts; after that a changed line is marked as a whole. Long runs of
equal lines become one `Fold`; of a very long line the part around its first difference is
shown. What a reader cannot see (control characters, marks that reverse
the writing direction) is written out as an escape, so that a text cannot look other than
it is. The result is plain text in dataclasses: the template escapes it.

It knows nothing of blocks, revisions or HTML.

Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bqngui.alignment import matches

CONTEXT_LINES = 3
MAX_PAIRED_LINES = 40
MAX_LINE = 1_000
BEFORE_DIFFERENCE = 200
STRETCH = 64
EFFORT = 100_000
LEAST_LIKENESS = 0.3

_WORD = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a line; `changed` marks what the other side does not have."""

    text: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of one side; `number` counts from 1."""

    number: int
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The whole line as it is shown."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One row of the table; a side is None where the line exists on the other only."""

    kind: Literal["equal", "removed", "added", "changed"]
    old: Line | None
    new: Line | None


@dataclass(frozen=True, slots=True)
class Fold:
    """A run of equal lines that is not shown."""

    lines: int


@dataclass(frozen=True, slots=True)
class Diff:
    """The table of one text, with how many lines each side has of its own."""

    rows: tuple[DiffRow | Fold, ...]
    removed: int
    added: int

    @property
    def only_one_side(self) -> bool:
        """Whether every line exists on one side only: the text is new, or it is gone."""
        kinds = {row.kind if isinstance(row, DiffRow) else "equal" for row in self.rows}
        return kinds in ({"added"}, {"removed"})


@dataclass(slots=True)
class _Effort:
    """What is left of the work that one diff may cost."""

    left: int = EFFORT

    def spend(self, cost: int) -> bool:
        """Take `cost` if so much is left."""
        if cost > self.left:
            return False
        self.left -= cost
        return True


def diff_texts(old: str | None, new: str | None, context: int | None = CONTEXT_LINES) -> Diff:
    """Compare two texts line by line; None is a text that does not exist.

    Args:
        old: the text before.
        new: the text after.
        context: equal lines kept around a change; None keeps all.
    """
    old_lines, new_lines = _lines(old), _lines(new)
    rows: list[DiffRow] = []
    effort = _Effort()
    i = j = 0
    for same_i, same_j in [*matches(old_lines, new_lines), (len(old_lines), len(new_lines))]:
        rows += _changed_rows(old_lines[i:same_i], new_lines[j:same_j], i, j, effort)
        if same_i < len(old_lines):
            line = (Piece(visible(_part(old_lines[same_i], 0))),)
            rows.append(DiffRow("equal", Line(same_i + 1, line), Line(same_j + 1, line)))
        i, j = same_i + 1, same_j + 1
    return Diff(
        rows=tuple(rows) if context is None else _folded(rows, context),
        removed=sum(row.kind in ("removed", "changed") for row in rows),
        added=sum(row.kind in ("added", "changed") for row in rows),
    )


def visible(text: str) -> str:
    """The text with control, format and line-separating characters written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character == "\t" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp", "Cs"):
        return character
    return character.encode("unicode_escape").decode("ascii")


def _lines(text: str | None) -> list[str]:
    if not text:
        return []
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _changed_rows(old: list[str], new: list[str], i: int, j: int, effort: _Effort) -> list[DiffRow]:
    """Rows of a stretch without equal lines; `i` and `j` are the lines before it."""
    rows: list[DiffRow] = []
    done_old = done_new = 0
    for at_old, at_new in [*_like_lines(old, new, effort), (len(old), len(new))]:
        rows += [
            DiffRow("removed", Line(i + n + 1, _whole(old[n])), None)
            for n in range(done_old, at_old)
        ]
        rows += [
            DiffRow("added", None, Line(j + n + 1, _whole(new[n]))) for n in range(done_new, at_new)
        ]
        if at_old < len(old):
            before, after = _pieces(*_parts(old[at_old], new[at_new]), effort)
            rows.append(
                DiffRow("changed", Line(i + at_old + 1, before), Line(j + at_new + 1, after))
            )
        done_old, done_new = at_old + 1, at_new + 1
    return rows


def _whole(line: str) -> tuple[Piece, ...]:
    return (Piece(visible(_part(line, 0)), changed=True),)


def _parts(old: str, new: str) -> tuple[str, str]:
    """Both lines as they are shown: long ones from a little before where they begin to differ."""
    start = 0
    if max(len(old), len(new)) > MAX_LINE:
        pairs = enumerate(zip(old, new, strict=False))
        same = next((n for n, (a, b) in pairs if a != b), min(len(old), len(new)))
        start = max(same - BEFORE_DIFFERENCE, 0)
    return visible(_part(old, start)), visible(_part(new, start))


def _part(line: str, start: int) -> str:
    """What is shown of a line: all of it, or at most `MAX_LINE` characters from `start`."""
    if len(line) <= MAX_LINE:
        return line
    before = f"({start} characters) … " if start else ""
    left = len(line) - start - MAX_LINE
    return before + line[start : start + MAX_LINE] + (f" … ({left} characters)" if left > 0 else "")


def _like_lines(old: list[str], new: list[str], effort: _Effort) -> list[tuple[int, int]]:
    """Which removed line became which added one: the order-keeping pairs that are most alike."""
    if not old or not new:
        return []
    if max(len(old), len(new)) > MAX_PAIRED_LINES or not effort.spend(len(old) * len(new)):
        return list(zip(range(len(old)), range(len(new)), strict=False))
    words_old = [_units(line) for line in old]
    words_new = [_units(line) for line in new]
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    likeness = [[_likeness(a, b) for b in words_new] for a in words_old]
    for x in range(len(old) - 1, -1, -1):
        for y in range(len(new) - 1, -1, -1):
            best[x][y] = max(best[x + 1][y], best[x][y + 1], best[x + 1][y + 1] + likeness[x][y])
    pairs: list[tuple[int, int]] = []
    x = y = 0
    while x < len(old) and y < len(new):
        if likeness[x][y] and best[x][y] == best[x + 1][y + 1] + likeness[x][y]:
            pairs.append((x, y))
            x, y = x + 1, y + 1
        elif best[x][y] == best[x + 1][y]:
            x += 1
        else:
            y += 1
    return pairs


def _units(line: str) -> list[str]:
    """What two lines are compared by: words; of a very long line equal stretches."""
    if len(line) <= MAX_LINE:
        return line.split()
    return [line[n : n + STRETCH] for n in range(0, len(line), STRETCH)]


def _likeness(a: list[str], b: list[str]) -> float:
    """Share of words that both lines begin or end with; 0 where they have too little in common."""
    longest, shortest = max(len(a), len(b)), min(len(a), len(b))
    if longest == 0:
        return 0.0
    head = next((n for n in range(shortest) if a[n] != b[n]), shortest)
    tail = next((n for n in range(shortest - head) if a[-1 - n] != b[-1 - n]), shortest - head)
    share = (head + tail) / longest
    return share if share >= LEAST_LIKENESS else 0.0


def _pieces(old: str, new: str, effort: _Effort) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    if max(len(old), len(new)) > MAX_LINE or not effort.spend(len(old) + len(new)):
        return (Piece(old, changed=True),), (Piece(new, changed=True),)
    a, b = _WORD.findall(old), _WORD.findall(new)
    pairs = matches(a, b)
    return _marked(a, {i for i, _ in pairs}), _marked(b, {j for _, j in pairs})


def _marked(words: Sequence[str], same: set[int]) -> tuple[Piece, ...]:
    """Neighbouring words of one kind as one piece; a blank between two changes is changed."""
    changed = [
        n not in same
        or (
            word.isspace()
            and n > 0
            and n - 1 not in same
            and n + 1 < len(words)
            and n + 1 not in same
        )
        for n, word in enumerate(words)
    ]
    pieces: list[Piece] = []
    for word, mark in zip(words, changed, strict=True):
        if pieces and pieces[-1].changed == mark:
            pieces[-1] = Piece(pieces[-1].text + word, mark)
        else:
            pieces.append(Piece(word, mark))
    return tuple(pieces)


def _folded(rows: list[DiffRow], context: int) -> tuple[DiffRow | Fold, ...]:
    """Fold the equal rows further than `context` from a change; a run of one stays."""
    keep = bytearray(len(rows))
    for n, row in enumerate(rows):
        if row.kind != "equal":
            start, end = max(0, n - context), min(len(rows), n + context + 1)
            keep[start:end] = b"\x01" * (end - start)
    folded: list[DiffRow | Fold] = []
    n = 0
    while n < len(rows):
        run = n
        while run < len(rows) and not keep[run]:
            run += 1
        if run - n > 1:
            folded.append(Fold(run - n))
            n = run
        else:
            folded.append(rows[n])
            n += 1
    return tuple(folded)
