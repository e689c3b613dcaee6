"""Where an HTTP/1.1 request ends, so that a worker is only given a whole one.

Nothing is interpreted here but the length (RFC 9112, section 6): the rest is the web
server's. What cannot have one clear length is rejected.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_LIMIT = 32 * 1024
BODY_LIMIT = 20 * 1024 * 1024
_CHUNK_LINE_LIMIT = 1024
_CHUNKED = -1
_DECIMAL = re.compile(rb"[0-9]{1,15}\Z")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The request is not complete. `invite`: the client waits for *100 Continue*."""

    invite: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """The first `length` bytes are a request.

    `last`: the body was too large and is left out; answer it (413) and close.
    """

    length: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Not a request that this server takes: answer with this status and sentence, and close."""

    status: str
    sentence: str


class Framing:
    """Follows the bytes of one request as they come in; remembers how far it looked."""

    def __init__(self) -> None:
        self._head_end = -1
        self._chunked = False
        self._body_length = 0
        self._invite = False
        self._at = 0

    @property
    def in_body(self) -> bool:
        """Whether the head is complete."""
        return self._head_end >= 0

    def look(self, data: bytearray) -> NeedMore | Whole | Reject:
        """Judge all bytes that have come in since the request began."""
        if not self.in_body:
            outcome = self._head(data)
            if outcome is not None:
                return outcome
        if self._chunked:
            return self._chunks(data)
        if self._body_length > BODY_LIMIT:
            return Whole(self._head_end, last=True)
        if len(data) >= self._head_end + self._body_length:
            return Whole(self._head_end + self._body_length)
        return self._more()

    def _more(self) -> NeedMore:
        invite, self._invite = self._invite, False
        return NeedMore(invite)

    def _head(self, data: bytearray) -> NeedMore | Reject | None:
        end = data.find(b"\r\n\r\n", max(0, self._at - 3))
        self._at = len(data)
        if end < 0 and len(data) <= HEAD_LIMIT:
            # A head with bare line feeds never ends here; it is told at once what is wrong.
            return _BARE_LINE_FEED if b"\n\n" in data else NeedMore()
        if end < 0 or end > HEAD_LIMIT:
            return Reject("431 Request Header Fields Too Large", "The request's head is too large.")
        fields = _fields(bytes(data[:end]))
        if fields is None:
            return Reject("400 Bad Request", "The request's head cannot be read.")
        length = _body_length(fields)
        if length is None:
            return Reject("400 Bad Request", "The request's length is not clear.")
        self._chunked = length == _CHUNKED
        self._body_length = length
        self._invite = any(v.lower() == b"100-continue" for v in fields.get(b"expect", []))
        self._head_end = self._at = end + 4
        return None

    def _chunks(self, data: bytearray) -> NeedMore | Whole | Reject:
        """Walk from chunk to chunk; `_at` is the start of the next chunk's line."""
        while True:
            if self._at > BODY_LIMIT:
                return Reject("413 Content Too Large", "The request is larger than 20 MiB.")
            line_end = data.find(b"\r\n", self._at, self._at + _CHUNK_LINE_LIMIT)
            if line_end < 0:
                if len(data) - self._at >= _CHUNK_LINE_LIMIT:
                    return Reject("400 Bad Request", "A chunk of the request cannot be read.")
                return self._more()
            size = bytes(data[self._at : line_end]).split(b";", 1)[0].strip()
            if not _HEX.match(size):
                return Reject("400 Bad Request", "A chunk of the request cannot be read.")
            if int(size, 16) == 0:
                return self._trailer(data, line_end)
            self._at = line_end + 2 + int(size, 16) + 2

    def _trailer(self, data: bytearray, line_end: int) -> NeedMore | Whole | Reject:
        end = data.find(b"\r\n\r\n", line_end)
        if end >= 0:
            return Whole(end + 4)
        if len(data) - line_end > HEAD_LIMIT:
            return Reject("431 Request Header Fields Too Large", "The trailer is too large.")
        return self._more()


def _body_length(fields: dict[bytes, list[bytes]]) -> int | None:
    """The length of the body, `_CHUNKED`, or None where it is not clear."""
    lengths = set(fields.get(b"content-length", []))
    coding = b",".join(fields.get(b"transfer-encoding", [])).lower()
    if coding:
        return _CHUNKED if coding == b"chunked" and not lengths else None
    if not lengths:
        return 0
    length = lengths.pop()
    return int(length) if not lengths and _DECIMAL.match(length) else None


_BARE_LINE_FEED = Reject("400 Bad Request", "Lines of a request end with CR LF.")


def _fields(head: bytes) -> dict[bytes, list[bytes]] | None:
    """Header fields by lower-case name; None if a line is not a field."""
    fields: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            return None
        fields.setdefault(name.lower(), []).append(value.strip())
    return fields
