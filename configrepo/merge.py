"""The three-way merge by key.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A key that both sides changed in different ways. None is absent."""

    path: str
    key: str | None
    base: str | None
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A key that was settled without a question; `result` None means removed."""

    path: str
    key: str | None
    base: str | None
    a: str | None
    b: str | None
    result: str | None
    reason: Literal["only-a", "only-b", "same-change"]
