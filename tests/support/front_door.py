"""A listener that hands each connection over as the control port does, in this process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from scheduler import tls


class FrontDoor:
    """Accepts, peeks the server name, and passes the connection on with its bytes unread."""

    def __init__(self, deliver: Callable[[socket.socket, str, str], None]) -> None:
        self._deliver = deliver
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, address = self._listener.accept()
                try:
                    name = tls.peek_server_name(connection)
                except (tls.NotOurHello, OSError):
                    connection.close()
                    continue
                self._deliver(connection, address[0], name)

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
