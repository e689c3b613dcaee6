"""Checks beyond reading: values that make no sense, references that lead nowhere.

Every problem has its place in the text (0 where the document was not read from one),
its path and its key, and a sentence that says what to do. What is checked follows from
the schema: ranges from the kinds of values, references from their targets, pairs that
exclude one another and wanted children from the rows. Secrets are never quoted.

Common blocks never refer to a server's own blocks or the other way round, so the files of
many servers are checked once for `common/` and once per server for its own part.

Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from configrepo.errors import UnreadableConfig
from configrepo.grammar import Many, Maybe, Pattern, Profiles, Value
from configrepo.layout import document_of, path_of, server_of
from configrepo.model import Block, Child, Document, Files, Problem, Severity
from configrepo.parser import fold
from configrepo.path_names import escape
from configrepo.schema import BLOCKS, PROFILE_TYPES
from configrepo.values import spell_prefix
from configrepo.words import columns, join, split

Target = tuple[tuple[str, ...], str]
"""What a line refers to: the literal words of an opener, and a name."""


def check(document: Document, server: str = "a") -> tuple[Problem, ...]:
    """All problems of a readable document, in the order of its lines.

    Args:
        document: the effective configuration of one server.
        server: whose folder the paths of server-specific problems name.
    """
    place = _Places(server)
    problems: list[Problem] = []
    for block in document.blocks:
        problems += _values(block, place)
        problems += _shape(block, place)
    problems += _references(document, place)
    problems += _names(document, place)
    problems += _wires(document, place)
    problems += _management(document, place)
    problems += _overlaps(document, place)
    return tuple(sorted(problems, key=lambda p: (p.line, p.column)))


def check_lines(document: Document, server: str = "a") -> tuple[Problem, ...]:
    """Only what is wrong with lines by themselves: for a document that was read in part."""
    place = _Places(server)
    return tuple(problem for block in document.blocks for problem in _values(block, place))


def check_files(files: Files) -> tuple[Problem, ...]:
    """All problems of a repository: unreadable files, and those of every server."""
    servers = sorted({server for server in map(server_of, files) if server is not None})
    problems: list[Problem] = []
    for server in (None, *servers):
        start = "common/" if server is None else f"servers/{server}/"
        part = {path: text for path, text in files.items() if path.startswith(start)}
        try:
            problems += check(document_of(part, server or ""), server or "")
        except UnreadableConfig as error:
            problems += error.problems
    return tuple(problems)


class _Places:
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
        line = block if child is None else child
        column = _column(line, word)
        key = child.key if child is not None else _block_key(block)
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


def _column(line: Block | Child, word: int) -> int:
    """The column of a word in the line as it was read (a rule's pairs may have moved)."""
    if line.line == 0 or not line.source:
        return 0
    read = split(line.source)
    at = word if word < len(read) else 0
    if read[at] != line.words[word] and line.words[word] in read:
        at = read.index(line.words[word])
    return columns(line.source)[at] + 1


def _block_key(block: Block) -> str | None:
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


def _values(block: Block, place: _Places) -> Iterator[Problem]:
    for pattern, words, child in _lines(block):
        for at, value in _placed(pattern, words):
            wrong = value.kind.wrong(words[at])
            if wrong is not None:
                yield place.problem(Severity.ERROR, wrong, block, child, at)


def _shape(block: Block, place: _Places) -> Iterator[Problem]:
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


# --- references ---------------------------------------------------------------------


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


def _references(document: Document, place: _Places) -> Iterator[Problem]:
    known = _known(document)
    used: set[Target] = set()
    for block in document.blocks:
        for pattern, words, child in _lines(block):
            for at, target in _targets(pattern, words):
                used.add(target)
                if target not in known:
                    yield place.missing(target, block, child, at)
    for target, block in known.items():
        if block.row is not None and block.row.used_by and target not in used:
            message = f"no rule uses `{block.text}`; add a rule, or remove it"
            yield place.problem(Severity.HINT, message, block)


def _known(document: Document) -> dict[Target, Block]:
    """Blocks by what a line would call them. A management interface has no wire."""
    return {
        (block.row.opener.literal, block.names[0]): block
        for block in document.blocks
        if block.row is not None and block.names and not block.row.shared
    }


def _missing(target: Target) -> str:
    opener, name = target
    return f"`{join((*opener, name))}` does not exist; add it, or name one that exists"


# --- several blocks -----------------------------------------------------------------


def _names(document: Document, place: _Places) -> Iterator[Problem]:
    """Names that differ only in case; reading finds them too, but not after a merge."""
    first: dict[tuple[int, tuple[str, ...]], Block] = {}
    for block in document.blocks:
        if block.row is None or not block.names:
            continue
        folded = (block.row.index, tuple(fold(name) for name in block.names))
        other = first.setdefault(folded, block)
        if other is not block:
            message = (
                f"`{block.text}` differs only in capital letters from `{other.text}`;"
                " rename one of them"
            )
            yield place.problem(Severity.ERROR, message, block, other=other)


def _wires(document: Document, place: _Places) -> Iterator[Problem]:
    """An interface belongs to one wire, and to one side of it."""
    first: dict[Target, Block] = {}
    for block in document.blocks:
        if block.row is None or not block.row.shared:
            continue
        for at, target in _targets(block.row.opener, block.words):
            if target in first:
                called = _block_key(first[target])
                message = f"`{join(target[0])} {target[1]}` is already used by `{called}`"
                yield place.problem(
                    Severity.ERROR,
                    f"{message}; give each wire its own",
                    block,
                    None,
                    at,
                    other=first[target],
                )
            first.setdefault(target, block)


def _management(document: Document, place: _Places) -> Iterator[Problem]:
    for block in document.blocks:
        children = {child.key: child for child in block.children}
        address, gateway = children.get("ip address"), children.get("gateway")
        if address is None or gateway is None or block.row is None:
            continue
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


def _overlaps(document: Document, place: _Places) -> Iterator[Problem]:
    """The same element in two profiles of one type: it is unclear which one matches."""
    first: dict[tuple[tuple[str, ...], str], Block] = {}
    for block in document.blocks:
        if block.row not in _PROFILES or block.row is None:
            continue
        for child in block.children:
            if child.row is None or child.row.pattern.literal not in _ELEMENTS:
                continue
            other = first.setdefault((block.row.opener.literal, child.text), block)
            if other is not block:
                message = f"`{child.text}` is also in `{other.text}`; keep it in one of them"
                yield place.problem(Severity.WARNING, message, block, child)


_ELEMENTS = frozenset(
    child.pattern.literal for row in _PROFILES for child in row.children if child.many is Many.SET
)
