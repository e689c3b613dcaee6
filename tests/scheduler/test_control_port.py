"""The control port against those who are not, or not quite, members."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler import tls
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon
from scheduler.frames import MAX_BYTES, Frames, encode
from scheduler.messages import Hello, Ping, to_json
from scheduler.presets import PRESETS
from tests.support.control_rooms import CLUSTER, Member, Room
from tests.support.identities import identity


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """BQN 0 of a cluster with BQN 1 and BQN 3, which are not running: tests play them."""
    made = Room(0, tmp_path_factory.mktemp("room"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = listener.getsockname()[1]
    others = [
        Member(ServerId(number), "127.0.0.1", nowhere, identity(number).certificate_b64)
        for number in (1, 3)
    ]
    removed = Member(ServerId(4), "127.0.0.1", nowhere, identity(4).certificate_b64, "removed")
    made.room.set_members((made.member(), *others, removed), CLUSTER)
    made.wait(lambda view: view.role is ControlRole.PRIMARY)
    yield made
    made.stop()


class Caller:
    """One connection to the control port, spoken by hand."""

    def __init__(self, room: Room, pem: Path | None, context: ssl.SSLContext | None = None) -> None:
        raw = socket.create_connection(("127.0.0.1", room.room.port), 10)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if pem is not None:
                context.load_cert_chain(pem)
        self.connection = context.wrap_socket(raw, server_hostname=tls.SNI_CONTROL)
        self._frames = Frames(MAX_BYTES)
        self._ready: list[dict[str, Any]] = []

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def receive(self) -> dict[str, Any] | None:
        """The next frame; None when the connection has ended."""
        while not self._ready:
            data = self.connection.recv(4096)
            if not data:
                return None
            self._ready += self._frames.feed(data)
        return self._ready.pop(0)

    def receive_kind(self, kind: str) -> dict[str, Any]:
        """The next frame of a kind."""
        while (frame := self.receive()) is not None:
            if frame["t"] == kind:
                return frame
        raise AssertionError(f"closed before {kind}")

    def ended(self) -> bool:
        """Whether the other side closes, whatever it says before."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while self.receive() is not None:
                pass
        return True

    def close(self) -> None:
        self.connection.close()


def _hello(number: int, cluster: str = CLUSTER, **changes: Any) -> bytes:
    return encode({**to_json(Hello(cluster, ServerId(number), 1, "R5.0.0")), **changes})


def _ping(number: int, seq: int) -> bytes:
    beacon = Beacon(ServerId(number), 1, seq, ControlRole.SECONDARY, 0, 0)
    return encode(to_json(Ping(seq, beacon)))


@contextlib.contextmanager
def _calling(room: Room, number: int) -> Iterator[Caller]:
    caller = Caller(room, identity(number).control_pem)
    try:
        yield caller
    finally:
        caller.close()


def test_a_member_is_greeted_and_its_pings_are_answered(room: Room) -> None:
    with _calling(room, 1) as caller:
        caller.send(_hello(1))
        greeting = caller.receive_kind("HELLO")
        assert (greeting["id"], greeting["cluster"], greeting["sw"]) == (0, CLUSTER, "R5.0.0")
        caller.send(_ping(1, 7))
        pong = caller.receive_kind("PONG")
        assert (pong["e"], pong["id"], pong["role"], pong["epoch"]) == (7, 0, "primary", 1)


def test_an_unknown_type_is_answered_and_the_connection_is_kept(room: Room) -> None:
    with _calling(room, 1) as caller:
        caller.send(_hello(1, future_field=[1, 2]))
        caller.receive_kind("HELLO")
        caller.send(encode({"t": "FUTURE", "x": 1}))
        assert caller.receive_kind("ERR")["code"] == "unknown-type"
        caller.send(_ping(1, 8))
        assert caller.receive_kind("PONG")["e"] == 8


def test_a_right_certificate_with_the_id_of_another_member_is_refused(room: Room) -> None:
    with _calling(room, 1) as caller:
        caller.send(_hello(3))
        assert caller.receive() == {"t": "ERR", "code": "wrong-identity"}
        assert caller.receive() is None


def test_another_cluster_is_refused_by_name(room: Room) -> None:
    with _calling(room, 1) as caller:
        caller.send(_hello(1, cluster="d" * 32))
        assert caller.receive() == {"t": "ERR", "code": "other-cluster"}


def test_a_removed_member_is_told_so(room: Room) -> None:
    with _calling(room, 4) as caller:
        caller.send(_hello(4))
        assert caller.receive() == {"t": "ERR", "code": "removed"}


