"""Requests between servers: who may ask what, and what each failure is called."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from configrepo.errors import NotFound
from configrepo.model import ServerId
from scheduler import tls
from scheduler.errors import JoinRefused, RemoteRefused, Unreachable, WrongIdentity
from scheduler.rpc import JOIN_BODY_BYTES, RpcServer
from scheduler.rpc_client import RpcClient, call_join
from tests.support.front_door import FrontDoor
from tests.support.identities import callee, identity


class World:
    """BQN 0 answers; BQN 1 is a member and asks; BQN 2 is none."""

    def __init__(self) -> None:
        self.pins = {ServerId(1): identity(1).certificate_b64}
        self.release = threading.Event()
        self.started = threading.Event()
        self.server = RpcServer(
            identity(0),
            lambda: self.pins,
            {
                "/echo": lambda caller, payload: {"caller": caller, **payload},
                "/refuse": self.refuse,
                "/missing": self.missing,
                "/broken": lambda caller, payload: {"x": 1 // 0},
                "/half": lambda caller, payload: {"version": "5\ud800"},
                "/wait": self.wait,
            },
            {
                "/probe": lambda address, payload: {"address": address, **payload},
                "/join": self.refuse_joining,
            },
            workers=2,
            join_workers=2,
        )
        self.door = FrontDoor(self.server.accept)
        self.client = RpcClient(identity(1))

    def refuse(self, caller: ServerId, payload: dict[str, Any]) -> dict[str, Any]:
        raise RemoteRefused(f"BQN {caller} may not do this")

    def missing(self, caller: ServerId, payload: dict[str, Any]) -> dict[str, Any]:
        raise NotFound("no such revision")

    def refuse_joining(self, address: str, payload: dict[str, Any]) -> dict[str, Any]:
        raise JoinRefused("this code was used already")

    def wait(self, caller: ServerId, payload: dict[str, Any]) -> dict[str, Any]:
        self.started.set()
        self.release.wait(10)
        return {}

    def call(self, route: str, payload: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
        return self.client.call(callee(0, self.door.port), route, payload, timeout_s)

    def join(self, route: str, payload: dict[str, Any]) -> tuple[dict[str, Any], str]:
        return call_join("127.0.0.1", self.door.port, None, route, payload, 5.0)

    def close(self) -> None:
        self.release.set()
        self.client.close()
        self.door.close()
        self.server.stop()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_a_member_is_answered_and_known_by_its_certificate(world: World) -> None:
    assert world.call("/echo", {"text": "Zürich"}) == {"caller": 1, "text": "Zürich"}


def test_a_body_of_some_megabytes_arrives_whole(world: World) -> None:
    text = "x" * (3 << 20)
    assert world.call("/echo", {"text": text})["text"] == text


def test_a_connection_is_kept_and_used_again(world: World) -> None:
    accepted: list[str] = []

    def accept(connection: socket.socket, address: str, sni: str) -> None:
        accepted.append(sni)
        world.server.accept(connection, address, sni)

    door = FrontDoor(accept)
    for number in range(5):
        answer = world.client.call(callee(0, door.port), "/echo", {"n": number})
        assert answer["n"] == number
    door.close()
    assert accepted == [tls.SNI_RPC]


def test_a_kept_connection_that_died_is_replaced_without_the_caller_noticing(world: World) -> None:
    second = RpcServer(identity(0), lambda: world.pins, {"/echo": lambda c, p: {"second": True}})
    answering = [world.server]
    door = FrontDoor(lambda *connection: answering[0].accept(*connection))
    assert world.client.call(callee(0, door.port), "/echo", {}) == {"caller": 1}
    answering[0] = second
    world.server.stop()
    answer = world.client.call(callee(0, door.port), "/echo", {})
    door.close()
    world.client.close()
    second.stop()
    assert answer == {"second": True}


def test_a_refusal_keeps_its_sentence(world: World) -> None:
    with pytest.raises(RemoteRefused, match=r"^BQN 1 may not do this$"):
        world.call("/refuse", {})
    with pytest.raises(RemoteRefused, match="no such revision"):
        world.call("/missing", {})
    with pytest.raises(JoinRefused, match="used already"):
        world.join("/join", {})


def test_an_unknown_route_is_refused(world: World) -> None:
    with pytest.raises(RemoteRefused, match="no /nothing"):
        world.call("/nothing", {})


def test_a_handler_that_breaks_is_logged_and_tells_nothing_secret(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(RemoteRefused, match="its log says why"):
        world.call("/broken", {})
    assert "ZeroDivisionError" in caplog.text
    assert world.call("/echo", {}) == {"caller": 1}


def test_a_stranger_is_not_served(world: World) -> None:
    stranger = RpcClient(identity(2))
    with pytest.raises(Unreachable) as caught:
        stranger.call(callee(0, world.door.port), "/echo", {})
    assert caught.value.cause == "not a member"


def test_a_removed_member_is_not_served_neither_on_an_old_nor_a_new_connection(
    world: World,
) -> None:
    world.call("/echo", {})
    world.pins = {}
    with pytest.raises(RemoteRefused, match="not a member any more"):
        world.call("/echo", {})
    with pytest.raises(Unreachable):
        RpcClient(identity(1)).call(callee(0, world.door.port), "/echo", {})


def test_nothing_is_sent_to_a_server_with_another_certificate(world: World) -> None:
    with pytest.raises(WrongIdentity):
        world.client.call(
            type(callee(0, 1))(
                ServerId(0), "127.0.0.1", world.door.port, identity(2).certificate_b64
            ),
            "/echo",
            {},
        )


def test_a_client_without_certificate_gets_nothing_of_the_member_routes(world: World) -> None:
    context = tls.join_client_context()
    with (
        socket.create_connection(("127.0.0.1", world.door.port), 5) as raw,
        context.wrap_socket(raw, server_hostname=tls.SNI_RPC) as secured,
    ):
        with contextlib.suppress(OSError):
            secured.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        with pytest.raises(OSError, match=r"(?i)certificate"):
            secured.recv(1)


def test_member_routes_are_not_served_to_joiners(world: World) -> None:
    with pytest.raises(RemoteRefused, match="no /echo"):
        world.join("/echo", {})


def test_a_joiner_learns_the_fingerprint_of_whoever_answers(world: World) -> None:
    answer, fingerprint = world.join("/probe", {"hello": 1})
    assert answer == {"address": "127.0.0.1", "hello": 1}
    assert fingerprint == identity(0).fingerprint


def test_a_joiner_that_expects_another_fingerprint_stops(world: World) -> None:
    with pytest.raises(WrongIdentity):
        call_join("127.0.0.1", world.door.port, identity(2).fingerprint, "/probe", {})


def test_a_closed_port_is_refused(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        world.client.call(callee(0, port), "/echo", {})
    assert caught.value.cause == "refused"
    with pytest.raises(Unreachable, match="refused"):
        call_join("127.0.0.1", port, None, "/probe", {})


def test_something_that_accepts_and_stays_silent_is_given_up_in_time(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            world.client.call(callee(0, listener.getsockname()[1]), "/echo", {}, timeout_s=0.3)
        assert caught.value.cause == "no answer"
        assert time.monotonic() - began < 2


def test_a_slow_handler_is_given_up_in_time(world: World) -> None:
    with pytest.raises(Unreachable, match="did not answer in time"):
        world.call("/wait", {}, timeout_s=0.3)


def test_a_name_that_nobody_knows_is_named_so(world: World) -> None:
    with pytest.raises(Unreachable) as caught:
        call_join("no-such-name.invalid", 1, None, "/probe", {})
    assert caught.value.cause == "name not found"


def test_strangers_that_fill_their_lane_do_not_delay_members(world: World) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", world.door.port), 5))
            secured = stack.enter_context(
                tls.join_client_context().wrap_socket(
                    raw, server_hostname=tls.SNI_JOIN, do_handshake_on_connect=False
                )
            )
            secured.settimeout(0.001)
            with contextlib.suppress(OSError):
                secured.do_handshake()
        began = time.monotonic()
        assert world.call("/echo", {}) == {"caller": 1}
        assert time.monotonic() - began < 2


def _raw_join(world: World, request: bytes) -> tuple[int, dict[str, Any]]:
    context = tls.join_client_context()
    with (
        socket.create_connection(("127.0.0.1", world.door.port), 5) as raw,
        context.wrap_socket(raw, server_hostname=tls.SNI_JOIN) as secured,
    ):
        secured.sendall(request)
        answer = http.client.HTTPResponse(secured)
        answer.begin()
        return answer.status, json.loads(answer.read())


def test_a_joiner_may_not_send_more_than_64_kib(world: World) -> None:
    head = f"POST /probe HTTP/1.1\r\nContent-Length: {JOIN_BODY_BYTES + 1}\r\n\r\n"
    status, value = _raw_join(world, head.encode())
    assert status == 413
    assert value["sentence"] == "the request is larger than 64 KiB"


@pytest.mark.parametrize("length", ["", "-1", "1e3", "9999999999999999", "²"])
def test_a_length_that_is_no_number_is_refused(world: World, length: str) -> None:
    head = f"POST /probe HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"
    status, _ = _raw_join(world, head.encode("latin-1"))
    assert status == 411


_HALF_AS_BYTES = b'{"name": "\xed\xa0\x80"}'


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b"\xff",
        b"[" * 60000,
        _HALF_AS_BYTES,
        '{"name": "\ud800"}'.encode("utf-16", "surrogatepass"),
    ],
)
def test_a_body_that_is_no_object_is_refused(world: World, body: bytes) -> None:
    head = b"POST /probe HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    status, _ = _raw_join(world, head + body)
    assert status == 400


def test_a_probe_can_be_made_with_any_http_client(world: World) -> None:
    assert _raw_join(world, b"GET /probe HTTP/1.1\r\n\r\n") == (200, {"address": "127.0.0.1"})


def test_an_address_that_asks_too_often_is_told_to_wait(world: World) -> None:
    context = tls.join_client_context()
    with (
        socket.create_connection(("127.0.0.1", world.door.port), 5) as raw,
        context.wrap_socket(raw, server_hostname=tls.SNI_JOIN) as secured,
    ):
        statuses: list[int] = []
        while 429 not in statuses and len(statuses) < 100:
            secured.sendall(b"GET /probe HTTP/1.1\r\n\r\n")
            answer = http.client.HTTPResponse(secured)
            answer.begin()
            statuses.append(answer.status)
            answer.read()
    assert statuses[:20] == [200] * 20
    assert 429 in statuses


def test_stopping_does_not_wait_for_idle_connections(world: World) -> None:
    world.call("/echo", {})
    began = time.monotonic()
    world.server.stop()
    assert time.monotonic() - began < 2


def test_a_fault_before_the_first_request_stands_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    del world.pins  # asked at each connection, and at each request
    with pytest.raises(Unreachable):
        world.call("/echo", {})
    assert "could not be served" in caplog.text
    assert "AttributeError" in caplog.text


def test_half_a_character_is_refused_and_a_whole_one_is_not(world: World) -> None:
    assert world.call("/echo", {"text": "\U0001f600"})["text"] == "\U0001f600"
    for text in ("\ud800", "a\udfffb"):
        with pytest.raises(RemoteRefused, match="not a JSON object"):
            world.call("/echo", {"text": text})


def test_half_a_character_in_an_answer_is_not_understood(world: World) -> None:
    """It would stand in a report, and every page that shows reports would be an error page."""
    with pytest.raises(RemoteRefused, match="not understood"):
        world.call("/half", {})
