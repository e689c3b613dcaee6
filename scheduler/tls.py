"""TLS of the control port: TLS 1.3, certificates pinned by their SHA-256, no authorities.

One listening port carries three kinds of connection. The client says which by a symbolic
server name, and the listener reads it from the ClientHello with `MSG_PEEK` *before*
anything is decided, because neither ALPN nor switching the context inside the SNI
callback selects what a client must prove (the latter leaves `verify_mode` as it was).

    bqn-control   mutual TLS between members: heartbeats and the election
    bqn-rpc       mutual TLS between members: requests
    bqn-join      the server proves itself, the client has no certificate yet

Pinned certificates are loaded as the only trust anchors; after the handshake the caller
compares the certificate with the pin of the id that the other side claims. Dates are
not checked: no decision depends on the wall clock.

Edge: sockets.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import time
from collections.abc import Iterable
from pathlib import Path

SNI_CONTROL = "bqn-control"
SNI_RPC = "bqn-rpc"
SNI_JOIN = "bqn-join"
SNI_NAMES = frozenset({SNI_CONTROL, SNI_RPC, SNI_JOIN})

# X509_V_FLAG_NO_CHECK_TIME; the `ssl` module has no name for it.
_NO_CHECK_TIME = 0x200000
_PEEK_BYTES = 4096
_AGAIN_S = 0.02


class NotOurHello(ValueError):
    """The first bytes of a connection are no ClientHello with a server name."""


def digest(certificate: bytes) -> str:
    """The pin of a certificate (DER): its SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


def digest_b64(certificate_b64: str) -> str:
    """The pin of a certificate given as base64 of its DER form."""
    return digest(base64.b64decode(certificate_b64))


def shown_digest(connection: ssl.SSLSocket | ssl.SSLObject) -> str:
    """The pin of the certificate that the other side has shown; empty without one."""
    certificate = connection.getpeercert(binary_form=True)
    return digest(certificate) if certificate else ""


def _context(protocol: int, pem: Path | None, pins_b64: Iterable[str] | None) -> ssl.SSLContext:
    # Built by hand: create_default_context adds checks of later Pythons that refuse pins.
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    if pem is not None:
        context.load_cert_chain(pem)
    if pins_b64 is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.verify_mode = ssl.CERT_REQUIRED
        pins = b"".join(base64.b64decode(pin) for pin in pins_b64)
        if pins:
            context.load_verify_locations(cadata=pins)
    return context


def server_context(pem: Path, pins_b64: Iterable[str]) -> ssl.SSLContext:
    """For connections of members: the client must show one of the pinned certificates."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, pem, pins_b64)
    context.num_tickets = 0
    return context


def client_context(pem: Path, pins_b64: Iterable[str]) -> ssl.SSLContext:
    """For connections to members: both sides show a certificate."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, pem, pins_b64)


def join_server_context(pem: Path) -> ssl.SSLContext:
    """For connections of servers that are no members yet."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, pem, None)
    context.num_tickets = 0
    return context


def join_client_context() -> ssl.SSLContext:
    """For connections to a server whose fingerprint the caller compares himself."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, None, None)


def server_name(hello: bytes) -> str | None:
    """The server name in the first bytes of a TLS connection; None while incomplete.

    The whole record must lie in `hello` (RFC 8446 section 4.1.2, RFC 6066 section 3).

    Raises:
        NotOurHello: these bytes are something else, or name no server.
    """
    if hello and hello[0] != 0x16:
        raise NotOurHello("not a TLS handshake")
    if len(hello) < 5:
        return None
    length = int.from_bytes(hello[3:5], "big")
    if length > _PEEK_BYTES - 5:
        raise NotOurHello("the ClientHello is too long")
    if len(hello) < 5 + length:
        return None
    record = hello[5 : 5 + length]
    if len(record) < 4 or record[0] != 0x01:
        raise NotOurHello("not a ClientHello")
    return _extension_name(_Reader(record[4:]))


def _extension_name(reader: _Reader) -> str:
    reader.take(2 + 32)
    reader.take(reader.number(1))
    reader.take(reader.number(2))
    reader.take(reader.number(1))
    extensions = _Reader(reader.take(reader.number(2)))
    while extensions.left:
        kind = extensions.number(2)
        content = _Reader(extensions.take(extensions.number(2)))
        if kind == 0:
            names = _Reader(content.take(content.number(2)))
            if names.number(1) == 0:
                return names.take(names.number(2)).decode("ascii", "replace")
    raise NotOurHello("the ClientHello names no server")


class _Reader:
    """Reads lengths and bytes from a buffer, and refuses to read beyond its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise NotOurHello("the ClientHello is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")


def peek(connection: socket.socket) -> str | None:
    """The server name of a waiting connection, its bytes left unread; None while incomplete.

    Raises:
        NotOurHello: the other side speaks something else or has closed.
        OSError: the connection failed (`BlockingIOError` if nothing has come yet).
    """
    hello = connection.recv(_PEEK_BYTES, socket.MSG_PEEK)
    if not hello:
        raise NotOurHello("closed before the ClientHello")
    return server_name(hello)


def peek_server_name(connection: socket.socket, timeout_s: float = 5.0) -> str:
    """Wait for the server name of a connection, its bytes left unread.

    Raises:
        NotOurHello: the other side speaks something else, has closed, or is too slow.
    """
    deadline = time.monotonic() + timeout_s
    connection.settimeout(timeout_s)
    while (left := deadline - time.monotonic()) > 0:
        try:
            name = peek(connection)
        except TimeoutError:
            break
        if name is not None:
            return name
        # Part of a ClientHello stays readable, so there is nothing to wait on but time.
        time.sleep(min(_AGAIN_S, left))
    raise NotOurHello("no ClientHello in time")


async def name_of(connection: socket.socket) -> str:
    """Wait for the server name of a connection in a loop, its bytes left unread.

    Raises:
        NotOurHello: the other side speaks something else or has closed.
        OSError: the connection failed.
    """
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(BlockingIOError):
            name = peek(connection)
            if name is not None:
                return name
            # What was peeked stays readable, so there is nothing to wait on but time.
            await asyncio.sleep(_AGAIN_S)
            continue
        readable = loop.create_future()
        loop.add_reader(connection, _resolve, readable)
        try:
            await readable
        finally:
            loop.remove_reader(connection)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
