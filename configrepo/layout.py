"""Where a block lives in the repository: documents to files and back.

One file per block, so that the history of a file is the history of one object; the flat
commands with a key share one file per row, undefined blocks share one file per server.
Every file begins with its opener, with the comments that belong to it before it. Header
and trailing comments of a saved file are kept per server in `comments.conf`.

`path_allowed` is the allow-list for what other servers send; it is derived from the same
table as the writer.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from configrepo.conflicts import is_conflicts_path, read_conflicts
from configrepo.errors import UnreadableConfig
from configrepo.grammar import BlockRow, values_of
from configrepo.model import Block, Document, Files, Problem, Severity, arranged
from configrepo.parser import read
from configrepo.path_names import MAX_COMPONENT, escape, unescape
from configrepo.remembered import Remembered
from configrepo.schema import (
    BLOCKS,
    COMMENTS_FILE,
    COMMON_UNDEFINED_FILE,
    OWN_BLOCKS,
    UNDEFINED_FILE,
)
from configrepo.words import BadWord, join, split
from configrepo.writer import block_text, canonical_text

SIGNERS_FILE = "cluster/allowed_signers"

_COMMENTS_OPENER = "comments"

_BLOCKS: Remembered[tuple[str, str], tuple[Block, ...]] = Remembered(8 * 1024 * 1024)
"""The blocks of files that were read, by path and text; weighed by characters."""

_PROBLEMS: Remembered[tuple[str, str], tuple[Problem, ...]] = Remembered(8 * 1024 * 1024)
"""What forbids files that were looked at, by path and text; weighed by characters."""


# --- paths --------------------------------------------------------------------------


def path_of(block: Block, server: str, common: bool = False) -> str:
    """The file of a block. `common` asks for the common file of an undefined block."""
    if block.row is None:
        return COMMON_UNDEFINED_FILE if common else UNDEFINED_FILE.format(server=server)
    if block.row.shared:
        return block.row.file.format(server=server)
    return block.row.file.format(server=server, name="/".join(map(escape, block.names)))


def undefined_path(server: str) -> str:
    """The file of a server's undefined blocks."""
    return UNDEFINED_FILE.format(server=server)


def comments_path(server: str) -> str:
    """The file of a server's header and trailing comments."""
    return COMMENTS_FILE.format(server=server)


def server_of(path: str) -> str | None:
    """The server of a server-specific path, or None."""
    return path.split("/", 2)[1] if path.startswith("servers/") and path.count("/") > 1 else None


def holds_many(path: str) -> bool:
    """Whether the file holds several blocks, each reported by its own key."""
    return _generic(path) in _MANY


def section_of(path: str) -> str:
    """The section of the configuration that a file belongs to, as the GUI calls it."""
    found = _row_of(path)
    return found.section if found is not None else "Undefined"


@lru_cache(1 << 16)
def path_allowed(path: str) -> bool:
    """Whether this program writes files with this path."""
    if path == SIGNERS_FILE or is_conflicts_path(path):
        return True
    server = server_of(path)
    if server is not None and not _server_number(server):
        return False
    if _generic(path) in _FIXED:
        return True
    found = _PLACES.fullmatch(path)
    if found is None:
        return False
    name = unescape(found["name"])
    row = _row_of(path)
    return name is not None and row is not None and _names_block(row, name)


def _names_block(row: BlockRow, name: str) -> bool:
    kind = next(value.kind for value in values_of(row.opener.elements) if value.marked)
    if kind.read(name) != name:
        return False
    return not kind.numeric or kind.wrong(name) is None


def _server_number(text: str) -> bool:
    return (
        text.isascii()
        and text.isdigit()
        and len(text) <= 3
        and str(int(text)) == text
        and (int(text) <= 255)
    )


def _generic(path: str) -> str:
    server = server_of(path)
    return path if server is None else f"servers/{{server}}/{path.split('/', 2)[2]}"


def _row_of(path: str) -> BlockRow | None:
    generic = _generic(path)
    folder = generic.rpartition("/")[0]
    return _BY_FILE.get(generic) or _BY_FILE.get(f"{folder}/{{name}}.conf")


_BY_FILE = {row.file: row for row in (*BLOCKS, *OWN_BLOCKS)}
_MANY = frozenset(row.file for row in BLOCKS if row.shared) | {
    UNDEFINED_FILE,
    COMMON_UNDEFINED_FILE,
}
_FIXED = frozenset(file for file in _BY_FILE if "{name}" not in file) | {
    UNDEFINED_FILE,
    COMMON_UNDEFINED_FILE,
    COMMENTS_FILE,
}


def _places() -> re.Pattern[str]:
    folders = [file.rpartition("/")[0] for file in _BY_FILE if "{name}" in file]
    shapes = [re.escape(f).replace(r"\{server\}", "[0-9]{1,3}") for f in folders]
    return re.compile(rf"(?:{'|'.join(shapes)})/(?P<name>[^/]{{1,{MAX_COMPONENT}}})\.conf")


_PLACES = _places()


# --- documents to files -------------------------------------------------------------


def files_of(
    document: Document, server: str, common_undefined: Collection[str] = ()
) -> dict[str, str]:
    """The files of a document; `server` names the folder of its server-specific part.

    Args:
        document: what was read.
        server: "0" to "255", or a stand-in such as "a".
        common_undefined: openers of undefined blocks that an operator marked common.
    """
    texts: dict[str, list[str]] = {}
    for block in document.blocks:
        path = path_of(block, server, common=block.text in common_undefined)
        texts.setdefault(path, []).append(block_text(block))
    files = {path: "".join(parts) for path, parts in texts.items()}
    if document.header or document.trailing:
        files[comments_path(server)] = comments_text(document.header, document.trailing)
    return files


