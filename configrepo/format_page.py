"""The page that documents the configuration format, made from the schema.

`python -m configrepo.format_page > docs/configuration-format.md`; a test compares.

Edge: standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from configrepo.grammar import (
    BlockRow,
    Choice,
    Element,
    Many,
    Maybe,
    Pattern,
    Profiles,
    Value,
    Word,
    values_of,
)
from configrepo.parser import MAX_BLOCKS, MAX_BYTES
from configrepo.path_names import MAX_COMPONENT
from configrepo.schema import (
    BLOCKS,
    COMMENTS_FILE,
    COMMON_UNDEFINED_FILE,
    OWN_BLOCKS,
    PROFILE_TYPES,
    SECRET_WORDS,
    UNDEFINED_FILE,
)
from configrepo.values import MAX_NAME, ValueKind

_MARKS = {Many.ONE: "=", Many.SET: "+", Many.KEYED: "#"}

_TOP = f"""# The configuration format

This page is made from the schema (`configrepo/schema.py`) by `configrepo/format_page.py`; do not
edit it.

## Text

    file    := {{ line }}            UTF-8, LF or CRLF, at most {MAX_BYTES // 1024 // 1024} MiB,
                                 at most {MAX_BLOCKS:,} blocks
    line    := blank | '!' comment | command
    block   := opener NEWLINE {{ ' ' command }}      children indented by one or more blanks
    flat    := a command at column 0 with no children

- Words are separated by blanks. A word that is empty, holds a blank or a double quote, or begins
  with `!`, is written in double quotes, with `\\"` and `\\\\` as the only escapes. `end` closes the
  file and is optional.
- What no row below claims by its literal words is *undefined*: it is kept as it is. A line that a
  row claims must match it to the end; otherwise its first wrong word is an error. With an error
  nothing is loaded, and all problems of the file are told together.
- A comment belongs to the block or child that follows it. Comments at the top that are followed by
  a line with `!` alone are the header; comments after the last command are the trailer.
- Canonical form: the order of this page; within a row by name (numbers by value), set and keyed
  lines bytewise, the rule without profiles last; undefined blocks and children after the known
  ones, in the order in which they were read. One blank of indent; lines with `!` alone are made
  anew. Integers have no leading zeros, IPv6 addresses are spelled as in RFC 5952.
- Names have no blanks and at most {MAX_NAME} characters. Two names of one type that differ only in
  capital letters are an error.

## Blocks

`=` one value, `+` set (the line is the key), `#` keyed (the literal words and the words marked °
are the key). In the file names a NAME is escaped: `%XX` for everything outside `[A-Za-z0-9._-]`,
for a leading dot or dash and for names that some system reserves; at most {MAX_COMPONENT} bytes.

| opener | file in the repository | children |
|---|---|---|
"""


def page() -> str:
    """The whole page as Markdown."""
    rows = "".join(_row(row) for row in (*BLOCKS, *OWN_BLOCKS))
    return _TOP + rows + _undefined() + _checks() + _kinds()


def shown(pattern: Pattern) -> str:
    """A pattern as people read it: kinds in CAPITALS, marked words with °."""
    return " ".join(map(_element, pattern.elements))


def _element(element: Element) -> str:
    match element:
        case Word(text):
            return text
        case Choice(words):
            return "|".join(words)
        case Value(kind, marked):
            return kind.shown + ("°" if marked else "")
        case Maybe(elements):
            return f"[{' '.join(map(_element, elements))}]"
        case Profiles():
            return "[PROFILETYPE° NAME°]…"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _row(row: BlockRow) -> str:
    name = next((v.kind.shown for v in values_of(row.opener.elements) if v.marked), "NAME")
    file = row.file.replace("{server}", "ID").replace("{name}", name)
    if row.flat:
        children = "flat, keyed" if row.shared else "flat, one value"
    else:
        children = ", ".join(f"{_MARKS[c.many]} {_code(shown(c.pattern))}" for c in row.children)
    return f"| {_code(shown(row.opener))} | `{file}` | {children} |\n"


def _undefined() -> str:
    words = ", ".join(f"`{word}`" for word in sorted(SECRET_WORDS))
    return f"""
Undefined blocks are in `{_with_id(UNDEFINED_FILE)}`, those that an operator marked common in
`{COMMON_UNDEFINED_FILE}`. In an undefined line the word after one of
{words}
is a secret. The header and trailing comments of a saved file are in
`{_with_id(COMMENTS_FILE)}`. The last two rows above are made by the program and are not part of
a saved file.

PROFILETYPE is one of
{_words(PROFILE_TYPES)},
each at most once; a type that is left out means any.
"""


def _with_id(file: str) -> str:
    return file.replace("{server}", "ID")


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _checks() -> str:
    return "\n## Checks that follow from the table\n\n" + "".join(_check_lines())


def _check_lines() -> Iterator[str]:
    for row in BLOCKS:
        opener = _code(shown(row.opener))
        for one, other in row.clashes:
            yield f"- {opener}: {_words(one)} excludes {_words(other)}.\n"
        if row.wanted:
            yield f"- {opener}: a warning without {_words(row.wanted)}.\n"
        for pattern in (row.opener, *(child.pattern for child in row.children)):
            targets = {value.target for value in values_of(pattern.elements) if value.target}
            for target in sorted(targets):
                yield f"- {_code(shown(pattern))} names an existing {_code(' '.join(target))}.\n"


def _kinds() -> str:
    """What each word in CAPITALS means; where that depends on the place, at which places."""
    meanings: dict[str, dict[str, list[str]]] = {}
    for kind, before in _places():
        places = meanings.setdefault(kind.shown, {}).setdefault(kind.expected, [])
        if before not in places:
            places.append(before)
    lines = ["\n## Values\n\n| word | meaning |\n|---|---|\n"]
    for word, expected in sorted(meanings.items()):
        for meaning, places in expected.items():
            after = f" after {_words(places)}" if len(expected) > 1 else ""
            lines.append(f"| {_code(word)}{after} | {meaning} |\n")
    return "".join(lines)


def _places() -> Iterator[tuple[ValueKind, str]]:
    """Every value of the table with the word before it."""
    for row in (*BLOCKS, *OWN_BLOCKS):
        for pattern in (row.opener, *(child.pattern for child in row.children)):
            words = shown(pattern).replace("[", "").replace("]", "").split()
            for number, value in enumerate(_flat(pattern.elements)):
                if isinstance(value, Value):
                    yield value.kind, words[number - 1]


def _flat(elements: Iterable[Element]) -> Iterator[Element]:
    for element in elements:
        if isinstance(element, Maybe):
            yield from element.elements
        else:
            yield element


if __name__ == "__main__":
    sys.stdout.write(page())
