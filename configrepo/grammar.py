"""Patterns of lines and rows of the schema: the notation that the table is written in.

A pattern is one line of text:

    word            the word itself
    a|b             one of these words
    <kind>          a value of that kind (`configrepo.values`)
    <kind*>         the same, and the word belongs to the key of the line
    <kind>target    the value names a block whose opener begins with the words of target,
                    written with `:` for a blank (`<name>policy:rate`)
    [ a <kind> ]    all of it or nothing, begun by a literal word
    {profiles}      pairs of profile type and name, each type at most once, any order

The *literal words* of a pattern are those before its first variable part. They decide
whether a line is meant at all; after that the rest must match.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from configrepo.values import KINDS, ValueKind


@dataclass(frozen=True, slots=True)
class Word:
    """A literal word."""

    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several literal words."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A value; `marked` makes it part of the key, `target` names the opener it refers to."""

    kind: ValueKind
    marked: bool = False
    target: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Maybe:
    """An optional group, begun by a literal word."""

    elements: tuple[Word | Choice | Value, ...]

    @property
    def first(self) -> str:
        """The literal word that begins the group."""
        element = self.elements[0]
        assert isinstance(element, Word)
        return element.text


@dataclass(frozen=True, slots=True)
class Profiles:
    """Pairs of profile type and profile name."""

    types: tuple[str, ...]


Element = Word | Choice | Value | Maybe | Profiles


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern.

    `literal` are its literal words, `secret` if a line holds a secret, `numeric` has for each
    marked value whether it is a number.
    """

    notation: str
    elements: tuple[Element, ...]
    literal: tuple[str, ...]
    secret: bool = field(init=False, compare=False, repr=False)
    numeric: tuple[bool, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        values = tuple(values_of(self.elements))
        object.__setattr__(self, "secret", any(value.kind.secret for value in values))
        numeric = tuple(value.kind.numeric for value in values if value.marked)
        object.__setattr__(self, "numeric", numeric)


class Many(StrEnum):
    """How often a child may stand in its block."""

    ONE = "one"
    SET = "set"
    KEYED = "keyed"


@dataclass(frozen=True, slots=True, eq=False)
class ChildRow:
    """One kind of child; `index` is its place in the canonical order."""

    index: int
    many: Many
    pattern: Pattern


@dataclass(frozen=True, slots=True, eq=False)
class BlockRow:
    """One kind of block.

    Attributes:
        index: place in the canonical order.
        opener: pattern of the opener.
        file: path in the repository; `{server}` and `{name}` are filled in.
        section: the page of the GUI that it belongs to.
        children: its kinds of children; a flat command has none.
        flat: a command without children.
        shared: several blocks stand in one file (a flat command with a key).
        clashes: pairs of lists of child keys that must not stand together.
        wanted: child keys whose absence is a warning.
        used_by: a hint is given when no line refers to such a block.
    """

    index: int
    opener: Pattern
    file: str
    section: str
    children: tuple[ChildRow, ...] = ()
    flat: bool = False
    shared: bool = False
    clashes: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    wanted: tuple[str, ...] = ()
    used_by: bool = False

    @property
    def scope(self) -> str:
        """The first part of its path: common, servers or cluster."""
        return self.file.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Matched:
    """A line that matches: its words in normal spelling, and those that are marked."""

    words: tuple[str, ...]
    marked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first wrong word of a line (its number may be the number of words: the end)."""

    at: int
    expected: str


def compile_pattern(notation: str, profile_types: tuple[str, ...] = ()) -> Pattern:
    """Compile the notation of the module's docstring."""
    elements: list[Element] = []
    parts = iter(notation.split())
    for part in parts:
        if part == "[":
            elements.append(Maybe(tuple(_group(parts))))
        elif part == "{profiles}":
            elements.append(Profiles(profile_types))
        else:
            elements.append(_simple(part))
    literal: list[str] = []
    for element in elements:
        if not isinstance(element, Word):
            break
        literal.append(element.text)
    return Pattern(notation, tuple(elements), tuple(literal))


