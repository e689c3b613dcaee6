"""Random configurations made from the schema itself: every row, small pools of values.

A seed gives the same text again, so that a failing property names its case.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from configrepo.grammar import (
    BlockRow,
    ChildRow,
    Choice,
    Element,
    Many,
    Maybe,
    Pattern,
    Profiles,
    Value,
    Word,
)
from configrepo.layout import files_of
from configrepo.model import Document
from configrepo.parser import read
from configrepo.schema import BLOCKS
from configrepo.values import KINDS
from configrepo.words import join

EXAMPLES = Path(__file__).parents[2] / "examples"

_POOL = {
    "address": ("192.0.2.1", "192.0.2.2", "2001:DB8:0::1"),
    "days": ("mon-fri", "Sat,sun", "mon-sun"),
    "date": ("2026-01-31", "2027-06-01"),
    "domain": ("*.Example.com", "a.example", "b.example"),
    "hours": ("8:00-12:00", "19:00-24:00", "22:00-06:00"),
    "prefix": ("10.0.0.0/8", "192.0.2.0/24", "2001:db8:0:0::/32"),
    "sha256": ("AB" * 32, "cd" * 32),
    "text": ("plain", "two words", 'with "quotes" \\ and more', ""),
    "secret": ("one", "two words", "s3cret"),
    "metrics": ("all", "none", "rtt,loss"),
}
_NUMBERS = ("1", "2", "007", "80", "443")
_NAMES = ("a", "b-1", "C.x", "nul", ".git", "ü%/")
_COMMENTS = ("why", "  see ticket 7", "---", "ü")
_UNDEFINED = ("bypass on", 'label "two words"', '"!not a comment"', "key k3y", "end")


def _word(random: Random, value: Value) -> str:
    names = [name for name, kind in KINDS.items() if kind is value.kind]
    kind = names[0]
    if kind in _POOL:
        return random.choice(_POOL[kind])
    if value.kind.numeric or kind in ("protocol", "speed"):
        return random.choice(_NUMBERS)
    return random.choice(_NAMES)


def _words(random: Random, element: Element) -> Iterator[str]:
    match element:
        case Word(text):
            yield text
        case Choice(words):
            yield random.choice(words)
        case Value():
            yield _word(random, element)
        case Maybe(elements):
            parts = elements if random.random() < 0.4 else ()
            yield from (word for part in parts for word in _words(random, part))
        case Profiles(types):
            kinds = random.sample(types, random.randint(0, 2))
            yield from (word for kind in kinds for word in (kind, random.choice(_NAMES[:3])))


def line(random: Random, pattern: Pattern) -> str:
    """A line that matches the pattern."""
    return join([word for element in pattern.elements for word in _words(random, element)])


def _remarks(random: Random, indent: str) -> list[str]:
    if random.random() > 0.15:
        return []
    return [f"{indent}! {random.choice(_COMMENTS)}" for _ in range(random.randint(1, 2))]


def children(random: Random, row: BlockRow, most: int = 5) -> list[str]:
    """Lines for a block of this row, one value and keyed lines at most once."""
    lines: dict[object, str] = {}
    for _ in range(random.randint(0, most)):
        if not row.children or random.random() < 0.15:
            text = random.choice(_UNDEFINED)
            lines[text] = text
            continue
        child: ChildRow = random.choice(row.children)
        text = line(random, child.pattern)
        lines[text if child.many is Many.SET else _key(row, text)] = text
    return list(lines.values())


def _key(row: BlockRow, text: str) -> str:
    block = read(f"{_opener(Random(0), row)}\n {text}\n").document.blocks[0]
    return block.children[0].key


def _opener(random: Random, row: BlockRow) -> str:
    return line(random, row.opener)


def block(random: Random, row: BlockRow) -> list[str]:
    """The lines of one block."""
    lines = [*_remarks(random, ""), _opener(random, row)]
    if not row.flat:
        for child in children(random, row):
            lines += [*_remarks(random, " "), f" {child}"]
    return lines


def configuration(seed: int, blocks: int = 8) -> str:
    """A readable text: some blocks, repeated openers and separators included."""
    random = Random(seed)
    lines = [*_remarks(random, ""), *random.choice(([], ["!"]))]
    for _ in range(random.randint(0, blocks)):
        row = random.choice(BLOCKS)
        lines += [*block(random, row), *random.choice(([], ["!"], [""]))]
    lines += random.choice(([], ["bypass wire 1", " mode auto"], ["radius server 192.0.2.9"]))
    lines += [*_remarks(random, ""), *random.choice(([], ["end"]))]
    return random.choice(("\n", "\r\n")).join(lines)


def document(name: str) -> Document:
    """One of the examples."""
    return read((EXAMPLES / f"{name}.conf").read_bytes()).document


def common_files(name: str) -> dict[str, str]:
    """The common files of one of the examples."""
    files = files_of(document(name), "0")
    return {path: text for path, text in files.items() if path.startswith("common/")}
