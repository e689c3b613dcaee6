"""Values of the configuration language.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

ServerId = NewType("ServerId", int)
Files = Mapping[str, str]


class Severity(StrEnum):
    """How bad a problem is: an error forbids loading, the others are told."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a configuration, at its place.

    `line` and `column` count from 1; 0 where there is no place in a text. `path` is the
    file of the repository and `key` the child, where they are known. The message says
    what was found and what to do, and never quotes a secret.
    """

    severity: Severity
    line: int
    column: int
    message: str
    path: str | None = None
    key: str | None = None
