r"""Words of a configuration line: taking a line apart and writing it back.

Words are separated by blanks (space, tab). A word that is empty, holds a blank or a
double quote, or would begin a comment is written in double quotes, where `\"` and `\\`
are the only escapes. `split(join(words)) == words` for every list of words that has no
control characters.

Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_RUN = re.compile(r"[^ \t]+")
_PLAIN = re.compile(r"[^ \t\"!][^ \t\"]*")
_LINE_BREAKS = "\u2028\u2029"


class BadWord(ValueError):
    """A line that cannot be taken apart.

    Attributes:
        column: 0-based position in the line where it goes wrong.
        reason: what was found and what was expected; quotes nothing of the line.
    """

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


def split(line: str) -> tuple[str, ...]:
    """Take a line apart into words. Raises BadWord."""
    if '"' not in line:
        return tuple(_RUN.findall(line))
    return tuple(word for _, word in _scan(line))


def columns(line: str) -> tuple[int, ...]:
    """The 0-based columns at which the words of a readable line begin."""
    if '"' not in line:
        return tuple(found.start() for found in _RUN.finditer(line))
    return tuple(column for column, _ in _scan(line))


def join(words: Sequence[str]) -> str:
    """Write words as one canonical line."""
    return " ".join([word if _PLAIN.fullmatch(word) else quote(word) for word in words])


def quote(word: str) -> str:
    """One word in double quotes."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def control_character(line: str) -> int | None:
    """The 0-based column of the first character that no line may hold, or None."""
    if line.isascii() and line.isprintable():
        return None
    for column, character in enumerate(line):
        if _forbidden(character):
            return column
    return None


def _forbidden(character: str) -> bool:
    if character == "\t":
        return False
    return character in _LINE_BREAKS or unicodedata.category(character) in ("Cc", "Cs")


def _scan(line: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(line):
        if line[at] in " \t":
            at += 1
        elif line[at] == '"':
            word, end = _quoted(line, at)
            found.append((at, word))
            at = end
        else:
            end = _bare_end(line, at)
            found.append((at, line[at:end]))
            at = end
    return found


def _bare_end(line: str, start: int) -> int:
    end = start
    while end < len(line) and line[end] not in " \t":
        if line[end] == '"':
            raise BadWord(
                end,
                "found a double quote inside a word, expected a blank before it; "
                'write a word that holds a double quote in double quotes, as \\"',
            )
        end += 1
    return end


def _quoted(line: str, start: int) -> tuple[str, int]:
    parts: list[str] = []
    at = start + 1
    while at < len(line):
        character = line[at]
        if character == '"':
            if at + 1 < len(line) and line[at + 1] not in " \t":
                raise BadWord(at + 1, "found text after a closing quote, expected a blank")
            return "".join(parts), at + 1
        if character == "\\":
            at += 1
            if line[at : at + 1] not in ("\\", '"'):
                raise BadWord(at - 1, 'found a lone backslash in quotes, expected \\" or \\\\')
            character = line[at]
        parts.append(character)
        at += 1
    raise BadWord(start, "found an opening quote without its end, expected a closing quote")
