"""The socket below an SSH connection: wakes its reader only when something comes.

paramiko polls its socket ten times a second and reads each packet in two calls. With a
connection to every server of a large cluster that alone keeps a processor busy. This
socket reads ahead, and lets its reader sleep until bytes come, the connection ends, or it
is time to look for a keepalive. `hang_up` ends whatever waits on it, from any thread, also
a connect that is under way.

Edge: sockets.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

_WAKE_S: Final = 5.0
_AHEAD: Final = 65_536
_UNACKED_MS: Final = 10_000


class SshSocket(socket.socket):
    """A stream socket as paramiko needs it; one thread reads, many may write."""

    def __init__(self, family: int = socket.AF_INET, fileno: int | None = None) -> None:
        super().__init__(family, socket.SOCK_STREAM, fileno=fileno)
        self._ahead = b""
        self.rest()

    def rest(self) -> None:
        """Block from now on, and wake up now and then."""
        super().settimeout(_WAKE_S)

    def settimeout(self, value: float | None, /) -> None:
        """The reader's wish is not followed: it is woken every `_WAKE_S` at the latest."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """At most `size` bytes: first what was read ahead."""
        if not self._ahead:
            self._ahead = super().recv(_AHEAD, flags)
        piece, self._ahead = self._ahead[:size], self._ahead[size:]
        return piece

    def hang_up(self) -> None:
        """End the connection, or the attempt, for everybody who waits on it."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Wake who waits on it, and close."""
        self.hang_up()
        super().close()


def dial(address: str, port: int, end: float, hold: Callable[[SshSocket], None]) -> SshSocket:
    """Connect to the first address that answers.

    Args:
        address: an IP address or a name.
        port: the TCP port.
        end: until when, on the monotonic clock.
        hold: given each socket as soon as it can be hung up; may raise to break off.

    Raises:
        OSError: nothing answered.
    """
    error: OSError = TimeoutError(f"{address} did not answer in time")
    for family, _, _, _, place in socket.getaddrinfo(address, port, type=socket.SOCK_STREAM):
        sock = SshSocket(family)
        try:
            _connect(sock, place, end, hold)
        except OSError as failure:
            sock.close()
            error = failure
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


def _connect(sock: SshSocket, place: Any, end: float, hold: Callable[[SshSocket], None]) -> None:
    # Begun before it is held: only a connect that is under way can be hung up.
    sock.setblocking(False)
    _raise(sock.connect_ex(place))
    sock.rest()
    hold(sock)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(max(end - monotonic(), 0.0) * 1000):
        raise TimeoutError("nothing answered in time")
    _raise(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKED_MS)


def _raise(number: int) -> None:
    if number not in (0, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))
