"""Secrets of a document: where they stand, sealing and opening them there.

A secret stands where the schema has a value of that kind, and in undefined lines after a
word such as `password`. What seals and opens is handed in, together with the place (path
and key as in every report). Clear passwords of users are hashed first, so that the clear
word is never kept. Messages never quote a secret.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from configrepo.errors import UnknownKey, UnreadableConfig
from configrepo.grammar import BlockRow
from configrepo.layout import file_text, parse_block_file, path_of, server_of
from configrepo.model import Block, Child, Document, Files, Problem, Severity
from configrepo.remembered import Remembered
from configrepo.schema import COMMON_UNDEFINED_FILE, SECRET_WORDS
from configrepo.words import columns, join

SEALED_PREFIX = "sealed:1:"
HASH_PREFIX = "$argon2"

_SECRET_WORD = re.compile("|".join(map(re.escape, sorted(SECRET_WORDS))), re.IGNORECASE)


class Sealer(Protocol):
    """What seals a word for its place and opens it again (a keyring)."""

    def seal(self, path: str, key: str, clear: str) -> str:
        """The token of a clear word."""
        ...

    def open(self, path: str, key: str, token: str) -> str:
        """The clear word of a token. Raises UnknownKey."""
        ...


def seal_document(
    document: Document, server: str, sealer: Sealer, hash_password: Callable[[str], str]
) -> Document:
    """The document with every secret sealed by the current key.

    Args:
        document: clear words and tokens, as a person wrote or pasted them.
        server: whose folder the server-specific paths name.
        sealer: the keyring.
        hash_password: turns the clear password of a user into its hash.

    Raises:
        UnreadableConfig: with every token that no key opens, at its place.
    """
    return _changed(document, server, _sealing(sealer, hash_password))


def _sealing(sealer: Sealer, hash_password: Callable[[str], str]) -> Change:
    def change(place: Secret, word: str) -> str:
        clear = _clear(place, word, sealer)
        if place.is_password and not clear.startswith(HASH_PREFIX):
            clear = hash_password(clear)
        return sealer.seal(place.path, place.key, clear)

    return change


def open_document(document: Document, server: str, sealer: Sealer) -> Document:
    """The document with every token opened (for the file that a server applies).

    Raises:
        UnreadableConfig: with every token that no key opens, at its place.
    """
    return _changed(document, server, lambda place, word: _clear(place, word, sealer))


def reseal_files(files: Files, sealer: Sealer) -> dict[str, str]:
    """The files with every token sealed by the current key; other files are left as they are.

    Raises:
        UnreadableConfig: with the tokens of a file that no key opens.
    """

    def change(place: Secret, word: str) -> str:
        if not word.startswith(SEALED_PREFIX):
            return word
        return sealer.seal(place.path, place.key, _clear(place, word, sealer))

    return {
        path: _rewritten(path, text, change) if _holds_tokens(path, text) else text
        for path, text in files.items()
    }


def _holds_tokens(path: str, text: str) -> bool:
    # What waits in cluster/conflicts/ keeps its tokens; it is sealed anew where it is applied.
    return SEALED_PREFIX in text and not path.startswith("cluster/")


def seal_files(files: Files, sealer: Sealer, hash_password: Callable[[str], str]) -> dict[str, str]:
    """The files with every secret sealed by the current key, also those still in clear.

    Raises:
        UnreadableConfig: with the tokens of a file that no key opens.
    """
    change = _sealing(sealer, hash_password)
    return {
        path: _rewritten(path, text, change) if _may_hold_secrets(path, text) else text
        for path, text in files.items()
    }


_SECRETIVE: Remembered[str, bool] = Remembered(8 * 1024 * 1024)
"""Whether a text has a word that a secret may stand behind; weighed by characters."""


def _may_hold_secrets(path: str, text: str) -> bool:
    # Every secret stands behind one of these words, in known and in undefined lines.
    if not path.startswith(("common/", "servers/")):
        return False
    known = _SECRETIVE.get(text)
    if known is None:
        return _SECRETIVE.keep(text, _SECRET_WORD.search(text) is not None, len(text) + 100)
    return known


def _rewritten(path: str, text: str, change: Change) -> str:
    if path.endswith("/comments.conf"):
        return text
    blocks = parse_block_file(path, text)
    work = _Work(server_of(path) or "", change, common=path == COMMON_UNDEFINED_FILE)
    changed = [work.block(block) for block in blocks]
    work.finish()
    return file_text(changed)


# --- places -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret stands; `is_password` is the password of a user."""

    path: str
    key: str
    is_password: bool = False


