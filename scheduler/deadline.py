"""A socket whose every operation ends at one deadline, however slowly the other side drips.

A socket's own timeout starts anew with each byte; a request needs a limit on its whole.

Edge: sockets.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class DeadlineSocket:
    """Wraps a connected socket; offers what `http.client` and `http.server` use of one."""

    def __init__(self, connection: socket.socket, budget_s: float) -> None:
        self.connection = connection
        self._until = time.monotonic() + budget_s

    def renew(self, budget_s: float) -> None:
        """Give the next operations a new budget together."""
        self._until = time.monotonic() + budget_s

    def arm(self) -> None:
        """Limit the next operation of the socket to what is left.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self.connection.settimeout(left)

    def sendall(self, data: Any) -> None:
        """Send all, or fail at the deadline."""
        self.arm()
        self.connection.sendall(data)

    def makefile(self, mode: str = "rb", *_: object) -> io.BufferedReader:
        """A buffered reader that obeys the deadline, also one renewed later."""
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Close once the readers are closed too, as a socket does."""
        self.connection.close()


class _Reader(io.RawIOBase):
    def __init__(self, owner: DeadlineSocket) -> None:
        super().__init__()
        self._owner = owner
        # The socket's own file object counts as a user of it: closing waits for it.
        self._file = owner.connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._owner.arm()
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class Writer(io.BufferedIOBase):
    """The writing side as a file object."""

    def __init__(self, owner: DeadlineSocket) -> None:
        super().__init__()
        self._owner = owner

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Send all of it."""
        self._owner.sendall(data)
        return len(data)
