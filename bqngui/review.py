"""What is shown before a commit: each block's diff, and what must be decided by a person.

A disagreement is a key that somebody else committed in another way after the candidate
was begun. The form asks for each: the value that is committed now (`Take("cluster")`),
the candidate's value (`Take("joiner")`), or another text (`Edit`). The names of the fields
are `choice-<n>` and `text-<n>`; the row id is `choice-<n>-row`, so an answer stays with its
question when the list changes meanwhile.

It knows nothing of requests or HTML.

Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bqngui.diff import Diff, DiffRow, Fold, diff_texts
from configrepo.merge import Disagreement
from configrepo.unify import Answer, Edit, RowId, Take
from scheduler.views import Comparison, FileChange

MAX_DIFFS = 150
MAX_NAMED = 400
MAX_ROWS = 2_000
MAX_CHARACTERS = 400_000
MAX_COMPARED_LINES = 5_000
MAX_COMPARED = 256 * 1024
ONLY_NAMED = (
    "This page has shown as many changes as fit: from here on changed blocks are only named."
)


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One changed block with its table.

    `diff` is None where nothing of it is shown; `hidden` says what is not shown, and why;
    `notice` stands before the first of those that are only named; `patch` is the address of
    the whole difference as a text; `others` counts the blocks after this one that are not
    even named.
    """

    change: FileChange
    diff: Diff | None
    hidden: str = ""
    notice: str = ""
    patch: str = ""
    others: int = 0

    @property
    def kind(self) -> str:
        """Whether the block is new, removed or changed."""
        if self.change.before is None:
            return "new"
        return "removed" if self.change.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Question:
    """One disagreement with what the person said so far."""

    number: int
    row_id: RowId
    disagreement: Disagreement
    answer: Answer | None = None

    @property
    def said(self) -> str:
        """The radio that is set: cluster, joiner, edit, or "" for none."""
        match self.answer:
            case Take(side=side):
                return side
            case Edit():
                return "edit"
            case _:
                return ""

    @property
    def text(self) -> str:
        """What the field for another value holds."""
        match self.answer:
            case Edit(text=text):
                return text
            case _:
                return self.disagreement.b or self.disagreement.a or ""


def file_diffs(changes: Sequence[FileChange], patch: str = "") -> tuple[FileDiff, ...]:
    """A table for each of the first blocks; others are only named, or (very many) counted.

    Args:
        changes: what changed.
        patch: the address of all differences as a text, offered where not all are shown.
    """
    files: list[FileDiff] = []
    rows, characters, shown_all = MAX_ROWS, MAX_CHARACTERS, True
    for number, change in enumerate(changes[:MAX_NAMED]):
        if large := _too_large(change):
            files.append(FileDiff(change, None, large, patch=patch))
        elif number >= MAX_DIFFS or rows <= 0 or characters <= 0:
            files.append(
                FileDiff(change, None, notice=ONLY_NAMED if shown_all else "", patch=patch)
            )
            shown_all = False
        else:
            diff = diff_texts(change.before, change.after)
            shown = _beginning(diff, rows, characters)
            rows -= len(shown.rows)
            characters -= sum(map(_characters, shown.rows))
            files.append(FileDiff(change, shown, _left_out(diff, shown), patch=patch))
    if len(changes) > MAX_NAMED:
        files[-1] = replace(files[-1], others=len(changes) - MAX_NAMED)
    return tuple(files)


def block_count(files: Sequence[FileDiff]) -> int:
    """How many blocks changed, with those that are not named."""
    return sum(1 + file.others for file in files)


def _too_large(change: FileChange) -> str:
    """Why a block is not compared; "" if it is."""
    texts = [text for text in (change.before, change.after) if text is not None]
    characters = max(map(len, texts), default=0)
    lines = max((text.count("\n") for text in texts), default=0)
    if characters <= MAX_COMPARED and lines <= MAX_COMPARED_LINES:
        return ""
    size = f"{lines:,} line{'' if lines == 1 else 's'} and {characters:,} characters"
    return f"This block is too large to be compared on a page: it has {size}."


def _beginning(diff: Diff, rows: int, characters: int) -> Diff:
    """As many rows as a page still has room for."""
    taken = 0
    for row in diff.rows[:rows]:
        characters -= _characters(row)
        if characters < 0 and taken > 0:
            break
        taken += 1
    return diff if taken == len(diff.rows) else replace(diff, rows=diff.rows[:taken])


def _characters(row: DiffRow | Fold) -> int:
    if isinstance(row, Fold):
        return 0
    return sum(len(line.text) for line in (row.old, row.new) if line is not None)


def _left_out(diff: Diff, shown: Diff) -> str:
    """How many changed lines of a block a page has no room for, in words."""
    left = diff.rows[len(shown.rows) :]
    count = sum(isinstance(row, DiffRow) and row.kind != "equal" for row in left)
    if count == 0:
        return ""
    lines = "line of this block is" if count == 1 else "lines of this block are"
    return f"{count:,} more changed {lines} not shown."


def row_id(disagreement: Disagreement) -> RowId:
    """The id under which the answer to a disagreement travels."""
    return RowId(f"{disagreement.path}|{disagreement.key or ''}")


def questions(
    disagreements: Sequence[Disagreement], choices: Mapping[RowId, Answer]
) -> tuple[Question, ...]:
    """The disagreements as numbered questions, with the choices made so far."""
    return tuple(
        Question(number, row_id(d), d, choices.get(row_id(d)))
        for number, d in enumerate(disagreements, 1)
    )


def choices_of(form: Mapping[str, str]) -> dict[RowId, Answer]:
    """Read the answers from a posted form; a question without an answer is left out."""
    choices: dict[RowId, Answer] = {}
    for name, row in form.items():
        number = name.removeprefix("choice-").removesuffix("-row")
        if name != f"choice-{number}-row":
            continue
        match form.get(f"choice-{number}"):
            case "cluster":
                choices[RowId(row)] = Take("cluster")
            case "joiner":
                choices[RowId(row)] = Take("joiner")
            case "edit":
                text = form.get(f"text-{number}", "").replace("\r\n", "\n")
                choices[RowId(row)] = Edit(text.strip("\n"))
            case _:
                pass
    return choices


def fingerprint(comparison: Comparison) -> str:
    """Names what a page showed, so that nothing is committed that was not seen."""
    digest = hashlib.sha256()
    for change in comparison.changes:
        for part in (change.path, change.before, change.after):
            data = b"\x00" if part is None else b"\x01" + part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]