Change = Callable[[Secret, str], str]


def _may_hide(block: Block) -> bool:
    """Whether any line of a block may hold a secret: most blocks are let through by this."""
    row = block.row
    return row is None or _secretive(row) or any([child.row is None for child in block.children])


@cache
def _secretive(row: BlockRow) -> bool:
    return any(child.pattern.secret for child in row.children)


def secret_positions(side: Block | Child) -> tuple[int, ...]:
    """The numbers of the words of a line that are secrets."""
    if side.row is None:
        words = enumerate(side.words)
        return tuple(at for at, word in words if _hides(side.words[at - 1 : at], word))
    # In every row with a secret it is the last word; a test of the schema holds this.
    if isinstance(side, Child) and side.row.pattern.secret:
        return (len(side.words) - 1,)
    return ()


def _hides(before: tuple[str, ...], word: str) -> bool:
    """Whether a word of an undefined line is a secret, sealed or in clear."""
    return word.startswith(SEALED_PREFIX) or any(b.lower() in SECRET_WORDS for b in before)


def _bound_to(path: str, block: Block | None) -> str:
    """The place of a secret without what may change: the id of the server, common or not."""
    if block is None or block.row is None:
        return "undefined"
    server = server_of(path)
    return path if server is None else path.replace(f"servers/{server}/", "servers/", 1)


def _clear(place: Secret, word: str, sealer: Sealer) -> str:
    if not word.startswith(SEALED_PREFIX):
        return word
    return sealer.open(place.path, place.key, word)


class _Work:
    """Changes the secrets of blocks and gathers what cannot be opened."""

    def __init__(self, server: str, change: Change, *, common: bool = False) -> None:
        self._server = server
        self._change = change
        self._common = common
        self.problems: list[Problem] = []

    def finish(self) -> None:
        """Raise UnreadableConfig if a token could not be opened."""
        if self.problems:
            raise UnreadableConfig(tuple(self.problems))

    def block(self, block: Block) -> Block:
        """The block with its secrets changed."""
        if not _may_hide(block):
            return block
        path = path_of(block, self._server, self._common)
        words = self._words(block, path)
        children = tuple(self._child(child, path, block) for child in block.children)
        if words == block.words and children == block.children:
            return block
        return replace(block, words=words, text=join(words), children=children)

    def _child(self, child: Child, path: str, block: Block) -> Child:
        words = self._words(child, path, block)
        if words == child.words:
            return child
        text = join(words)
        key = text if child.row is None else child.key
        return replace(child, words=words, text=text, key=key)

    def _words(self, side: Block | Child, path: str, block: Block | None = None) -> tuple[str, ...]:
        positions = secret_positions(side)
        if not positions:
            return side.words
        words = list(side.words)
        for at in positions:
            words[at] = self._word(side, path, block, at)
        return tuple(words)

    def _word(self, side: Block | Child, path: str, block: Block | None, at: int) -> str:
        user = block is not None and side.row is not None and block.words[0] == "user"
        place = Secret(_bound_to(path, block), _key_without_secrets(side), is_password=user)
        try:
            return self._change(place, side.words[at])
        except UnknownKey as error:
            message = f"{error}; write the secret again in clear"
            places = columns(side.source)
            column = places[at] + 1 if at < len(places) else 0
            self.problems.append(
                Problem(Severity.ERROR, side.line, column, message, path, place.key)
            )
            return side.words[at]


def _key_without_secrets(side: Block | Child) -> str:
    """The key that a secret is bound to: it must not hold the secret itself."""
    if isinstance(side, Child) and side.row is not None:
        return side.key
    hidden = set(secret_positions(side))
    return join([word for at, word in enumerate(side.words) if at not in hidden])


def _changed(document: Document, server: str, change: Change) -> Document:
    work = _Work(server, change)
    blocks = tuple([work.block(block) for block in document.blocks])
    work.finish()
    # A secret is never part of a name: every block stays in its place.
    return replace(document, blocks=blocks)


def secrets_of(files: Files) -> Iterator[tuple[str, str]]:
    """Path and key of every secret in these files, for the list after a removal."""
    for path, text in files.items():
        if not path.startswith(("common/", "servers/")) or path.endswith("/comments.conf"):
            continue
        for block in parse_block_file(path, text):
            sides: tuple[Block | Child, ...] = (block, *block.children)
            for side in sides:
                if secret_positions(side):
                    yield path, _key_without_secrets(side)