def _group(parts: Iterator[str]) -> Iterator[Word | Choice | Value]:
    for part in parts:
        if part == "]":
            return
        yield _simple(part)


def _simple(part: str) -> Word | Choice | Value:
    if part.startswith("<"):
        kind, _, target = part[1:].partition(">")
        marked = kind.endswith("*")
        opener = tuple(target.split(":")) if target else ()
        return Value(KINDS[kind.rstrip("*")], marked, opener)
    if "|" in part:
        return Choice(tuple(part.split("|")))
    return Word(part)


def values_of(elements: Sequence[Element]) -> Iterator[Value]:
    """Every value of a pattern, those of optional groups included."""
    for element in elements:
        if isinstance(element, Value):
            yield element
        elif isinstance(element, Maybe):
            yield from values_of(element.elements)


def match_line(pattern: Pattern, words: tuple[str, ...]) -> Matched | Mismatch:
    """Match the words of a line whose literal words are known to match."""
    at = len(pattern.literal)
    taken = list(words[:at])
    marked: list[str] = []
    passed: list[str] = []
    for element in pattern.elements[at:]:
        found = _take(element, words, at)
        if isinstance(found, Mismatch):
            return _with_passed(found, at, passed)
        if isinstance(element, Maybe) and not found.words:
            passed.append(element.first)
            continue
        passed = []
        taken += found.words
        marked += found.marked
        at += len(found.words)
    if at < len(words):
        return _with_passed(Mismatch(at, "the end of the line"), at, passed)
    return Matched(tuple(taken), tuple(marked))


def _with_passed(mismatch: Mismatch, at: int, passed: list[str]) -> Mismatch:
    if mismatch.at != at or not passed:
        return mismatch
    return Mismatch(at, f"{', '.join(passed)} or {mismatch.expected}")


def _take(element: Element, words: tuple[str, ...], at: int) -> Matched | Mismatch:
    match element:
        case Maybe(elements):
            if at >= len(words) or words[at] != element.first:
                return Matched((), ())
            return _take_all(elements, words, at)
        case Profiles(types):
            return _take_profiles(types, words, at)
        case Word(text):
            fits, expected = at < len(words) and words[at] == text, text
        case Choice(choices):
            fits, expected = at < len(words) and words[at] in choices, " or ".join(choices)
        case Value():
            return _take_value(element, words, at)
    return Matched((words[at],), ()) if fits else Mismatch(at, expected)


def _take_value(value: Value, words: tuple[str, ...], at: int) -> Matched | Mismatch:
    spelled = value.kind.read(words[at]) if at < len(words) else None
    if spelled is None:
        return Mismatch(at, value.kind.expected)
    return Matched((spelled,), (spelled,) if value.marked else ())


def _take_all(elements: Sequence[Element], words: tuple[str, ...], at: int) -> Matched | Mismatch:
    taken: list[str] = []
    for element in elements:
        found = _take(element, words, at + len(taken))
        if isinstance(found, Mismatch):
            return found
        taken += found.words
    return Matched(tuple(taken), ())


def _take_profiles(types: tuple[str, ...], words: tuple[str, ...], at: int) -> Matched | Mismatch:
    pairs: dict[str, str] = {}
    while at < len(words) and words[at] in types:
        kind = words[at]
        if kind in pairs:
            return Mismatch(at, f"each profile type at most once ({kind} was given)")
        name = KINDS["name"].read(words[at + 1]) if at + 1 < len(words) else None
        if name is None:
            return Mismatch(at + 1, KINDS["name"].expected)
        pairs[kind] = name
        at += 2
    if at >= len(words) or words[at] != "policy":
        return Mismatch(at, f"policy or a profile type ({', '.join(types)})")
    ordered = [word for kind in types if kind in pairs for word in (kind, pairs[kind])]
    return Matched(tuple(ordered), tuple(ordered))
