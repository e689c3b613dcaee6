"""The texts of many servers that share the common part: read, ordered and written once.

For each server only its own files are read, and put in their places between the common
blocks. What comes out is, to the letter, `canonical_text(document_of(files, server))`.

Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from configrepo.layout import document_of
from configrepo.model import Document, Files
from configrepo.writer import block_text, canonical_text, ending, heading

_APART = b"!\n"


class CommonPart:
    """What `common/` holds, ready to be completed by the own files of any server.

    Args:
        files: the files below `common/`, sealed as the texts shall be.

    Raises:
        UnreadableConfig: if one of them cannot be read.
    """

    def __init__(self, files: Files) -> None:
        self._files = dict(files)
        blocks = document_of(self._files, "").blocks
        self._orders = [block.order for block in blocks]
        self._openers = [block.words[0] for block in blocks]
        self._identities = frozenset(block.identity for block in blocks)
        pieces: list[bytes] = []
        self._starts: list[int] = []  # of each block, and where the last one ends
        self._bare: list[int] = []  # the same, behind what stands between it and the one before
        at = 0
        for n, block in enumerate(blocks):
            apart = _APART if n and self._openers[n] != self._openers[n - 1] else b""
            pieces.append(apart + block_text(block).encode())
            self._starts.append(at)
            self._bare.append(at + len(apart))
            at += len(pieces[-1])
        self._starts.append(at)
        self._text = memoryview(b"".join(pieces))

    def text_with(self, own: Files, server: str) -> Iterator[bytes | memoryview]:
        """The canonical text of a server, piece by piece.

        Args:
            own: its files below `servers/<server>/`, sealed as the common ones.
            server: its id in digits.

        Raises:
            UnreadableConfig: if one of its files cannot be read.
        """
        document = document_of(own, server)
        if self._must_be_read_together(document):
            whole = document_of({**self._files, **own}, server)
            return iter((canonical_text(whole).encode(),))
        return self._put_together(document)

    def _must_be_read_together(self, own: Document) -> bool:
        """Whether comments have no block to stand at, or a block is in both parts."""
        comments_alone = bool(own.header) and not own.blocks
        return comments_alone or any(block.identity in self._identities for block in own.blocks)

    def _put_together(self, own: Document) -> Iterator[bytes | memoryview]:
        yield heading(own).encode()
        before: str | None = None
        done = 0
        for block in own.blocks:
            place = bisect_right(self._orders, block.order, lo=done)
            yield from self._stretch(done, place, before)
            if place > done:
                before = self._openers[place - 1]
            if before is not None and block.words[0] != before:
                yield _APART
            yield block_text(block).encode()
            before, done = block.words[0], place
        yield from self._stretch(done, len(self._orders), before)
        yield ending(own, any_block=bool(self._orders or own.blocks)).encode()

    def _stretch(self, start: int, end: int, before: str | None) -> Iterator[bytes | memoryview]:
        """The common blocks from `start` up to `end`, behind a block that `before` opens."""
        if start < end:
            if before is not None and self._openers[start] != before:
                yield _APART
            yield self._text[self._bare[start] : self._starts[end]]
