"""The link between the program and its control process: JSON lines, with descriptors.

Both ends are one Unix socket pair. A line may carry one open descriptor (SCM_RIGHTS);
its object then has `"fd": true`, and descriptors arrive no later than their line. When
either process ends, however it ends, the other one reads the end of the stream.

Edge: sockets.
"""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any

_READ_BYTES = 1 << 16
_DESCRIPTORS = 16
LINE_BYTES = 4 << 20


class LinkBroken(Exception):
    """The other process ended, or sent what is not a line of this link."""


@dataclass(frozen=True, slots=True)
class Received:
    """One object, and the descriptor that came with it."""

    value: dict[str, Any]
    descriptor: int | None


def encode(value: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


class LineReader:
    """Cuts what arrives into lines and gives each its descriptor."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()

    def read(self, link: socket.socket) -> list[Received]:
        """Read once, and return the lines that are complete now.

        Raises:
            LinkBroken: the other side has gone, or sent nonsense.
            BlockingIOError, TimeoutError: nothing to read yet.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(link, _READ_BYTES, _DESCRIPTORS)
        except ConnectionError as error:
            raise LinkBroken(str(error)) from error
        self._descriptors.extend(descriptors)
        if not data:
            raise LinkBroken("the other process ended")
        self._bytes += data
        if len(self._bytes) > LINE_BYTES:
            raise LinkBroken("a line is too long")
        *lines, rest = bytes(self._bytes).split(b"\n")
        self._bytes = bytearray(rest)
        return [self._received(line) for line in lines]

    def close(self) -> None:
        """Close descriptors that nobody took."""
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _received(self, line: bytes) -> Received:
        try:
            value = json.loads(line)
            descriptor = self._descriptors.popleft() if value.get("fd") else None
        except (ValueError, AttributeError, IndexError) as error:
            raise LinkBroken(f"not a line of this link: {error}") from error
        return Received(value, descriptor)
