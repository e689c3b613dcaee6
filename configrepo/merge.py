"""The three-way merge by key: everything that decides what a merge gives is in this file.

Rules, applied per block and then per child (x, y, z are values, - is absent):

    base  A  B   result
    x     x  y   y, and the mirror image, also where y is absent
    any   y  y   y
    x     y  z   disagreement
    -     y  z   one value or same key: disagreement; set elements: both

A block deleted on one side and changed on the other is one disagreement over the whole
block. Undefined children of a known block are set elements; undefined blocks are merged
by lines by git. Comments never ask: both are kept. The result does not
depend on which side is called A, except that a disagreement holds A's value until chosen.

It does not know servers, secrets (callers open and re-seal them) or the repository.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from configrepo.conflicts import is_conflicts_path, merge_conflicts
from configrepo.layout import (
    SIGNERS_FILE,
    comments_text,
    file_text,
    holds_many,
    parse_block_file,
    read_comments,
)
from configrepo.model import Block, Child, Files
from configrepo.schema import COMMENTS_FILE
from configrepo.words import join

LineMerge = Callable[[str, str, str], str | None]
"""Merges base, A and B by lines; None if they disagree."""

Reason = Literal["only-a", "only-b", "same-change", "by-lines"]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A key that both sides changed in different ways. None is absent."""

    path: str
    key: str | None
    base: str | None
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """A key that was settled without a question; `result` None means removed."""

    path: str
    key: str | None
    base: str | None
    a: str | None
    b: str | None
    result: str | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome: files (A's value where they disagree), what was settled, what was not."""

    files: dict[str, str]
    settled: tuple[Row, ...]
    disagreements: tuple[Disagreement, ...]


def merge_files(base: Files, a: Files, b: Files, line_merge: LineMerge) -> Merged:
    """Merge two trees over their base; works on files of any scope.

    Raises:
        UnreadableConfig: if a file that differs cannot be read.
    """
    work = _Work(line_merge)
    files: dict[str, str] = {}
    for path in sorted({*base, *a, *b} - {SIGNERS_FILE}):
        x, y, z = base.get(path), a.get(path), b.get(path)
        text = y if x == y == z else work.merge_path(path, x, y, z)
        if text is not None:
            files[path] = text
    return Merged(files, tuple(work.settled), tuple(work.disagreements))


def merge_comments(base: Sequence[str], a: Sequence[str], b: Sequence[str]) -> tuple[str, ...]:
    """Both sides' comments: what one of them removed is gone, what one added is kept."""
    if a == b or b == base:
        return tuple(a)
    if a == base:
        return tuple(b)
    gone = (set(base) - set(a)) | (set(base) - set(b))
    first, second = sorted((tuple(a), tuple(b)))
    known = set(first)
    return tuple(
        line for line in (*first, *(c for c in second if c not in known)) if line not in gone
    )


def _settle(base: str | None, a: str | None, b: str | None) -> Reason | None:
    """Whose value is the result; None is a disagreement. Not all three may be equal."""
    if a == b:
        return "same-change"
    if b == base:
        return "only-a"
    return "only-b" if a == base else None


def _merge_order(base: list[str], a: list[str], b: list[str]) -> list[str]:
    """All elements of the three, in an order that does not prefer one of the sides."""
    if a == b or b == base:
        first, second = a, base
    elif a == base:
        first, second = b, base
    else:
        first, second = sorted((a, b))
        first = [*base, *first]
    return list(dict.fromkeys((*first, *second)))


@dataclass(slots=True)
class _Place:
    """Where a block is reported: its file, and its key where the file holds several."""

    path: str
    key: str | None


@dataclass(slots=True)
class _Work:
    """The rows gathered so far."""

    line_merge: LineMerge
    settled: list[Row] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)

    def merge_path(self, path: str, x: str | None, a: str | None, b: str | None) -> str | None:
        """The merged text of one file whose three versions are not all equal."""
        if is_conflicts_path(path):
            return merge_conflicts(path, x, a, b)
        if path.startswith("servers/") and path.endswith(COMMENTS_FILE.rpartition("}")[2]):
            return _merge_comment_files(path, x, a, b)
        base, ours, theirs = (_blocks(path, text) for text in (x, a, b))
        order = _merge_order(list(base), list(ours), list(theirs))
        merged: list[Block] = []
        for name in order:
            three = base.get(name), ours.get(name), theirs.get(name)
            place = _Place(path, name if holds_many(path) else None)
            block = self._merge_block(place, *three)
            if block is not None:
                merged.append(block)
        return file_text(merged) if merged else None

    # --- blocks --------------------------------------------------------------------

    def _merge_block(
        self, place: _Place, x: Block | None, a: Block | None, b: Block | None
    ) -> Block | None:
        if a is None or b is None or (a.row is not None and a.row.flat):
            return self._merge_whole(place, x, a, b)
        if a.row is None:
            return self._merge_lines(place, x, a, b)
        if a.text != b.text and (x is None or x.text not in (a.text, b.text)):
            return self._merge_whole(place, x, a, b)
        return self._merge_children(place, x, a, b)

    def _merge_whole(
        self, place: _Place, x: Block | None, a: Block | None, b: Block | None
    ) -> Block | None:
        winner = b if self._decide(place.path, place.key, *_values(x, a, b)) == "only-b" else a
        if winner is None or a is None or b is None:
            return winner
        comments = merge_comments(_remarks(x), a.comments, b.comments)
        return replace(winner, comments=comments)

    def _merge_lines(self, place: _Place, x: Block | None, a: Block, b: Block) -> Block:
        values = _value(x), _value(a), _value(b)
        comments = merge_comments(_remarks(x), a.comments, b.comments)
        lines = None
        if _settle(*values) is None:
            lines = self.line_merge(_lines(x), _lines(a), _lines(b))
        if lines is None:
            winner = b if self._decide(place.path, place.key, *values) == "only-b" else a
            return replace(winner, comments=comments)
        known = {child.text: child for side in (b, a) for child in side.children}
        kept = tuple(known[line] for line in dict.fromkeys(lines.split("\n")) if line in known)
        result = replace(a, children=kept, comments=comments)
        self.settled.append(Row(place.path, place.key, *values, _value(result), "by-lines"))
        return result

    def _merge_children(self, place: _Place, x: Block | None, a: Block, b: Block) -> Block:
        opener = a.text
        if x is not None and not a.text == b.text == x.text:
            by = self._decide(place.path, opener_key(a), x.text, a.text, b.text)
            opener = b.text if by == "only-b" else a.text
        elif x is None and not a.children and not b.children:
            self._decide(place.path, place.key, None, a.text, b.text)
        winner = b if opener == b.text else a
        children, orphans = self._children(place, x, a, b)
        remarks = merge_comments(_remarks(x), a.comments, b.comments)
        known = set(remarks)
        comments = (*remarks, *(line for line in orphans if line not in known))
        return replace(winner, children=children, comments=comments)

    def _children(
        self, place: _Place, x: Block | None, a: Block, b: Block
    ) -> tuple[tuple[Child, ...], list[str]]:
        base, ours, theirs = _by_key(x), _by_key(a), _by_key(b)
        order = _merge_order(list(base), list(ours), list(theirs))
        kept: list[Child] = []
        orphans: list[str] = []
        for key in order:
            three = base.get(key), ours.get(key), theirs.get(key)
            child = self._merge_child(place, key, *three)
            comments = merge_comments(*(_remarks(side) for side in three))
            if child is not None:
                kept.append(replace(child, comments=comments))
            else:
                known = set(_remarks(three[0]))
                orphans += [line for line in comments if line not in known]
        return tuple(sorted(kept, key=lambda child: child.order)), orphans

    def _merge_child(
        self, place: _Place, key: str, x: Child | None, a: Child | None, b: Child | None
    ) -> Child | None:
        values = tuple(None if side is None else side.text for side in (x, a, b))
        by = self._decide(place.path, key, *values)
        return b if by == "only-b" else a

    # --- one value -----------------------------------------------------------------

    def _decide(
        self, path: str, key: str | None, x: str | None, a: str | None, b: str | None
    ) -> Reason | None:
        if x == a == b:
            return None
        reason = _settle(x, a, b)
        if reason is None:
            self.disagreements.append(Disagreement(path, key, x, a, b))
        else:
            result = b if reason == "only-b" else a
            self.settled.append(Row(path, key, x, a, b, result, reason))
        return reason


