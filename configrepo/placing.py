"""Putting one value at its place in the files of a repository.

What an answer of the Unify page or of a disagreement does to the merged files. Comments
that stood at the place stay there.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from configrepo.errors import UnreadableConfig
from configrepo.grammar import Many
from configrepo.layout import file_text, holds_many, parse_block_file, read_comments
from configrepo.merge import block_key, opener_key
from configrepo.model import Block, Files, Problem, Severity
from configrepo.remembered import Remembered
from configrepo.writer import block_text

_PUT: Remembered[tuple[str, str | None, str | None, str | None], tuple[str | None]] = Remembered(
    2**24
)
"""What came of a value at a place before: an answer to one of 5,000 rows settles all anew."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file and the key within it, as every report names them."""

    path: str
    key: str | None


def value_at(files: Files, path: str, key: str | None) -> str | None:
    """The value at a place, in lines as a report has them; None if there is none."""
    text = files.get(path)
    if text is None:
        return None
    if path.endswith("/comments.conf"):
        return text.rstrip("\n")
    blocks = parse_block_file(path, text)
    if key is None or holds_many(path):
        found = (block for block in blocks if block_key(path, block) == key)
        return next(("\n".join(block.content) for block in found), None)
    for block in blocks:
        for child in block.children:
            if child.key == key:
                return child.text
        if opener_key(block) == key:
            return block.text
    return None


def put_value(files: dict[str, str], path: str, key: str | None, value: str | None) -> None:
    """Put a value at its place; None removes it.

    Args:
        files: changed in place.
        path: the file.
        key: the key of a report; None is the whole block.
        value: lines as in a report (no indent needed), canonical or not.

    Raises:
        UnreadableConfig: if the value cannot be read there; lines count within it.
    """
    asked = (path, files.get(path), key, value)
    known = _PUT.get(asked)
    if known is None:
        known = (_text_with(Place(path, key), files.get(path), value),)
        _PUT.keep(asked, known, sum(len(text) for text in (*asked, *known) if text is not None))
    if known[0] is None:
        files.pop(path, None)
    else:
        files[path] = known[0]


def _text_with(place: Place, text: str | None, value: str | None) -> str | None:
    """The text of a file with the value at its place; None if nothing is left of it."""
    path, key = place.path, place.key
    if path.endswith("/comments.conf"):
        return _comments_text(path, value)
    if text is None and key is not None and not holds_many(path) and value is not None:
        raise _refused(place, "found no block there; make the block anew, or keep what is there")
    blocks = list(() if text is None else parse_block_file(place.path, text))
    if place.key is None or holds_many(place.path):
        blocks = _with_block(blocks, place, value)
    else:
        blocks = [_with_child(block, place, value) for block in blocks]
    return file_text(blocks) if blocks else None


def _comments_text(path: str, value: str | None) -> str | None:
    if value is None:
        return None
    read_comments(path, value)
    return value + "\n"


def _with_block(blocks: list[Block], place: Place, value: str | None) -> list[Block]:
    """The blocks of a file with the one that the place names replaced, added or removed."""
    kept: list[Block] = []
    before: Block | None = None
    for block in blocks:
        if block_key(place.path, block) == place.key:
            before = block
        else:
            kept.append(block)
    if value is None:
        return kept
    new = parse_block_file(place.path, _indented(value))
    if len(new) != 1 or (place.key is not None and block_key(place.path, new[0]) != place.key):
        raise _refused(place, "found another block, expected this block only")
    return [*kept, _with_comments(new[0], before)]


def _with_comments(block: Block, before: Block | None) -> Block:
    """Comments never get lost: those that stood there before stay."""
    if before is None:
        return block
    remarks = {child.key: child.comments for child in before.children}
    children = tuple(
        replace(child, comments=child.comments or remarks.get(child.key, ()))
        for child in block.children
    )
    return replace(block, children=children, comments=block.comments or before.comments)


def _indented(value: str) -> str:
    """A block as a report shows it (without indent), as its file holds it."""
    lines: list[str] = []
    opened = False
    for line in value.splitlines():
        word = line.strip(" \t")
        lines.append(f" {word}" if opened and word else word)
        opened = opened or not (word == "" or word.startswith("!"))
    return "\n".join(lines) + "\n"


def _with_child(block: Block, place: Place, value: str | None) -> Block:
    if place.key == opener_key(block) and all(child.key != place.key for child in block.children):
        return _with_opener(block, place, value)
    old = [child for child in block.children if child.key == place.key]
    rest = tuple(child for child in block.children if child.key != place.key)
    text = block_text(replace(block, children=rest))
    before = text.count("\n")
    if value is not None:
        text += "".join(f" {line.strip()}\n" for line in value.splitlines() if line.strip())
    try:
        new = parse_block_file(place.path, text)[0]
    except UnreadableConfig as error:
        raise UnreadableConfig(
            tuple(replace(p, line=max(1, p.line - before), key=place.key) for p in error.problems)
        ) from error
    _same_key(place, new, {child.key for child in rest})
    return _with_comments(new, replace(block, children=(*rest, *old)))


def _same_key(place: Place, block: Block, others: set[str]) -> None:
    """One value stays one value: an edited line may not become another setting."""
    known = block.row.children if block.row is not None else ()
    single = {" ".join(r.pattern.literal) for r in known if r.many is Many.ONE}
    for child in block.children:
        if child.key not in others and child.key != place.key and place.key in single:
            raise _refused(
                place, f"found another setting, expected a line that begins `{place.key}`"
            )


def _with_opener(block: Block, place: Place, value: str | None) -> Block:
    if value is None:
        raise _refused(place, "found nothing, expected an opener")
    children = block_text(replace(block, comments=())).partition("\n")[2]
    new = parse_block_file(place.path, f"{value.strip()}\n{children}")[0]
    return _with_comments(new, block)


def _refused(place: Place, message: str) -> UnreadableConfig:
    return UnreadableConfig((Problem(Severity.ERROR, 1, 1, message, place.path, place.key),))
