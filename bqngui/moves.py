"""Blocks that go from one server's folder to another one's as they are.

Another id for a server moves its whole own part. Shown as that many removed and that many
new blocks, it would look like a loss; each one is told once, with where it comes from.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configrepo.layout import server_of
from scheduler.views import FileChange


@dataclass(frozen=True, slots=True)
class Move:
    """A block that keeps its text."""

    title: str
    before: str
    after: str


def moves_of(changes: Sequence[FileChange]) -> tuple[tuple[Move, ...], tuple[FileChange, ...]]:
    """The blocks that only move, and the changes that are left."""
    gone = {_place(c.path, c.before): c for c in changes if c.after is None}
    moves: list[Move] = []
    moved: set[str] = set()
    for change in changes:
        place = _place(change.path, change.after)
        old = gone.pop(place, None) if place is not None and change.before is None else None
        if old is not None:
            moves.append(Move(change.title, old.path, change.path))
            moved |= {old.path, change.path}
    return tuple(moves), tuple(change for change in changes if change.path not in moved)


def _place(path: str, text: str | None) -> tuple[str, str] | None:
    """A block of a server's own part, whichever server that is."""
    if server_of(path) is None or text is None:
        return None
    return path.split("/", 2)[2], text
