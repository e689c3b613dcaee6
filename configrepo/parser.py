"""Reading a configuration: text in, document and problems out.

Rules: everything that no row of the schema claims is kept as undefined; a line that a row
claims by its literal words must match it to the end; a line that cannot be read at all is
an error. All problems are gathered; if one of them is an error nothing is loaded. The
document comes out in canonical order and normal spelling. Messages never quote a word of
a line that may hold a secret.

What a value means (ranges, references) is not decided here but in `configrepo.checks`.

Pure.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace

from configrepo.errors import UnreadableConfig
from configrepo.grammar import BlockRow, ChildRow, Many, Matched, match_line
from configrepo.model import Block, Child, Document, Loaded, Problem, Severity, arranged
from configrepo.schema import block_row, child_row
from configrepo.values import shortened
from configrepo.words import BadWord, columns, control_character, join, split

MAX_BYTES = 16 * 1024 * 1024
MAX_BLOCKS = 20_000
MAX_LINE = 1024 * 1024
MAX_ERRORS = 10_000
MAX_WARNINGS = 10_000


def read(data: str | bytes, members: bool = False) -> Loaded:
    """Read a saved configuration (UTF-8, LF or CRLF, an optional byte order mark).

    Args:
        data: the text; bytes are decoded.
        members: also know the `server ID` blocks that the program writes.

    Raises:
        UnreadableConfig: if one problem is an error; it carries all problems.
    """
    loaded = read_partly(data, members)
    if any(problem.severity is Severity.ERROR for problem in loaded.problems):
        raise UnreadableConfig(loaded.problems)
    return loaded


def read_partly(data: str | bytes, members: bool = False) -> Loaded:
    """Read what can be read; the problems may be errors. Not for loading: for checking."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_BYTES:
        found = f"found more than {MAX_BYTES} bytes, expected at most {MAX_BYTES} (16 MiB)"
        return Loaded(Document(), (Problem(Severity.ERROR, 1, 1, found),))
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
    reader = _Reader(members)
    try:
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            reader.take(number, line[:-1] if line.endswith("\r") else line)
    except _TooMuch:
        pass
    problems = tuple(sorted(reader.problems, key=lambda p: (p.line, p.column)))
    return Loaded(reader.document(), problems)


class _TooMuch(Exception):
    """A limit was reached and what follows is not read; never leaves this module."""


@dataclass(slots=True)
class _Draft:
    """A block that is being read; `row` may be known although its opener is wrong."""

    row: BlockRow | None
    block: Block | None
    children: dict[str, Child] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    more_comments: dict[str, list[str]] = field(default_factory=dict)


