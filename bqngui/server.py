"""Serves the GUI over HTTPS: cheroot's HTTP and worker threads, own connections.

cheroot shakes hands in the thread that accepts and lets workers wait for slow clients;
here its connection manager is replaced by `bqngui.connections`. cheroot still reads the
request (from memory), calls the application and writes the answer.

Edge: a listening socket (cheroot).
"""

from __future__ import annotations

import errno
import io
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.wsgi import Server

from bqngui.certificate import for_gui, tls_context
from bqngui.channel import Channel
from bqngui.connections import Connections, Limits, plain_answer
from bqngui.framing import HEAD_LIMIT
from bqngui.settings import GuiSettings
from scheduler.errors import PortInUse, SettingsError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

_BACKLOG = 512
_DRAIN_S = 2.0


class RunningGui:
    """The GUI while it is served."""

    def __init__(
        self,
        server: _Server,
        connections: Connections,
        address: tuple[str, int],
        fingerprint: str,
    ) -> None:
        self._server = server
        self._connections = connections
        self._thread = threading.Thread(target=connections.run, name="gui-connections", daemon=True)
        self.address = address
        self.fingerprint = fingerprint
        self._server.open_for_work()
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is served."""
        return self.address[1]

    @property
    def serving(self) -> bool:
        """Whether it was not stopped."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Take no new requests, finish those in work, send their answers, then close."""
        self._connections.stop_accepting()
        self._server.finish_work()
        self._connections.stop(_DRAIN_S)
        self._thread.join()


def start(app: WSGIApplication, settings: GuiSettings, limits: Limits | None = None) -> RunningGui:
    """Serve an application at the address of the settings.

    Raises:
        PortInUse: another program serves that address.
        SettingsError: the address is not one of this machine, or the certificate is unusable.
    """
    certificate = for_gui(settings)
    context = tls_context(certificate)
    listener = _listen(settings.address, settings.port)
    host, port = listener.getsockname()[:2]
    limits = limits or Limits()
    server = _Server((host, port), app, settings.threads, limits)
    connections = Connections(listener, context, server.take, limits)
    server.give_back = connections.give_back
    return RunningGui(server, connections, (str(host), int(port)), certificate.fingerprint)


def _listen(address: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError((f"gui: the address {address} is not understood: {error}",)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"The GUI cannot start: port {port} of {address} is already in use."
                " Stop the other program or set another port of the GUI."
            ) from error
        raise SettingsError(
            (f"gui: port {port} of {address} cannot be served: {error.strerror}",)
        ) from error
    return listener


class _RequestBytes(io.BytesIO):
    """A whole request in memory, as cheroot reads it."""

    @property
    def bytes_read(self) -> int:
        """How far it was read."""
        return self.tell()

    def has_data(self) -> bool:
        """Never: the next request is somewhere else."""
        return False


class _AnswerWriter:
    """Where cheroot writes the answer."""

    def __init__(self, channel: Channel, stall_s: float) -> None:
        self._channel = channel
        self._stall_s = stall_s
        self.bytes_written = 0

    def write(self, data: bytes) -> int:
        """Send, or queue what the client does not take yet."""
        self._channel.send(bytes(data), self._stall_s)
        self.bytes_written += len(data)
        return len(data)


class _Headers(HeaderReader):
    """Header fields that reach the application.

    `Expect` was answered already; a name with `_` could pose as another one.
    """

    def _allow_header(self, key_name: bytes) -> bool:
        return b"_" not in key_name and key_name.lower() != b"expect"


class _Request(HTTPRequest):
    header_reader = _Headers()

    def simple_response(self, status: object, msg: str = "") -> None:
        """An answer that cheroot makes by itself, with the headers of all answers."""
        self.close_connection = True
        self.conn.wfile.write(plain_answer(str(status), str(msg)))


class _Connection(HTTPConnection):
    """cheroot's view of a channel."""

    RequestHandlerClass = _Request

    def __init__(self, server: _Server, channel: Channel, request: bytes, stall_s: float) -> None:
        def file(sock: Channel, mode: str, size: int) -> object:
            return _RequestBytes(request) if mode == "rb" else _AnswerWriter(sock, stall_s)

        super().__init__(server, channel, file)
        self.remote_addr, self.remote_port = channel.address
        self.ssl_env: dict[str, str] = {}

    def close(self) -> None:
        """The answer is made, and no other request follows."""
        self.socket.keep = False
        self.server.give_back(self.socket)


class _Tls:
    """Tells cheroot that requests come over TLS; `bqngui.connections` does it."""


class _Server(Server):
    """cheroot without its connections: a pool of threads that answer whole requests."""

    def __init__(
        self, address: tuple[str, int], app: WSGIApplication, threads: int, limits: Limits
    ) -> None:
        super().__init__(address, app, numthreads=threads, max=threads, server_name="BQN")
        self.max_request_header_size = HEAD_LIMIT + 1024
        self.ssl_adapter = _Tls()
        self.software = "BQN"
        self._limits = limits
        self.give_back: Callable[[Channel], None] = _nowhere

    def open_for_work(self) -> None:
        """Start the threads."""
        self.requests.start()
        self.ready = True

    def finish_work(self) -> None:
        """Let the threads finish what they have, then end them."""
        self.ready = False
        self.requests.stop(self._limits.finish_s)

    def take(self, channel: Channel, request: bytes) -> None:
        """Give a request to the next free thread."""
        self.requests.put(_Connection(self, channel, request, self._limits.stall_s))

    def put_conn(self, conn: _Connection) -> None:
        """A thread has answered, and the connection may be used again."""
        self.give_back(conn.socket)

    @property
    def can_add_keepalive_connection(self) -> bool:
        """Whether connections stay open after an answer."""
        return bool(self.ready)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Write cheroot's messages to the log."""
        log.log(level, "%s", msg, exc_info=traceback)

    def stop(self) -> None:
        """Called by cheroot when a thread is interrupted; `RunningGui.stop` does the rest."""
        self.ready = False


def _nowhere(channel: Channel) -> Any:
    channel.close()
