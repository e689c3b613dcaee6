"""Checks beyond reading: values that make no sense, references that lead nowhere.

Every problem has its place in the text (0 where the document was not read from one),
its path and its key, and a sentence that says what to do. What is checked follows from
the schema: ranges from the kinds of values, references from their targets, pairs that
exclude one another and wanted children from the rows. Secrets are never quoted.

Common blocks never refer to a server's own blocks or the other way round, so the files of
many servers are checked once for `common/` and once per server for its own part. What a
file says by itself (`configrepo.block_checks`) is worked out once and kept by its text; so
is what came of the last parts that were checked, by all of their texts. The answer is the
same as without.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from configrepo.block_checks import Element, Facts, Places, Target, block_key_of, facts_of
from configrepo.block_checks import values_wrong as _values
from configrepo.errors import UnreadableConfig
from configrepo.layout import comments_path, parse_block_file, read_comments, server_of
from configrepo.model import Document, Files, Problem, Severity
from configrepo.remembered import Remembered
from configrepo.words import join

_Part = tuple[tuple[str, str], ...]

_FACTS: Remembered[tuple[str, str], tuple[Facts, ...]] = Remembered(8 * 1024 * 1024)
"""By path and text; weighed by characters."""

_CHECKED: Remembered[tuple[str, _Part], tuple[Problem, ...]] = Remembered(2**25)
"""By server and files; weighed by characters."""


def check(document: Document, server: str = "a") -> tuple[Problem, ...]:
    """All problems of a readable document, in the order of its lines.

    Args:
        document: the effective configuration of one server.
        server: whose folder the paths of server-specific problems name.
    """
    return _problems([facts_of(block, server) for block in document.blocks], Places(server))


def check_lines(document: Document, server: str = "a") -> tuple[Problem, ...]:
    """Only what is wrong with lines by themselves: for a document that was read in part."""
    place = Places(server)
    return tuple(problem for block in document.blocks for problem in _values(block, place))


def check_files(files: Files) -> tuple[Problem, ...]:
    """All problems of a repository: unreadable files, and those of every server."""
    parts = _parts(files)
    problems: list[Problem] = []
    for server in sorted(parts):
        problems += _check_part(server, tuple(parts[server]))
    return tuple(problems)


def _parts(files: Files) -> dict[str, list[tuple[str, str]]]:
    """The files of each server by its name; the common ones under the empty name."""
    parts: dict[str, list[tuple[str, str]]] = {"": []}
    for path, text in files.items():
        if path.startswith("common/"):
            parts[""].append((path, text))
        elif (server := server_of(path)) is not None:
            parts.setdefault(server, []).append((path, text))
    return parts


def _check_part(server: str, part: _Part) -> tuple[Problem, ...]:
    known = _CHECKED.get((server, part))
    if known is not None:
        return known
    facts: list[Facts] = []
    try:
        for path, text in part:
            facts += _facts_of_file(path, text, server)
    except UnreadableConfig as error:
        found = error.problems
    else:
        facts.sort(key=lambda one: one.order)
        found = _problems(facts, Places(server))
    weight = sum([len(path) + len(text) for path, text in part]) + 100 * (len(found) + 1)
    return _CHECKED.keep((server, part), found, weight)


def _facts_of_file(path: str, text: str, server: str) -> tuple[Facts, ...]:
    """What the blocks of a file say by themselves. Raises UnreadableConfig."""
    known = _FACTS.get((path, text))
    if known is not None:
        return known
    if path == comments_path(server):
        read_comments(path, text)
        found: tuple[Facts, ...] = ()
    else:
        found = tuple(facts_of(block, server) for block in parse_block_file(path, text))
    return _FACTS.keep((path, text), found, len(text) + len(path))


def _problems(facts: Sequence[Facts], place: Places) -> tuple[Problem, ...]:
    """All problems of blocks in canonical order, in the order of their lines."""
    problems = [problem for one in facts for problem in one.alone]
    problems += _references(facts, place)
    problems += _names(facts, place)
    problems += _wires(facts, place)
    problems += [problem for one in facts for problem in one.management]
    problems += _overlaps(facts, place)
    return tuple(sorted(problems, key=lambda p: (p.line, p.column)))


def _references(facts: Sequence[Facts], place: Places) -> Iterator[Problem]:
    known = {one.known: one for one in facts if one.known is not None}
    used: set[Target] = set()
    for one in facts:
        for use in one.uses:
            used.add(use.target)
            if use.target not in known:
                yield place.missing(use.target, one.block, use.child, use.word)
    for target, one in known.items():
        if one.unused is not None and target not in used:
            yield one.unused


def _names(facts: Sequence[Facts], place: Places) -> Iterator[Problem]:
    """Names that differ only in case; reading finds them too, but not after a merge."""
    first: dict[tuple[int, tuple[str, ...]], Facts] = {}
    for one in facts:
        if one.folded is None:
            continue
        other = first.setdefault(one.folded, one)
        if other is not one:
            message = (
                f"`{one.block.text}` differs only in capital letters from `{other.block.text}`;"
                " rename one of them"
            )
            yield place.problem(Severity.ERROR, message, one.block, other=other.block)


def _wires(facts: Sequence[Facts], place: Places) -> Iterator[Problem]:
    """An interface belongs to one wire, and to one side of it."""
    first: dict[Target, Facts] = {}
    for one in facts:
        for target, at in one.wired:
            if target in first:
                called = block_key_of(first[target].block)
                message = f"`{join(target[0])} {target[1]}` is already used by `{called}`"
                yield place.problem(
                    Severity.ERROR,
                    f"{message}; give each wire its own",
                    one.block,
                    None,
                    at,
                    other=first[target].block,
                )
            first.setdefault(target, one)


def _overlaps(facts: Sequence[Facts], place: Places) -> Iterator[Problem]:
    """The same element in two profiles of one type: it is unclear which one matches."""
    first: dict[Element, Facts] = {}
    for one in facts:
        for element, child in one.elements:
            other = first.setdefault(element, one)
            if other is not one:
                message = f"`{child.text}` is also in `{other.block.text}`; keep it in one of them"
                yield place.problem(Severity.WARNING, message, one.block, child)