class _Reader:
    """Takes one line after the other."""

    def __init__(self, members: bool) -> None:
        self.problems: list[Problem] = []
        self._errors = 0
        self._warnings = 0
        self._members = members
        self._header: tuple[str, ...] = ()
        self._pending: list[str] = []
        self._separated = 0
        self._drafts: dict[tuple[int, tuple[str, ...]], _Draft] = {}
        self._folded: dict[tuple[int, tuple[str, ...]], Block] = {}
        self._draft: _Draft | None = None
        self._started = False
        self._ended = False

    def take(self, number: int, line: str) -> None:
        """Take one line, without its line end."""
        bad = control_character(line)
        if bad is not None:
            self._error(number, bad, _not_text(ord(line[bad])))
            return
        content = line.lstrip(" \t")
        if not content or content[0] == "!":
            self._take_comment(content[1:])
            return
        self._take_command(number, line, self._split(number, line), line[0] in " \t")

    def _split(self, number: int, line: str) -> tuple[str, ...]:
        """The words of a command; none if it cannot be taken apart."""
        if len(line) > MAX_LINE:
            found = f"found more than {MAX_LINE} characters in a line, expected a shorter one"
            self._error(number, MAX_LINE, found)
            return ()
        try:
            return split(line)
        except BadWord as error:
            self._error(number, error.column, error.reason)
            return ()

    def document(self) -> Document:
        """What was read, without the lines that are errors."""
        trailing = tuple(self._pending)
        blocks = [_finished(draft) for draft in self._drafts.values()]
        return arranged((b for b in blocks if b is not None), self._header, trailing)

    # --- lines ---------------------------------------------------------------------

    def _take_comment(self, content: str) -> None:
        text = content.rstrip(" \t")
        if text:
            self._pending.append(text[1:] if text[0] in " \t" else text)
        else:
            self._separated = len(self._pending)

    def _take_command(self, number: int, line: str, words: tuple[str, ...], indented: bool) -> None:
        if not self._started:
            self._started = True
            self._header = tuple(self._pending[: self._separated])
            del self._pending[: self._separated]
        if self._ended:
            self._error(number, 0, "found a line after `end`, expected the end of the file")
            raise _TooMuch
        if indented and words:
            self._take_child(number, line, words)
        elif words == ("end",):
            self._ended = True
        elif words:
            self._take_opener(number, line, words)
        elif not indented:
            self._draft = _Draft(None, None)

    def _take_opener(self, number: int, line: str, words: tuple[str, ...]) -> None:
        row = block_row(words, self._members)
        names: tuple[str, ...] = ()
        if row is not None:
            matched = self._match(row, number, line, words)
            if matched is None:
                self._draft = _Draft(row, None)
                return
            words, names = matched.words, matched.marked
        comments = tuple(self._pending)
        self._pending.clear()
        block = Block(row, words, join(words), names, (), comments, number, line)
        self._draft = self._opened(block)

    def _opened(self, block: Block) -> _Draft:
        draft = self._drafts.get(block.identity)
        if draft is not None and draft.block is not None:
            self._repeated(draft.block, block)
            draft.comments += block.comments
            return draft
        if len(self._drafts) >= MAX_BLOCKS:
            found = f"found more than {MAX_BLOCKS} blocks, expected at most {MAX_BLOCKS}"
            self._error(block.line, 0, found)
            raise _TooMuch
        self._drafts[block.identity] = fresh = _Draft(block.row, block, {}, list(block.comments))
        self._compare_names(block)
        return fresh

    def _repeated(self, first: Block, block: Block) -> None:
        name = _called(block)
        if first.text != block.text:
            message = f"found {name} in another way than on line {first.line}, expected one of them"
            self._error(block.line, _indent(block.source), message)
        elif block.row is not None and block.row.flat:
            message = f"{name} was given before, on line {first.line}; this line was dropped"
            self._warn(block.line, _indent(block.source), message)
        else:
            message = f"{name} was opened before, on line {first.line}; it is continued here"
            self._warn(block.line, _indent(block.source), message)

    def _compare_names(self, block: Block) -> None:
        if block.row is None or not block.names:
            return
        folded = (block.row.index, tuple(fold(name) for name in block.names))
        other = self._folded.setdefault(folded, block)
        if other is not block:
            message = (
                f"found `{block.text}`, which differs only in capital letters from"
                f" `{other.text}` on line {other.line}, expected another name"
            )
            self._error(block.line, _indent(block.source), message)

    def _take_child(self, number: int, line: str, words: tuple[str, ...]) -> None:
        draft = self._draft
        if draft is None:
            message = "found an indented line without a block before it, expected an opener"
            self._error(number, _indent(line), message)
            return
        if draft.row is not None and draft.row.flat:
            opener = " ".join(draft.row.opener.literal)
            message = f"found an indented line, but `{opener}` has no lines of its own; expected"
            self._error(number, _indent(line), f"{message} a command without indent")
            return
        row = child_row(draft.row, words) if draft.row is not None else None
        marked: tuple[str, ...] = ()
        if row is not None:
            matched = self._match(row, number, line, words)
            if matched is None:
                return
            words, marked = matched.words, matched.marked
        text = join(words)
        comments = tuple(self._pending)
        self._pending.clear()
        child = Child(row, words, text, _key(row, marked, text), comments, number, line)
        self._add_child(draft, child)

    def _add_child(self, draft: _Draft, child: Child) -> None:
        first = draft.children.setdefault(child.key, child)
        if first is child:
            return
        if first.text == child.text:
            message = f"this line was given before, on line {first.line}; it was dropped"
            self._warn(child.line, _indent(child.source), message)
            if child.comments:
                draft.more_comments.setdefault(child.key, []).extend(child.comments)
        else:
            message = f"found a second value for `{shortened(child.key)}`, expected only that"
            self._error(child.line, _indent(child.source), f"{message} of line {first.line}")

    # --- matching and problems -----------------------------------------------------

    def _match(
        self, row: BlockRow | ChildRow, number: int, line: str, words: tuple[str, ...]
    ) -> Matched | None:
        pattern = row.opener if isinstance(row, BlockRow) else row.pattern
        found = match_line(pattern, words)
        if isinstance(found, Matched):
            return found
        places = columns(line)
        if found.at >= len(words):
            column, what = len(line.rstrip(" \t")), "the end of the line"
        else:
            column = places[found.at]
            what = "another word" if pattern.secret else f"`{shortened(words[found.at])}`"
        self._error(number, column, f"found {what}, expected {found.expected}")
        return None

    def _error(self, line: int, column: int, message: str) -> None:
        self.problems.append(Problem(Severity.ERROR, line, column + 1, message))
        self._errors += 1
        if self._errors >= MAX_ERRORS:
            message = f"found {MAX_ERRORS} errors; what follows was not read"
            self.problems.append(Problem(Severity.ERROR, line, column + 1, message))
            raise _TooMuch

    def _warn(self, line: int, column: int, message: str) -> None:
        self._warnings += 1
        if self._warnings > MAX_WARNINGS:
            return
        self.problems.append(Problem(Severity.WARNING, line, column + 1, message))


def fold(name: str) -> str:
    """The form in which two names that differ only in case are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def _not_text(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        return f"found the byte 0x{code - 0xDC00:02X}, expected UTF-8 text"
    return f"found the control character U+{code:04X}, expected text"


def _finished(draft: _Draft) -> Block | None:
    if draft.block is None:
        return None
    for key, more in draft.more_comments.items():
        child = draft.children[key]
        draft.children[key] = replace(child, comments=(*child.comments, *more))
    children = tuple(sorted(draft.children.values(), key=lambda child: child.order))
    return replace(draft.block, children=children, comments=tuple(draft.comments))


def _key(row: ChildRow | None, marked: tuple[str, ...], text: str) -> str:
    if row is None or row.many is Many.SET:
        return text
    return join((*row.pattern.literal, *marked))


def _called(block: Block) -> str:
    if block.row is None:
        return f"`{shortened(block.words[0])} …`"
    return f"`{shortened(join((*block.row.opener.literal, *block.names)))}`"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
