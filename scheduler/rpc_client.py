"""Requests between servers, the asking side.

`RpcClient.call` asks a member, whose certificate must be the pinned one *before* anything
is sent; connections are kept and reused. `call_join` asks a server that is not known yet
and tells the fingerprint of whoever answered.

Every failure is one of three: `Unreachable` (with the cause as a word), `WrongIdentity`
(a hard stop), or `RemoteRefused` / `JoinRefused` (it answered, and said no).

Edge: sockets.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

from configrepo.model import ServerId
from scheduler import causes, tls
from scheduler.deadline import DeadlineSocket
from scheduler.errors import JoinRefused, RemoteRefused, UnknownRoute, Unreachable, WrongIdentity
from scheduler.foreign_json import foreign_json
from scheduler.identity import Identity

_CONNECT_S = 5.0
_KEPT_S = 10.0
_KEPT_PER_SERVER = 4
_ANSWER_BYTES = 32 << 20
_JOIN_ANSWER_BYTES = 256 << 10


class Callee(Protocol):
    """What is needed of a member in order to call it (`configrepo.members.Member` has it)."""

    @property
    def id(self) -> ServerId:
        """Its id."""
        ...

    @property
    def address(self) -> str:
        """Where it is."""
        ...

    @property
    def control_port(self) -> int:
        """The port that it listens on."""
        ...

    @property
    def certificate(self) -> str:
        """Its pinned certificate, base64 of DER."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    id: ServerId
    address: str
    port: int
    certificate: str

    def __str__(self) -> str:
        return f"BQN {self.id} ({self.address}:{self.port})"


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket that is already connected, secured and checked."""

    def __init__(self, stream: DeadlineSocket, place: str) -> None:
        super().__init__("bqn")
        self.sock = stream
        self.stream = stream
        self.place = place
        self.idle_since = 0.0
        self.auto_open = 0

    def ask(self, route: str, payload: dict[str, Any], limit: int) -> dict[str, Any]:
        body = json.dumps(payload).encode()
        try:
            self.request("POST", route, body, {"Content-Type": "application/json"})
        except OSError:
            # In TLS 1.3 the server's refusal of our certificate comes after the handshake:
            # the alert that says why may wait to be read while writing already fails.
            self.stream.connection.recv(1)
            raise
        answer = self.getresponse()
        data = answer.read(limit + 1)
        if len(data) > limit:
            raise RemoteRefused(f"{self.place} answered with more than {limit >> 20} MiB")
        return _value(self.place, answer.status, data)


class RpcClient:
    """Asks members; one for the whole process. Safe to use from many threads."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lock = threading.Lock()
        self._kept: dict[_Place, list[_Connection]] = {}

    def call(
        self, member: Callee, route: str, payload: dict[str, Any], timeout_s: float = 10.0
    ) -> dict[str, Any]:
        """Ask a member and return its answer, all within `timeout_s`.

        Raises:
            Unreachable, WrongIdentity, RemoteRefused, JoinRefused.
        """
        place = _Place(member.id, member.address, member.control_port, member.certificate)
        until = time.monotonic() + timeout_s
        kept = self._take(place)
        if kept is not None:
            try:
                return self._ask(kept, place, route, payload, until)
            except _Gone:
                # The server closed it while it was idle; nothing was answered. Requests
                # that change something carry an id, so asking again is safe.
                pass
        fresh = self._connect(place, until)
        try:
            return self._ask(fresh, place, route, payload, until)
        except _Gone as error:
            raise Unreachable(
                f"{place} closed the connection: {causes.said(error.cause)}", error.cause
            ) from error

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            kept, self._kept = self._kept, {}
        for connections in kept.values():
            for connection in connections:
                connection.close()

    def _connect(self, place: _Place, until: float) -> _Connection:
        context = tls.client_context(self._identity.control_pem, [place.certificate])
        stream = _secure(
            str(place), place.address, place.port, context, tls.SNI_RPC, until - time.monotonic()
        )
        assert isinstance(stream.connection, ssl.SSLSocket)
        if tls.shown_digest(stream.connection) != tls.digest_b64(place.certificate):
            stream.close()
            raise WrongIdentity(f"{place} shows a certificate that is not the pinned one")
        return _Connection(stream, str(place))

    def _ask(
        self,
        connection: _Connection,
        place: _Place,
        route: str,
        payload: dict[str, Any],
        until: float,
    ) -> dict[str, Any]:
        connection.stream.renew(until - time.monotonic())
        keep = False
        try:
            value = connection.ask(route, payload, _ANSWER_BYTES)
            keep = True
        except (RemoteRefused, JoinRefused):
            keep = connection.sock is not None
            raise
        except TimeoutError as error:
            raise Unreachable(f"{place} did not answer in time", causes.NO_ANSWER) from error
        except (OSError, http.client.HTTPException) as error:
            cause = causes.cause_of(error)
            told = cause == causes.NOT_A_MEMBER
            raise _Gone(cause if told else causes.NO_ANSWER) from error
        finally:
            self._keep(place, connection) if keep else connection.close()
        return value

    def _take(self, place: _Place) -> _Connection | None:
        oldest = time.monotonic() - _KEPT_S
        with self._lock:
            kept = self._kept.get(place, [])
            while kept:
                connection = kept.pop()
                if connection.idle_since > oldest:
                    return connection
                connection.close()
        return None

    def _keep(self, place: _Place, connection: _Connection) -> None:
        if connection.sock is None:  # the server asked to close it
            return
        connection.idle_since = time.monotonic()
        with self._lock:
            kept = self._kept.setdefault(place, [])
            if len(kept) < _KEPT_PER_SERVER:
                kept.append(connection)
                return
        connection.close()


