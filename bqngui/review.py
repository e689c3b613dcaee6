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
from dataclasses import dataclass

from bqngui.diff import Diff, diff_texts
from configrepo.merge import Disagreement
from configrepo.unify import Answer, Edit, RowId, Take
from scheduler.views import Comparison, FileChange

MAX_DIFFS = 150
MAX_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One changed block with its table; `diff` is None where too many blocks changed."""

    change: FileChange
    diff: Diff | None

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


def file_diffs(changes: Sequence[FileChange]) -> tuple[FileDiff, ...]:
    """A table for each of the first blocks; when a page has enough, the others are only named."""
    files: list[FileDiff] = []
    rows = 0
    for number, change in enumerate(changes):
        enough = number >= MAX_DIFFS or rows > MAX_ROWS
        diff = None if enough else diff_texts(change.before, change.after)
        rows += len(diff.rows) if diff else 0
        files.append(FileDiff(change, diff))
    return tuple(files)


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