def _merge_comment_files(path: str, x: str | None, a: str | None, b: str | None) -> str | None:
    none: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    base, ours, theirs = (none if t is None else read_comments(path, t) for t in (x, a, b))
    header, trailing = (merge_comments(base[part], ours[part], theirs[part]) for part in (0, 1))
    return comments_text(header, trailing) if header or trailing else None


def opener_key(block: Block) -> str:
    """The key under which a change of the opener alone is reported: its literal words."""
    return block.text if block.row is None else " ".join(block.row.opener.literal)


def _blocks(path: str, text: str | None) -> dict[str, Block]:
    blocks = () if text is None else parse_block_file(path, text)
    if not holds_many(path):
        return {"": blocks[0]} if blocks else {}
    return {_called(block): block for block in blocks}


def _called(block: Block) -> str:
    return block.text if block.row is None else join((*block.row.opener.literal, *block.names))


def block_key(path: str, block: Block) -> str | None:
    """The key of a block in reports: None where it has a file of its own."""
    return _called(block) if holds_many(path) else None


def _value(block: Block | None) -> str | None:
    return None if block is None else "\n".join(block.content)


def _values(*blocks: Block | None) -> tuple[str | None, str | None, str | None]:
    """The values of base, A and B; undefined children in another order are no change."""
    seen: dict[tuple[str, ...], str] = {}
    base, a, b = (
        None
        if block is None
        else seen.setdefault((block.text, *sorted(block.content[1:])), "\n".join(block.content))
        for block in blocks
    )
    return base, a, b


def _lines(block: Block | None) -> str:
    return "" if block is None else "".join(f"{child.text}\n" for child in block.children)


def _remarks(side: Block | Child | None) -> tuple[str, ...]:
    return () if side is None else side.comments


def _by_key(block: Block | None) -> dict[str, Child]:
    return {} if block is None else {child.key: child for child in block.children}
