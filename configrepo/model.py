"""Values of the configuration language.

A document is a sequence of blocks in canonical order; a block is an opener and its
children; every line of it knows its row of the schema (None: undefined), its words in
normal spelling, its canonical text and the comments that belong to it. Places in the
text that a line was read from do not take part in comparisons.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import NewType

from configrepo.grammar import BlockRow, ChildRow, Many

ServerId = NewType("ServerId", int)

SCHEMA = 1
"""The newest schema of the configuration that this release reads and writes.

It grows by one whenever an older release could not read what this one writes. A cluster
uses the schema that it names itself (`configrepo.cluster_settings`).
"""
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
    what was found and what to do, and never quotes a secret. `other` is the file of another
    block that it is about: the one that a reference names, or the one that it collides with.
    """

    severity: Severity
    line: int
    column: int
    message: str
    path: str | None = None
    key: str | None = None
    other: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Child:
    """One line of a block.

    `key` is what every report calls it: literal words and marked words, for set elements
    and undefined lines the whole line. `source` is the line as it was read.
    """

    row: ChildRow | None
    words: tuple[str, ...]
    text: str
    key: str
    comments: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)
    source: str = field(default="", compare=False, repr=False)

    @property
    def order(self) -> tuple[int, bool, str]:
        """Place in the canonical order of its block (undefined lines keep theirs)."""
        if self.row is None:
            return (1_000_000, False, "")
        unmarked = self.row.many is Many.KEYED and self.key == " ".join(self.row.pattern.literal)
        return (self.row.index, unmarked, self.text)


@dataclass(frozen=True, slots=True)
class Block:
    """An opener with its children, or a flat command.

    `names` are the words of the opener that tell it from other blocks of its row. `order` is
    its place in the canonical order (undefined blocks keep theirs, at the end).
    """

    row: BlockRow | None
    words: tuple[str, ...]
    text: str
    names: tuple[str, ...]
    children: tuple[Child, ...] = ()
    comments: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)
    source: str = field(default="", compare=False, repr=False)
    order: tuple[int, tuple[tuple[int, str], ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Kept: thousands of blocks are sorted by it again and again.
        object.__setattr__(self, "order", self._place())

    @property
    def identity(self) -> tuple[int, tuple[str, ...]]:
        """Equal for two blocks that must be one: same row and names."""
        return (-1, (self.text,)) if self.row is None else (self.row.index, self.names)

    @property
    def content(self) -> tuple[str, ...]:
        """Canonical lines without indent and comments: what makes two blocks equal."""
        return (self.text, *[child.text for child in self.children])

    def _place(self) -> tuple[int, tuple[tuple[int, str], ...]]:
        if self.row is None:
            return (1_000_000, ())
        names = zip(self.row.opener.numeric, self.names, strict=True)
        return (
            self.row.index,
            tuple([(len(name) if numeric else 0, name) for numeric, name in names]),
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration: header comments, blocks in canonical order, trailing comments."""

    header: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    trailing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read, and its problems in the order of lines."""

    document: Document
    problems: tuple[Problem, ...] = ()


def arranged(
    blocks: Iterable[Block], header: tuple[str, ...] = (), trailing: tuple[str, ...] = ()
) -> Document:
    """A document with its blocks in canonical order.

    Without any block there is no "after the blocks": all comments are header then.
    """
    ordered = tuple(sorted(blocks, key=attrgetter("order")))
    if not ordered:
        return Document(header + trailing)
    return Document(header, ordered, trailing)