def test_a_release_that_speaks_another_protocol_is_refused(room: Room) -> None:
    with _calling(room, 1) as caller:
        caller.send(_hello(1, pv_min=2, pv_max=3))
        assert caller.receive_kind("HELLO")["id"] == 0  # so it can say who refuses it
        assert caller.ended()


@pytest.mark.parametrize("number", [None, 9])
def test_no_certificate_or_a_foreign_one_ends_the_handshake(room: Room, number: int | None) -> None:
    pem = None if number is None else identity(number).control_pem
    caller = Caller(room, pem)
    with contextlib.suppress(OSError):
        caller.send(_hello(1))
    with pytest.raises(OSError):  # noqa: PT011 (an alert, or the connection's end)
        raise ConnectionError if caller.connection.recv(1) == b"" else AssertionError
    caller.close()


def test_older_tls_is_refused(room: Room) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):  # noqa: PT011
        Caller(room, None, context)


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"x" * 100,
        b"\x00" * 10,
        b"SSH-2.0-x\r\n",
    ],
)
def test_what_is_no_hello_is_closed_without_a_word(room: Room, first: bytes) -> None:
    with socket.create_connection(("127.0.0.1", room.room.port), 10) as raw:
        raw.sendall(first)
        with contextlib.suppress(ConnectionError):
            assert raw.recv(100) == b""


def test_a_hello_that_names_another_service_is_closed(room: Room) -> None:
    context = tls.join_client_context()
    with (
        socket.create_connection(("127.0.0.1", room.room.port), 10) as raw,
        pytest.raises(OSError),  # noqa: PT011
    ):
        context.wrap_socket(raw, server_hostname="www.example.org").close()


@pytest.mark.parametrize(
    "data",
    [
        (2000).to_bytes(4, "big"),
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x05{'a'}",
        encode({"t": "PING", "n": 1}),
        encode({"t": "HELLO", "id": 1}),
        encode({"t": "FUTURE"}),
    ],
)
def test_anything_but_a_hello_first_is_refused(room: Room, data: bytes) -> None:
    with _calling(room, 1) as caller:
        caller.send(data)
        assert caller.ended()


@pytest.mark.parametrize(
    "change",
    [{"boot": -1}, {"seq": True}, {"role": "king"}, {"epoch": 10**13}, {"heads": {"cluster": "x"}}],
)
def test_a_beacon_that_is_not_as_it_should_be_ends_the_session(
    room: Room, change: dict[str, Any]
) -> None:
    with _calling(room, 3) as caller:
        caller.send(_hello(3))
        caller.receive_kind("HELLO")
        beacon = Beacon(ServerId(3), 1, 1, ControlRole.SECONDARY, 0, 0)
        caller.send(encode({**to_json(Ping(1, beacon)), **change}))
        assert caller.receive_kind("ERR")["code"] == "bad-frame"
        assert caller.ended()


def test_a_beacon_of_another_id_is_not_believed(room: Room) -> None:
    with _calling(room, 1) as caller:
        caller.send(_hello(1))
        caller.receive_kind("HELLO")
        caller.send(_ping(3, 1))
        caller.send(_ping(1, 50))
        assert caller.receive_kind("PONG")["e"] == 50


def test_many_silent_connections_do_not_delay_a_member(room: Room) -> None:
    with _calling(room, 1) as caller, contextlib.ExitStack() as stack:
        caller.send(_hello(1))
        caller.receive_kind("HELLO")
        for _ in range(300):
            raw = socket.create_connection(("127.0.0.1", room.room.port), 10)
            stack.callback(raw.close)
            with contextlib.suppress(OSError):
                raw.sendall(b"\x16\x03\x01")
        slowest = 0.0
        for seq in range(100, 120):
            began = time.monotonic()
            caller.send(_ping(1, seq))
            assert caller.receive_kind("PONG")["e"] == seq
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1
    assert room.view.role is ControlRole.PRIMARY


def test_a_server_that_stops_refuses_who_calls_as_soon_as_it_has_said_good_bye(
    tmp_path: Path,
) -> None:
    """Else who missed the good-bye waits in a queue that nobody serves, and learns nothing."""
    # The caller answers no heartbeat: long before it were taken for silent, all is over.
    made = Room(0, tmp_path / "room", timing=PRESETS["wan"])
    caller = Member(ServerId(1), "127.0.0.1", 1, identity(1).certificate_b64)
    made.room.set_members((made.member(), caller), CLUSTER)
    made.wait(lambda view: bool(view.peers), 60)
    port = made.room.port
    with _calling(made, 1) as calling, ThreadPoolExecutor(1) as pool:
        calling.send(_hello(1))
        calling.receive_kind("HELLO")
        stopped = pool.submit(made.stop)
        assert calling.receive_kind("BYE")["stopping"] is True
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 10)
        calling.close()
        stopped.result(60)
