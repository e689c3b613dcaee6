"""What may stand in a block, for the help beside the editor; read off the schema.

Core: asks the page of the format how a pattern is written for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configrepo.format_page import shown
from configrepo.grammar import BlockRow, Many
from configrepo.schema import BLOCKS


@dataclass(frozen=True, slots=True)
class LineHelp:
    """One kind of line; `many` says whether several of them may stand in a block."""

    pattern: str
    many: bool


@dataclass(frozen=True, slots=True)
class BlockHelp:
    """One kind of block: its first line and the lines below it."""

    opener: str
    lines: tuple[LineHelp, ...]


def help_for(opener: str) -> tuple[BlockHelp, ...]:
    """The kind of block that begins with this line; all kinds if it is "", none if unknown."""
    if not opener:
        return tuple(_help(row) for row in BLOCKS)
    fitting = [row for row in BLOCKS if _claims(row, opener.split())]
    if not fitting:
        return ()
    return (_help(max(fitting, key=lambda row: len(row.opener.literal))),)


def _claims(row: BlockRow, words: Sequence[str]) -> bool:
    literal = row.opener.literal
    return tuple(words[: len(literal)]) == tuple(literal)


def _help(row: BlockRow) -> BlockHelp:
    lines = (
        LineHelp(shown(c.pattern).replace("°", ""), c.many is not Many.ONE) for c in row.children
    )
    return BlockHelp(shown(row.opener).replace("°", ""), tuple(lines))
