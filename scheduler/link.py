"""The link between the program and its control process: JSON lines, with descriptors.

Both ends are one Unix socket pair. A line may carry one open descriptor (SCM_RIGHTS);
its object then has `"fd": true`, and descriptors arrive no later than their line. When
either process ends, however it ends, the other one reads the end of the stream.

Edge: sockets.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any

_READ_BYTES = 1 << 16
_DESCRIPTORS = 16
LINE_BYTES = 4 << 20
_QUEUED_LINES = 500


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


class LinkWriter:
    """Sends lines to the program without ever waiting for it."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._queue: deque[tuple[bytes, socket.socket | None]] = deque()
        self._writing = False

    @property
    def crowded(self) -> bool:
        """Whether the program does not read."""
        return len(self._queue) > _QUEUED_LINES

    def send(self, value: dict[str, Any], connection: socket.socket | None = None) -> None:
        """Queue a line, with a connection that is closed here once it is handed over."""
        if self.crowded:
            if connection is not None:
                connection.close()
            return
        self._queue.append((encode(value), connection))
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            data, connection = self._queue[0]
            try:
                descriptors = [] if connection is None else [connection.fileno()]
                sent = socket.send_fds(self._link, [data], descriptors)
            except BlockingIOError:
                if not self._writing:
                    loop.add_writer(self._link, self._flush)
                    self._writing = True
                return
            except OSError:
                return  # the reading side of the link ends the process
            if connection is not None:
                connection.close()
            self._queue.popleft()
            if sent < len(data):
                self._queue.appendleft((data[sent:], None))
        if self._writing:
            loop.remove_writer(self._link)
            self._writing = False
