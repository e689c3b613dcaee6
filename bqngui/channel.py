"""One connection of a browser: its TLS, what came in, and what is still to be sent.

A channel belongs to one thread at a time: to the selector (`bqngui.connections`) while
it shakes hands, reads a request, sends the rest of an answer or lingers; to a worker
while the answer is made. Nothing here waits, except a worker whose answer is larger than
the buffer.

Edge: a socket.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import time
from enum import Enum, auto

from bqngui.framing import Framing

_READ_AT_ONCE = 64 * 1024
_READ_IN_A_TURN = 1024 * 1024
_BUFFER = 1024 * 1024
_SEND_AT_ONCE = 256 * 1024


class Stage(Enum):
    """What a connection is doing."""

    GREETING = auto()  # nothing came yet: TLS or plain HTTP?
    HANDSHAKE = auto()
    READING = auto()
    WORKING = auto()  # a worker has it
    DRAINING = auto()  # the answer is made, not all of it is sent
    LINGERING = auto()  # everything is sent; the other side may still be writing


class Want(Enum):
    """What a step waits for."""

    READ = auto()
    WRITE = auto()
    AGAIN = auto()  # more is there already


class Channel:
    """A non-blocking TLS connection. `keep`: another request may follow on it."""

    def __init__(self, sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock: socket.socket = sock
        self.address = address
        self.stage = Stage.GREETING
        self.deadline = 0.0
        self.keep = True
        self.answered = False
        self.framing = Framing()
        self.in_body = False
        self.inbox = bytearray()
        self._outbox = bytearray()

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return self._sock.fileno()

    @property
    def unsent(self) -> int:
        """Bytes of the answer that wait."""
        return len(self._outbox)

    # --- the selector's side ---------------------------------------------------------

    def speaks_tls(self) -> bool | None:
        """Whether the first byte begins a TLS handshake; None if nothing came.

        Raises:
            OSError: the connection is gone.
        """
        try:
            first = self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        if not first:
            raise ConnectionResetError
        return first == b"\x16"

    def read_plain(self) -> bytes:
        """What came in without TLS, for the answer that points to HTTPS."""
        return self._sock.recv(4096)

    def secure(self, context: ssl.SSLContext) -> None:
        """Begin the TLS handshake."""
        self._sock = context.wrap_socket(
            self._sock, server_side=True, do_handshake_on_connect=False
        )
        self.stage = Stage.HANDSHAKE

    def shake_hands(self) -> Want | None:
        """One step of the handshake; None when it is done."""
        assert isinstance(self._sock, ssl.SSLSocket)
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            return Want.READ
        except ssl.SSLWantWriteError:
            return Want.WRITE
        self.stage = Stage.READING
        return None

    def read(self) -> Want | None:
        """Take what came in; None if the other side has closed.

        Raises:
            OSError: the connection is broken.
        """
        taken = 0
        while taken < _READ_IN_A_TURN:
            try:
                data = self._sock.recv(_READ_AT_ONCE)
            except (ssl.SSLWantReadError, BlockingIOError):
                return Want.READ
            except ssl.SSLWantWriteError:
                return Want.WRITE
            if not data:
                return None
            self.inbox += data
            taken += len(data)
        return Want.AGAIN

    def flush(self) -> Want | None:
        """Send what can be sent now; None when nothing is left."""
        while self._outbox:
            try:
                sent = self._sock.send(memoryview(self._outbox)[:_SEND_AT_ONCE].tobytes())
            except (ssl.SSLWantWriteError, BlockingIOError):
                return Want.WRITE
            except ssl.SSLWantReadError:
                return Want.READ
            del self._outbox[:sent]
        return None

    def say_goodbye(self) -> None:
        """Tell the other side that nothing more comes; it may still be writing."""
        self.stage = Stage.LINGERING
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._sock.unwrap()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Release the descriptor."""
        with contextlib.suppress(OSError):
            self._sock.close()

    # --- both sides --------------------------------------------------------------------

    def put(self, data: bytes) -> None:
        """Queue bytes of an answer without sending them."""
        self._outbox += data

    # --- the worker's side -------------------------------------------------------------

    def send(self, data: bytes, stall_s: float) -> None:
        """Queue bytes of an answer; waits only while more than the buffer is unsent.

        Raises:
            ConnectionError: the client is gone, or took nothing for `stall_s`; with an
                `errno`, by which cheroot knows that nobody is there to be told.
        """
        self._outbox += data
        try:
            while self.flush() is not None and len(self._outbox) > _BUFFER:
                self._wait_until_writable(stall_s)
        except ssl.SSLError as error:  # an end without TLS's good-bye, or an alert
            raise ConnectionResetError(errno.ECONNRESET, f"the client is gone: {error}") from error

    def _wait_until_writable(self, stall_s: float) -> None:
        waiting = select.poll()
        waiting.register(self._sock, select.POLLOUT)
        until = time.monotonic() + stall_s
        if not waiting.poll(stall_s * 1000) or time.monotonic() > until:
            words = "the client does not take the answer"
            raise ConnectionAbortedError(errno.ECONNABORTED, words)

    def shutdown(self, _how: int) -> None:
        """Break the connection off, from any thread: a worker that waits on it wakes up."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # not the one that ends TLS