class _Gone(Exception):
    """The connection ended before an answer came."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def call_join(
    address: str,
    port: int,
    expected_fingerprint: str | None,
    route: str,
    payload: dict[str, Any],
    timeout_s: float = 10.0,
) -> tuple[dict[str, Any], str]:
    """Ask a server that is no member yet.

    Args:
        address: where it is.
        port: its control port.
        expected_fingerprint: SHA-256 of its certificate in hexadecimal; None to learn it.
        route: the path, such as "/probe".
        payload: the request.
        timeout_s: for all of it.

    Returns:
        The answer, and the fingerprint of whoever gave it.

    Raises:
        Unreachable, WrongIdentity, RemoteRefused, JoinRefused.
    """
    place = f"{address}:{port}"
    context = tls.join_client_context()
    stream = _secure(place, address, port, context, tls.SNI_JOIN, timeout_s)
    connection = _Connection(stream, place)
    try:
        assert isinstance(stream.connection, ssl.SSLSocket)
        shown = tls.shown_digest(stream.connection)
        if expected_fingerprint is not None and shown != expected_fingerprint:
            raise WrongIdentity(
                f"{place} has the fingerprint {shown[:16]}…, not {expected_fingerprint[:16]}…"
            )
        return connection.ask(route, payload, _JOIN_ANSWER_BYTES), shown
    except (OSError, http.client.HTTPException) as error:
        cause = causes.NO_ANSWER if isinstance(error, TimeoutError) else causes.NOT_OUR_PROGRAM
        raise Unreachable(f"{place}: {causes.said(cause)}", cause) from error
    finally:
        connection.close()


def _secure(
    place: str, address: str, port: int, context: ssl.SSLContext, sni: str, left_s: float
) -> DeadlineSocket:
    """Connect and shake hands."""
    try:
        connection = socket.create_connection((address, port), max(0.01, min(_CONNECT_S, left_s)))
    except (OSError, UnicodeError) as error:
        cause = causes.cause_of(error)
        raise Unreachable(f"{place} cannot be reached: {causes.said(cause)}", cause) from error
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = context.wrap_socket(connection, server_hostname=sni)
    except OSError as error:
        connection.close()
        cause = causes.NO_ANSWER if isinstance(error, TimeoutError) else causes.cause_of(error)
        if cause == causes.WRONG_IDENTITY:
            raise WrongIdentity(
                f"{place} shows a certificate that is not the pinned one"
            ) from error
        raise Unreachable(f"{place}: {causes.said(cause)}", cause) from error
    return DeadlineSocket(secured, left_s)


def _value(place: str, status: int, data: bytes) -> dict[str, Any]:
    """The answer, or the typed error that it says."""
    value: object = None
    with contextlib.suppress(ValueError, RecursionError):
        value = foreign_json(data)
    if not isinstance(value, dict):
        raise RemoteRefused(f"{place} gave an answer that is not understood: another release?")
    if status == http.client.OK:
        return value
    sentence = str(value.get("sentence", "no reason given"))[:1000]
    if value.get("error") == "join-refused":
        raise JoinRefused(sentence)
    if value.get("error") == "unknown":
        raise UnknownRoute(sentence)
    raise RemoteRefused(sentence)
