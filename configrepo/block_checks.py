"""What one block says by itself: what is wrong with it, what it refers to, what it is.

Everything here follows from the block and the folder of its server, so it can be worked out
once for a file and kept. What blocks mean for one another is `configrepo.checks`.

Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, replace

from configrepo.grammar import Many, Maybe, Pattern, Profiles, Value
from configrepo.layout import path_of
from configrepo.model import Block, Child, Problem, Severity
from configrepo.parser import fold
from configrepo.path_names import escape
from configrepo.schema import BLOCKS, PROFILE_TYPES
from configrepo.values import spell_prefix
from configrepo.words import columns, join, split

Target = tuple[tuple[str, ...], str]
"""What a line refers to: the literal words of an opener, and a name."""

Element = tuple[tuple[str, ...], str]
"""The literal words of a profile's opener, and a line that should stand in one of them only."""


@dataclass(frozen=True, slots=True)
class Use:
    """A word that refers to another block; `child` is None for the opener."""

    target: Target
    child: Child | None
    word: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the other blocks' checks need to know of one block.

    Attributes:
        block: the block.
        order: its place in the canonical order.
        alone: what is wrong with its lines and its shape.
        uses: what it refers to, line by line.
        known: what others call it, if they can.
        unused: what is said of it if nobody does.
        folded: its name as names are compared that must not differ only in case.
        wired: the interfaces that a wire takes, with the numbers of their words.
        management: what is wrong with its addresses.
        elements: the lines that should stand in one profile of a type only.
    """

    block: Block
    order: tuple[int, tuple[tuple[int, str], ...]]
    alone: tuple[Problem, ...]
    uses: tuple[Use, ...]
    known: Target | None
    unused: Problem | None
    folded: tuple[int, tuple[str, ...]] | None
    wired: tuple[tuple[Target, int], ...]
    management: tuple[Problem, ...]
    elements: tuple[tuple[Element, Child], ...]


def facts_of(block: Block, server: str) -> Facts:
    """What a block says by itself; `server` names the folder of server-specific paths."""
    place = Places(server)
    return Facts(
        block=block,
        order=block.order,
        alone=(*values_wrong(block, place), *_shape(block, place)),
        uses=tuple(_uses(block)),
        known=_known(block),
        unused=_unused(block, place),
        folded=_folded(block),
        wired=tuple(_wired(block)),
        management=tuple(_management(block, place)),
        elements=tuple(_elements(block)),
    )


class Places:
    """Makes problems at the place of a line and one of its words."""

    def __init__(self, server: str) -> None:
        self._server = server

    def problem(
        self,
        severity: Severity,
        message: str,
        block: Block,
        child: Child | None = None,
        word: int = 0,
        other: Block | None = None,
    ) -> Problem:
        """A problem of a block, or of one of its lines, at one of the words."""
        line = block if child is None else child
        column = _column(line, word)
        key = child.key if child is not None else block_key_of(block)
        about = None if other is None else path_of(other, self._server)
        path = path_of(block, self._server)
        return Problem(severity, line.line, column, message, path, key, about)

    def missing(self, target: Target, block: Block, child: Child | None, word: int) -> Problem:
        """The problem of a line that refers to what does not exist."""
        found = self.problem(Severity.ERROR, _missing(target), block, child, word)
        return replace(found, other=self._would_be_at(target))

    def _would_be_at(self, target: Target) -> str | None:
        literal, name = target
        row = next((row for row in BLOCKS if row.opener.literal == literal), None)
        return None if row is None else row.file.format(server=self._server, name=escape(name))


def _missing(target: Target) -> str:
    opener, name = target
    return f"`{join((*opener, name))}` does not exist; add it, or name one that exists"


def _column(line: Block | Child, word: int) -> int:
    """The column of a word in the line as it was read (a rule's pairs may have moved)."""
    if line.line == 0 or not line.source:
        return 0
    read = split(line.source)
    at = word if word < len(read) else 0
    if read[at] != line.words[word] and line.words[word] in read:
        at = read.index(line.words[word])
    return columns(line.source)[at] + 1


def block_key_of(block: Block) -> str | None:
    """What reports call a block that shares its file with others; None for the others."""
    if block.row is None:
        return block.text
    return join((*block.row.opener.literal, *block.names)) if block.row.shared else None


# --- one line or one block ----------------------------------------------------------


def _lines(block: Block) -> Iterator[tuple[Pattern, tuple[str, ...], Child | None]]:
    if block.row is not None:
        yield block.row.opener, block.words, None
    for child in block.children:
        if child.row is not None:
            yield child.row.pattern, child.words, child


def _placed(pattern: Pattern, words: tuple[str, ...]) -> Iterator[tuple[int, Value]]:
    """The values of a matched line with the numbers of their words."""
    at = 0
    for element in pattern.elements:
        match element:
            case Maybe(elements):
                if at < len(words) and words[at] == element.first:
                    yield from ((at + n, e) for n, e in enumerate(elements) if isinstance(e, Value))
                    at += len(elements)
            case Profiles(types):
                while words[at] in types:
                    at += 2
            case Value():
                yield at, element
                at += 1
            case _:
                at += 1


def values_wrong(block: Block, place: Places) -> Iterator[Problem]:
    """The problems of the values of a block's lines."""
    for pattern, words, child in _lines(block):
        for at, value in _placed(pattern, words):
            wrong = value.kind.wrong(words[at])
            if wrong is not None:
                yield place.problem(Severity.ERROR, wrong, block, child, at)


def _shape(block: Block, place: Places) -> Iterator[Problem]:
    if block.row is None:
        return
    children = {child.key: child for child in block.children}
    for one, other in block.row.clashes:
        for key in (key for key in one if key in children):
            rivals = [name for name in other if name in children]
            if rivals:
                message = f"`{key}` and `{rivals[0]}` exclude one another; remove one of them"
                yield place.problem(Severity.ERROR, message, block, children[key])
    for key in block.row.wanted:
        if key not in children:
            message = f"`{block.text}` has no `{key}`; add it, or it matches nothing"
            yield place.problem(Severity.WARNING, message, block)


# --- what it is and what it refers to ----------------------------------------------


def _targets(pattern: Pattern, words: tuple[str, ...]) -> Iterator[tuple[int, Target]]:
    """What a line refers to, with the number of the word that does."""
    for at, value in _placed(pattern, words):
        if value.target:
            yield at, (value.target, words[at])
    if any(isinstance(element, Profiles) for element in pattern.elements):
        at = len(pattern.literal)
        while at + 1 < len(words) and words[at] in PROFILE_TYPES:
            yield at + 1, (("profile", words[at]), words[at + 1])
            at += 2


def _uses(block: Block) -> Iterator[Use]:
    for pattern, words, child in _lines(block):
        for at, target in _targets(pattern, words):
            yield Use(target, child, at)


def _known(block: Block) -> Target | None:
    """What a line would call a block. A management interface has no wire."""
    if block.row is None or not block.names or block.row.shared:
        return None
    return (block.row.opener.literal, block.names[0])


def _unused(block: Block, place: Places) -> Problem | None:
    if _known(block) is None or block.row is None or not block.row.used_by:
        return None
    message = f"no rule uses `{block.text}`; add a rule, or remove it"
    return place.problem(Severity.HINT, message, block)


def _folded(block: Block) -> tuple[int, tuple[str, ...]] | None:
    if block.row is None or not block.names:
        return None
    return (block.row.index, tuple(fold(name) for name in block.names))


def _wired(block: Block) -> Iterator[tuple[Target, int]]:
    if block.row is not None and block.row.shared:
        for at, target in _targets(block.row.opener, block.words):
            yield target, at


def _management(block: Block, place: Places) -> Iterator[Problem]:
    children = {child.key: child for child in block.children}
    address, gateway = children.get("ip address"), children.get("gateway")
    if address is None or gateway is None or block.row is None:
        return
    if _outside(gateway.words[-1], address.words[-1]):
        message = (
            f"the gateway {gateway.words[-1]} is outside the management prefix"
            f" {address.words[-1]}; correct one of the two"
        )
        yield place.problem(Severity.ERROR, message, block, gateway, 1)


def _outside(address: str, prefix: str) -> bool:
    if spell_prefix(prefix) is None:
        return False
    try:
        return ipaddress.ip_address(address) not in ipaddress.ip_interface(prefix).network
    except ValueError:
        return False


_PROFILES = frozenset(row for row in BLOCKS if row.opener.literal[0] == "profile")
_ELEMENTS = frozenset(
    child.pattern.literal for row in _PROFILES for child in row.children if child.many is Many.SET
)


def _elements(block: Block) -> Iterator[tuple[Element, Child]]:
    if block.row is None or block.row not in _PROFILES:
        return
    for child in block.children:
        if child.row is not None and child.row.pattern.literal in _ELEMENTS:
            yield (block.row.opener.literal, child.text), child