def file_text(blocks: Iterable[Block]) -> str:
    """The text of a file that holds these blocks."""
    return "".join([block_text(block) for block in arranged(blocks).blocks])


def comments_text(header: tuple[str, ...], trailing: tuple[str, ...]) -> str:
    """The file that keeps the header and trailing comments of a server's saved file."""
    lines = [join(("header", text)) for text in header]
    lines += [join(("trailing", text)) for text in trailing]
    return "\n ".join([_COMMENTS_OPENER, *lines]) + "\n"


def read_comments(path: str, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Header and trailing comments of such a file. Raises UnreadableConfig."""
    kept: dict[str, list[str]] = {"header": [], "trailing": []}
    for number, line in enumerate(text.rstrip("\n").split("\n"), 1):
        try:
            words = split(line)
        except BadWord as error:
            raise _wrong(path, number, error.column + 1, error.reason) from error
        if number == 1 and words == (_COMMENTS_OPENER,):
            continue
        if number == 1 or len(words) != 2 or words[0] not in kept or not words[1].strip(" \t"):
            expected = "`comments`" if number == 1 else "header TEXT or trailing TEXT"
            raise _wrong(path, number, 1, f"found another line, expected {expected}")
        kept[words[0]].append(words[1])
    return tuple(kept["header"]), tuple(kept["trailing"])


# --- files to documents -------------------------------------------------------------


def parse_block_file(path: str, text: str) -> tuple[Block, ...]:
    """The blocks of one file, in canonical order.

    Raises:
        UnreadableConfig: if it cannot be read, or holds a block of another file.
    """
    known = _BLOCKS.get((path, text))
    if known is None:
        known = _BLOCKS.keep((path, text), _parsed(path, text), len(text) + len(path))
    return known


def _parsed(path: str, text: str) -> tuple[Block, ...]:
    try:
        document = read(text, members=path.startswith("cluster/")).document
    except UnreadableConfig as error:
        raise UnreadableConfig(tuple(replace(p, path=path) for p in error.problems)) from error
    if not document.blocks:
        raise _wrong(path, 1, 1, "found no block, expected the opener of this file")
    server = server_of(path) or ""
    for block in document.blocks:
        belongs = path_of(block, server, common=path == COMMON_UNDEFINED_FILE)
        if belongs != path:
            message = f"found a block of {belongs}, expected a block of {path}"
            raise _wrong(path, block.line, 1, message)
    first, *rest = document.blocks
    first = replace(first, comments=document.header + first.comments)
    last = rest.pop() if rest else first
    last = replace(last, comments=last.comments + document.trailing)
    return (first, *rest, last) if len(document.blocks) > 1 else (last,)


def _wrong(path: str, line: int, column: int, message: str) -> UnreadableConfig:
    return UnreadableConfig((Problem(Severity.ERROR, line, column, message, path),))


def document_of(files: Files, server: str) -> Document:
    """The effective document of a server: `common/` and `servers/<server>/`.

    Raises:
        UnreadableConfig: if one of the files cannot be read.
    """
    header: tuple[str, ...] = ()
    trailing: tuple[str, ...] = ()
    blocks: list[Block] = []
    own = f"servers/{server}/"
    for path, text in files.items():
        if path == own + "comments.conf":
            header, trailing = read_comments(path, text)
        elif path.startswith(("common/", own)):
            blocks += parse_block_file(path, text)
    return arranged(_continued(blocks), header, trailing)


def _continued(blocks: list[Block]) -> Iterable[Block]:
    """An undefined block that is both common and a server's own is one block."""
    merged: dict[tuple[int, tuple[str, ...]], Block] = {}
    for block in blocks:
        first = merged.get(block.identity)
        if first is None:
            merged[block.identity] = block
            continue
        known = {child.key for child in first.children}
        more = tuple(child for child in block.children if child.key not in known)
        comments = first.comments + block.comments
        merged[block.identity] = replace(first, children=first.children + more, comments=comments)
    return merged.values()


def effective_text(files: Files, server: str) -> str:
    """The canonical text that a server runs. Raises UnreadableConfig."""
    return canonical_text(document_of(files, server))


def read_files(files: Mapping[str, str]) -> tuple[Problem, ...]:
    """Everything that forbids these files: wrong paths, unreadable texts, wrong openers."""
    problems: list[Problem] = []
    for path, text in sorted(files.items()):
        known = _PROBLEMS.get((path, text))
        if known is None:
            known = _problems_of(path, text)
            _PROBLEMS.keep((path, text), known, len(text) + len(path) + 100 * len(known))
        problems += known
    return tuple(problems)


def _problems_of(path: str, text: str) -> tuple[Problem, ...]:
    if not path_allowed(path):
        message = "this program writes no file with this path"
        return (Problem(Severity.ERROR, 0, 0, message, path),)
    try:
        if path == SIGNERS_FILE:
            return ()
        if is_conflicts_path(path):
            read_conflicts(path, text, path_allowed)
        elif path.endswith("/comments.conf") and path.startswith("servers/"):
            read_comments(path, text)
        else:
            parse_block_file(path, text)
    except UnreadableConfig as error:
        return error.problems
    return ()
