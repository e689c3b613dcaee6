"""Requests between servers, the answering side: HTTP/1.1 and JSON over TLS.

The control port hands over connections whose ClientHello names `bqn-rpc` (members, each
known by its pinned certificate) or `bqn-join` (anybody: no client certificate, small
bodies, few at a time, rate limited). Each kind has its own bounded pool of threads, so
strangers cannot starve members; every request has one deadline for all of its bytes.

A handler takes the caller (a server id, or for joining the address) and an object, and
returns an object. What it raises becomes a typed error at the other side: a
`SchedulerError` keeps its sentence, anything else is logged here with its traceback.

Edge: sockets, threads.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from configrepo.errors import ConfigRepoError
from configrepo.model import ServerId
from scheduler import tls
from scheduler.deadline import DeadlineSocket, Writer
from scheduler.errors import JoinRefused, SchedulerError
from scheduler.foreign_json import foreign_json
from scheduler.identity import Identity
from scheduler.token_bucket import TokenBuckets

Handler = Callable[[ServerId, dict[str, Any]], dict[str, Any]]
JoinHandler = Callable[[str, dict[str, Any]], dict[str, Any]]

RPC_BODY_BYTES = 32 << 20
JOIN_BODY_BYTES = 64 << 10
_HANDSHAKE_S = 5.0
_IDLE_S = 15.0
_REQUEST_S = 30.0
_ANSWER_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Lane:
    """What one kind of connection may ask, and how much."""

    routes: Mapping[str, Callable[[Any, dict[str, Any]], dict[str, Any]]]
    body_bytes: int
    members: bool


class _Pool:
    """Threads with a bounded queue before them: beyond it connections are closed at once."""

    def __init__(self, name: str, workers: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._room = threading.BoundedSemaphore(workers + waiting)
        self._workers = workers
        self._lock = threading.Lock()
        self._held = 0

    @property
    def crowded(self) -> bool:
        """Whether connections wait for a thread."""
        return self._held > self._workers

    def submit(self, work: Callable[[], None]) -> bool:
        """Run it in a thread; False if there is no room."""
        if not self._room.acquire(blocking=False):
            return False
        self._count(1)
        try:
            self._threads.submit(self._run, work)
        except RuntimeError:  # stopped meanwhile
            self._done()
            return False
        return True

    def stop(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self._done()

    def _count(self, change: int) -> None:
        with self._lock:
            self._held += change

    def _done(self) -> None:
        self._count(-1)
        self._room.release()


class RpcServer:
    """Answers requests on the connections that it is given.

    Args:
        identity: the keys of this server.
        pins: the certificates (base64 DER) of the members now; asked at each connection.
        routes: what members may ask, by path.
        join_routes: what anybody may ask, by path.
    """

    def __init__(
        self,
        identity: Identity,
        pins: Callable[[], Mapping[ServerId, str]],
        routes: Mapping[str, Handler],
        join_routes: Mapping[str, JoinHandler] | None = None,
        *,
        workers: int = 16,
        join_workers: int = 4,
    ) -> None:
        self._identity = identity
        self._pins = pins
        self._rpc = _Lane(routes, RPC_BODY_BYTES, members=True)
        self._join = _Lane(join_routes or {}, JOIN_BODY_BYTES, members=False)
        self._rpc_pool = _Pool("rpc", workers, waiting=64)
        self._join_pool = _Pool("join", join_workers, waiting=16)
        self._join_context = tls.join_server_context(identity.control_pem)
        self._lock = threading.Lock()
        self._cached: tuple[dict[ServerId, str], ssl.SSLContext] | None = None
        self._buckets = TokenBuckets(rate_per_s=2.0, burst=20)
        self._open: set[socket.socket] = set()
        self._stopped = False

    def accept(self, connection: socket.socket, address: str, sni: str) -> None:
        """Take a connection over and answer its requests; returns at once."""
        pool = self._rpc_pool if sni == tls.SNI_RPC else self._join_pool
        with self._lock:
            stopped = self._stopped
            if not stopped:
                self._open.add(connection)
        if stopped or not pool.submit(lambda: self._serve(connection, address, sni)):
            self._close(connection)

    def stop(self) -> None:
        """Close every connection and wait for the handlers that run."""
        with self._lock:
            self._stopped = True
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._rpc_pool.stop()
        self._join_pool.stop()
        for connection in connections:
            self._close(connection)

    def _replace(self, connection: socket.socket, secured: socket.socket) -> None:
        with self._lock:
            if self._stopped:
                raise ConnectionAbortedError("stopped")
            self._open.discard(connection)
            self._open.add(secured)

    def _close(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _serve(self, connection: socket.socket, address: str, sni: str) -> None:
        held = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_HANDSHAKE_S)
            pins, context = self._members() if sni == tls.SNI_RPC else ({}, self._join_context)
            # Wrapping takes the descriptor over, so from here on `stop` must know the wrapper.
            held = secured = context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            self._replace(connection, secured)
            secured.do_handshake()
            self._converse(secured, address, pins if sni == tls.SNI_RPC else None)
        except (OSError, ValueError) as error:
            # The other side went away, was too slow, or speaks no HTTP: its own problem.
            _log.debug("connection of %s ended: %s", address, error)
        except Exception:  # noqa: BLE001 (the pool would keep it to itself)
            _log.exception("the connection of %s could not be served", address)
        finally:
            self._close(held)

    def _converse(
        self, secured: ssl.SSLSocket, address: str, pins: Mapping[ServerId, str] | None
    ) -> None:
        stream = DeadlineSocket(secured, _IDLE_S)
        if pins is None:
            _Exchange(
                stream,
                address,
                self._join,
                crowded=lambda: self._join_pool.crowded,
                allowed=lambda: self._allow(address),
            )
            return
        shown = base64.b64encode(secured.getpeercert(binary_form=True) or b"").decode("ascii")
        server = next((server for server, pin in pins.items() if pin == shown), None)
        if server is not None:
            _Exchange(
                stream,
                server,
                self._rpc,
                crowded=lambda: self._rpc_pool.crowded,
                # Asked at each request: a removed member may hold a connection open.
                allowed=lambda: self._pins().get(server) == shown,
            )

    def _allow(self, address: str) -> bool:
        with self._lock:
            return self._buckets.take(address, time.monotonic())

    def _members(self) -> tuple[dict[ServerId, str], ssl.SSLContext]:
        """The pins and the context made from them; made anew when a pin changed."""
        pins = dict(self._pins())
        with self._lock:
            if self._cached is None or self._cached[0] != pins:
                context = tls.server_context(self._identity.control_pem, pins.values())
                self._cached = (pins, context)
            return self._cached


class _Exchange(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = "BQN"
    sys_version = ""

    def __init__(
        self,
        stream: DeadlineSocket,
        caller: ServerId | str,
        lane: _Lane,
        crowded: Callable[[], bool],
        allowed: Callable[[], bool],
    ) -> None:
        self._stream = stream
        self._caller = caller
        self._lane = lane
        self._crowded = crowded
        self._allowed = allowed
        super().__init__(stream.connection, (str(caller), 0), None)  # type: ignore[arg-type]

    def setup(self) -> None:
        self.connection = self._stream.connection
        self.rfile = self._stream.makefile()
        self.wfile = Writer(self._stream)

    def finish(self) -> None:
        self.rfile.close()

    def handle_one_request(self) -> None:
        # Waiting for a request is idle time; from its first byte on it has its own budget.
        self._stream.renew(_IDLE_S)
        if not self.rfile.peek(1):  # type: ignore[attr-defined]
            self.close_connection = True
            return
        self._stream.renew(_REQUEST_S)
        super().handle_one_request()

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        try:
            payload = foreign_json(body or b"{}")
        except (ValueError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            self._answer(400, _error("bad-request", "the body is not a JSON object"))
            return
        self._answer(*self._handle(payload))

    def do_GET(self) -> None:
        self._answer(*self._handle({}))

    def log_message(self, format: str, *args: object) -> None:
        _log.debug("%s: %s", self._caller, format % args)

    def _body(self) -> bytes | None:
        """The body, or None after having answered that it cannot be taken."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 12:
            self.close_connection = True
            self._answer(411, _error("bad-request", "the request states no length"))
            return None
        if int(length) > self._lane.body_bytes:
            self.close_connection = True
            limit = self._lane.body_bytes >> 10
            self._answer(413, _error("too-large", f"the request is larger than {limit} KiB"))
            return None
        return self.rfile.read(int(length))

    def _handle(self, payload: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        handler = self._lane.routes.get(self.path)
        if not self._allowed():
            self.close_connection = True
            if self._lane.members:
                return 403, _error("refused", "this server is not a member any more")
            return 429, _error("too-many", "too many requests from this address: wait a minute")
        if handler is None:
            return 404, _error("unknown", f"this server has no {self.path}: another release?")
        try:
            return 200, handler(self._caller, payload)
        except JoinRefused as error:
            return 403, _error("join-refused", str(error))
        except (SchedulerError, ConfigRepoError) as error:
            return 409, _error("refused", str(error))
        except Exception:  # noqa: BLE001 (the bulkhead of the handlers)
            _log.exception("request %s of %s failed", self.path, self._caller)
            return 500, _error("failed", "the server failed to handle this; its log says why")

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        if self._crowded():
            self.close_connection = True
        self._stream.renew(_ANSWER_S)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        self.end_headers()
        self.wfile.write(body)


def _error(kind: str, sentence: str) -> dict[str, Any]:
    return {"error": kind, "sentence": sentence}
