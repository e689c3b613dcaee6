"""The control port spoken by hand: connections, frames, and what a server says of others."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from configrepo.model import ServerId
from scheduler import tls
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon
from scheduler.frames import MAX_BYTES, Frames, encode
from scheduler.messages import Hello, Ping, to_json
from tests.support.control_rooms import CLUSTER, Room
from tests.support.identities import identity

ABSENT, REMOVED, LIAR, FUZZED, STRANGER = 3, 4, 5, 6, 9
boots = count(1000)


def state_of(room: Room, number: int) -> str:
    """What a server says of another one."""
    return next(peer.state for peer in room.view.peers if peer.id == number)


def last_contact(room: Room, number: int) -> datetime:
    """When a server last had an answer of another one."""
    found = next(peer.last_contact for peer in room.view.peers if peer.id == number)
    return found or datetime.min.replace(tzinfo=UTC)


def wait_for_contact(room: Room, number: int, asked: datetime) -> None:
    """Wait until another server has answered later than that."""
    room.wait(lambda _: last_contact(room, number) > asked, 60.0)


def client_context(pem: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pem is not None:
        context.load_cert_chain(pem)
    return context


def sources() -> Iterator[str]:
    """Another address of this machine each time: the port limits how often one may come."""
    return (f"127.0.{third}.{fourth}" for third in range(50, 250) for fourth in range(1, 250))


_SOURCES = sources()


def connected(room: Room) -> socket.socket:
    """A connection from an address of its own."""
    source = (next(_SOURCES), 0)
    raw = socket.create_connection(("127.0.0.1", room.room.port), 30, source_address=source)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


class Line:
    """One connection to a control port after TLS, spoken by hand."""

    def __init__(self, room: Room, context: ssl.SSLContext) -> None:
        raw = connected(room)
        try:
            self.tls = context.wrap_socket(raw, server_hostname=tls.SNI_CONTROL)
        except OSError:
            raw.close()
            raise
        self._frames = Frames(MAX_BYTES)
        self._ready: list[dict[str, Any]] = []

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.tls.close()

    def say(self, data: bytes) -> None:
        self.tls.sendall(data)

    def hear(self) -> dict[str, Any] | None:
        """The next frame; None at the end, however it comes."""
        while not self._ready:
            try:
                data = self.tls.recv(65536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self._ready += self._frames.feed(data)
        return self._ready.pop(0)

    def hear_kind(self, kind: str) -> dict[str, Any] | None:
        """The next frame of a kind; None if the connection ends before."""
        while (frame := self.hear()) is not None:
            if frame["t"] == kind:
                return frame
        return None


def hello(number: int, boot: int = 1, run: str = "", **changes: Any) -> bytes:
    message = Hello(CLUSTER, ServerId(number), boot, "R5.0.0", run=run)
    return encode({**to_json(message), **changes})


def ping(number: int, seq: int, boot: int = 1, **beacon: Any) -> bytes:
    fields: dict[str, Any] = {"role": ControlRole.SECONDARY, "epoch": 0, "maxep": 0, **beacon}
    return encode(to_json(Ping(seq, Beacon(ServerId(number), boot, seq, **fields))))


@contextlib.contextmanager
def greeted(room: Room, number: int, boot: int, run: str = "") -> Iterator[Line]:
    """A session as a member."""
    with Line(room, client_context(identity(number).control_pem)) as line:
        line.say(hello(number, boot, run))
        assert line.hear_kind("HELLO") is not None
        yield line


def greeting(room: Room, context: ssl.SSLContext, data: bytes) -> dict[str, Any] | None:
    """What a caller is told after its HELLO; None if nothing."""
    try:
        with Line(room, context) as line:
            line.say(data)
            return line.hear()
    except OSError:
        return None
