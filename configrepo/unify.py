"""What the Unify page works on: the rows of a merge, the answers, the settled result.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NewType

from configrepo.model import Files

RowId = NewType("RowId", str)


@dataclass(frozen=True, slots=True)
class Take:
    """Take one side's value. `both` exists only where the row's kind allows it."""

    side: Literal["cluster", "joiner", "both", "base"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Take this text (canonical or not; it is read like any input)."""

    text: str


Answer = Take | Edit


@dataclass(frozen=True, slots=True)
class UnifyRow:
    """One difference, with what each side has and what is proposed.

    `group`: disagreement (must be answered), changes-running (replaces or removes what
    the running servers have; must be acknowledged), addition (new for the running
    servers), kept (only the joiner changes), same (both made the same change).
    Values are canonical lines joined by newlines; None is absent. `proposal` is None
    both for "removed" and, with group disagreement, for "no proposal".
    """

    id: RowId
    path: str
    title: str
    key: str | None
    base: str | None
    cluster: str | None
    joiner: str | None
    proposal: str | None
    reason: str
    group: Literal["disagreement", "changes-running", "addition", "kept", "same"]
    can_take_both: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """All rows of a unification; server-specific files are listed and left alone."""

    rows: tuple[UnifyRow, ...]
    server_specific: Files = field(default_factory=dict)
