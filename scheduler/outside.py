"""Traces that a change from outside leaves: when the file was written, and by whom.

Edge: the file system, the operator's own program.
"""

from __future__ import annotations

import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scheduler.commands import run_command

_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Trace:
    """What the system knows of a change; `by` is empty where it knows nothing."""

    at: datetime | None
    by: str


def trace_of(file: Path | None, who_command: Sequence[str], timeout_s: float) -> Trace:
    """Look who changed the running configuration.

    Args:
        file: the file that runs; None where the device is asked instead.
        who_command: the operator's program that prints who it was; empty: none.
        timeout_s: its time limit.
    """
    at, owner = _written(file) if file is not None else (None, "")
    if not who_command:
        return Trace(at, owner)
    done = run_command(who_command, timeout_s)
    if done.problem is not None:
        return Trace(at, owner or f"not known: {done.problem}")
    lines = done.output.decode(errors="replace").strip().splitlines()
    said = "".join(c for c in lines[0] if c.isprintable())[:_LONGEST] if lines else ""
    return Trace(at, said or owner)


def _written(file: Path) -> tuple[datetime | None, str]:
    try:
        found = file.stat()
    except OSError:
        return None, ""
    try:
        owner = f"the account {pwd.getpwuid(found.st_uid).pw_name}, which owns {file.name}"
    except KeyError:
        owner = f"the account with number {found.st_uid}, which owns {file.name}"
    return datetime.fromtimestamp(found.st_mtime, UTC), owner
