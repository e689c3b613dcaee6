"""The GUI's web server against clients of every kind, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bqngui import server
from bqngui.connections import Limits
from bqngui.settings import GuiSettings
from configrepo.model import ServerId
from scheduler.errors import PortInUse, SettingsError
from tests.support.site import PASSWORD, Site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Serve = Callable[..., "Served"]


class Served:
    """An application behind the real server, and ways to talk to it."""

    def __init__(self, running: server.RunningGui, certificate: Path) -> None:
        self.running = running
        self.context = ssl.create_default_context(cafile=certificate)

    def tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.running.port), timeout=10)

    def tls(self) -> ssl.SSLSocket:
        return self.context.wrap_socket(self.tcp(), server_hostname="127.0.0.1")

    def http(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self.running.port, context=self.context, timeout=10
        )

    def get(self, path: str = "/") -> tuple[int, bytes]:
        with contextlib.closing(self.http()) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()


def echo(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
    """Answers with what came in."""
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)}".encode()]


def endless(closed: threading.Event) -> WSGIApplication:
    """Sends for ever; says when nobody takes it any more."""

    def sends(environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "application/octet-stream")])
        try:
            while True:
                yield bytes(500_000)
        finally:
            closed.set()

    return sends


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    started: list[Served] = []

    def make(app: WSGIApplication = echo, limits: Limits | None = None, threads: int = 4) -> Served:
        settings = GuiSettings(ServerId(0), tmp_path, address="127.0.0.1", port=0, threads=threads)
        served = Served(server.start(app, settings, limits), tmp_path / "keys" / "gui.crt")
        started.append(served)
        return served

    yield make
    for served in started:
        if served.running.serving:
            served.running.stop()


@contextlib.contextmanager
def many(count: int, connect: Callable[[], socket.socket]) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as closing:
        yield [closing.enter_context(connect()) for _ in range(count)]


def log_in(site: Site) -> float:
    """Log in through the real server; returns how long it took."""
    begun = time.monotonic()
    context = ssl.create_default_context(cafile=site.settings.state_dir / "keys" / "gui.crt")
    port = int(site.url.rsplit(":", 1)[1])
    with contextlib.closing(
        http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
    ) as connection:
        connection.request("GET", "/login")
        answer = connection.getresponse()
        cookie = answer.headers["Set-Cookie"].split(";")[0]
        form = answer.read().decode().split('name="csrf_token" value="')[1].split('"')[0]
        connection.request(
            "POST",
            "/login",
            f"name=admin&password={PASSWORD.replace(' ', '+')}&csrf_token={form}",
            {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"},
        )
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Location"]) == (303, "/")
    return time.monotonic() - begun


def half_a_handshake(served_port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", served_port), timeout=10)
    connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return connection


def test_two_hundred_idle_connections_do_not_delay_a_login(site: Site) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    with many(200, lambda: socket.create_connection(("127.0.0.1", port), timeout=10)):
        assert log_in(site) <= 2


def test_two_hundred_half_handshakes_do_not_delay_a_login(site: Site) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    with many(200, lambda: half_a_handshake(port)):
        assert log_in(site) <= 2


def test_two_hundred_half_requests_do_not_delay_a_login(site: Site) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    context = ssl.create_default_context(cafile=site.settings.state_dir / "keys" / "gui.crt")

    def slow_head() -> socket.socket:
        connection = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="127.0.0.1"
        )
        connection.send(b"GET /login HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        return connection

    with many(100, slow_head) as slow:
        for connection in slow:
            connection.send(b"x")
        assert log_in(site) <= 2


def test_two_hundred_half_bodies_do_not_delay_a_login(site: Site) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    context = ssl.create_default_context(cafile=site.settings.state_dir / "keys" / "gui.crt")

    def slow_body() -> socket.socket:
        connection = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="127.0.0.1"
        )
        connection.send(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nname=")
        return connection

    with many(100, slow_body):
        assert log_in(site) <= 2


def test_clients_that_do_not_take_their_answers_do_not_delay_others(serve: Serve) -> None:
    def large(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [bytes(600_000) if environ["PATH_INFO"] == "/large" else b"small"]

    served = serve(large, threads=2)

    def greedy() -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", served.running.port))
        secured = served.context.wrap_socket(connection, server_hostname="127.0.0.1")
        secured.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        return secured

    with many(30, greedy):
        begun = time.monotonic()
        assert served.get()[1] == b"small"
        assert time.monotonic() - begun < 2


def test_an_answer_larger_than_all_buffers_arrives_whole(serve: Serve) -> None:
    content = os.urandom(1_000_000)

    def large(environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "application/octet-stream")])
        for _ in range(12):
            yield content

    status, body = serve(large).get()
    assert (status, body) == (200, content * 12)


def test_a_request_may_come_byte_by_byte_and_two_at_a_time(serve: Serve) -> None:
    served = serve()
    with served.tls() as connection:
        for byte in b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n":
            connection.send(bytes([byte]))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.read() == b"GET /slow 0"
        connection.send(
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while piece := connection.recv(4096):
            received += piece
    assert b"POST /a 3" in received
    assert b"GET /b 0" in received


def test_a_large_chunked_body_and_one_that_waits_to_be_invited_arrive(serve: Serve) -> None:
    served = serve()
    with contextlib.closing(served.http()) as connection:
        pieces = (b"x" * 50_000 for _ in range(40))
        connection.request(
            "POST", "/up", pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True
        )
        assert connection.getresponse().read() == b"POST /up 2000000"
    with served.tls() as connection_2:
        connection_2.send(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert connection_2.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection_2.send(b"ok")
        answer = http.client.HTTPResponse(connection_2)
        answer.begin()
        assert answer.read() == b"POST / 2"


def test_plain_http_is_led_to_https_and_breaks_nothing(serve: Serve) -> None:
    served = serve()
    with served.tcp() as connection:
        connection.send(b"GET /login?x=1 HTTP/1.1\r\nHost: bqn.example:8443\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 307 Temporary Redirect\r\n")
    assert b"Location: https://bqn.example:8443/login?x=1\r\n" in answer
    for nonsense in (
        b"SSH-2.0-x\r\n",
        b"\x00\xff",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"\r\n",
    ):
        with served.tcp() as connection:
            connection.send(nonsense)
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert served.get()[0] == 200


def test_broken_handshakes_and_sudden_ends_break_nothing(serve: Serve) -> None:
    served = serve()
    for _ in range(20):
        served.tcp().close()
        with served.tcp() as connection:
            connection.send(b"\x16\x03\x01" + os.urandom(200))
        with served.tls() as secured:
            secured.send(b"GET / HT")
        with served.tls() as secured:
            secured.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert served.get()[0] == 200


def test_what_is_no_request_is_told_so_with_all_headers(serve: Serve) -> None:
    served = serve()
    for request in (b"GET / HTTP/1.1\nHost: x\n\n", b"get / HTTP/1.1\r\nHost: x\r\n\r\n"):
        with served.tls() as connection:
            connection.send(request)
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"X-Content-Type-Options: nosniff\r\n" in answer
        assert b"Content-Security-Policy: default-src 'none'" in answer
        assert b"Cheroot" not in answer


def test_slow_stages_end_by_their_deadlines(serve: Serve) -> None:
    served = serve(limits=Limits(handshake_s=0.3, head_s=0.3, body_s=0.3, idle_s=0.3, linger_s=0.3))
    stages: list[tuple[socket.socket, bytes]] = [
        (served.tcp(), b""),
        (half_a_handshake(served.running.port), b""),
        (served.tls(), b""),
        (served.tls(), b"GET / HTTP/1.1\r\n"),
        (served.tls(), b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"),
        (served.tls(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]
    for connection, sent in stages:
        with connection:
            connection.send(sent)
            connection.settimeout(5)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while connection.recv(4096):
                    pass


def test_a_newcomer_finds_a_place_when_idle_ones_hold_all(serve: Serve) -> None:
    served = serve(limits=Limits(connections=20))
    with many(60, served.tcp):
        for _ in range(5):
            assert served.get()[0] == 200


def test_uploads_together_are_bounded(serve: Serve) -> None:
    served = serve(limits=Limits(held_bytes=200_000))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with served.tls() as one:
        one.sendall(head + bytes(300_000))
        assert one.recv(4096).startswith(b"HTTP/1.1 503 ")
    assert served.get()[0] == 200


def test_a_body_that_is_too_large_gets_a_page_and_not_a_hang(site: Site) -> None:
    context = ssl.create_default_context(cafile=None)
    port = int(site.url.rsplit(":", 1)[1])
    context.load_verify_locations(site.settings.state_dir / "keys" / "gui.crt")
    with contextlib.closing(
        http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    ) as connection:
        connection.putrequest("POST", "/login")
        connection.putheader("Content-Length", str(30 * 1024 * 1024))
        connection.putheader("Accept", "text/html")
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"at most 16 MiB" in answer.read()


def test_the_address_of_the_client_reaches_the_application(serve: Serve) -> None:
    def address(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        start("200 OK", [])
        return [f"{environ['REMOTE_ADDR']} {environ['wsgi.url_scheme']}".encode()]

    assert serve(address).get()[1] == b"127.0.0.1 https"


def test_stopping_finishes_what_was_begun_and_takes_nothing_new(serve: Serve) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        inside.set()
        assert go_on.wait(10)
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"finished"]

    served = serve(slow)
    answers: list[tuple[int, bytes]] = []
    client = threading.Thread(target=lambda: answers.append(served.get()))
    client.start()
    assert inside.wait(10)
    stopper = threading.Thread(target=served.running.stop)
    stopper.start()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            served.tcp().close()
        except ConnectionResetError:  # it was waiting to be taken when the door closed
            continue
        except ConnectionRefusedError:
            break
    else:
        pytest.fail("the server still accepts")
    go_on.set()
    client.join(10)
    stopper.join(10)
    assert answers == [(200, b"finished")]
    assert not [t for t in threading.enumerate() if t.name.startswith(("gui-", "CP Server"))]


@pytest.mark.parametrize(
    "limits", [Limits(stall_s=0.3), Limits(finish_s=0.3)], ids=["given up", "stopped"]
)
def test_a_stream_that_nobody_takes_holds_up_nothing(serve: Serve, limits: Limits) -> None:
    closed = threading.Event()
    served = serve(endless(closed), limits)
    with served.tls() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(10) == b"HTTP/1.1 2"
        if limits.finish_s < 1:
            served.running.stop()
        assert closed.wait(60)


@pytest.mark.parametrize("way", ["closed", "reset", "gives up"])
def test_a_client_that_is_gone_in_an_answer_leaves_no_traceback(
    serve: Serve, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    closed = threading.Event()
    caplog.set_level("DEBUG")
    served = serve(endless(closed), Limits(stall_s=0.3))
    with served.tls() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(10) == b"HTTP/1.1 2"
        if way == "closed":
            socket.socket.shutdown(connection, socket.SHUT_WR)  # the end, without TLS's
        elif way == "reset":
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        assert closed.wait(60)
    served.running.stop()
    assert [r.getMessage() for r in caplog.records if r.exc_info or r.levelname == "ERROR"] == []


def test_an_application_that_fails_in_its_answer_cuts_it_off(serve: Serve) -> None:
    def broken(environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        yield b"half"
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("the other half is lost")

    served = serve(broken)
    with pytest.raises(http.client.IncompleteRead):
        served.get("/broken")
    assert served.get("/fine") == (200, b"half")


def test_a_port_in_use_is_told_in_a_sentence(serve: Serve, tmp_path: Path) -> None:
    port = serve().running.port
    with pytest.raises(PortInUse, match=rf"port {port} of 127\.0\.0\.1 is already in use"):
        server.start(echo, GuiSettings(ServerId(0), tmp_path, address="127.0.0.1", port=port))


@pytest.mark.parametrize("address", ["192.0.2.1", "not an address"])
def test_an_address_of_no_machine_is_told_in_a_sentence(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsError, match="gui: "):
        server.start(echo, GuiSettings(ServerId(0), tmp_path, address=address, port=0))


def test_the_fingerprint_is_that_of_the_certificate_that_is_shown(serve: Serve) -> None:
    served = serve()
    with served.tls() as connection:
        shown = connection.getpeercert(binary_form=True)
        assert connection.version() == "TLSv1.3"
    assert shown is not None
    digest = hashlib.sha256(shown).hexdigest().upper()
    assert served.running.fingerprint.replace(":", "") == f"SHA256{digest}"


def test_large_uploads_that_come_faster_than_they_are_read_end_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(echo)
    for size in range(2 << 20, 5 << 20, 100_000):
        with contextlib.closing(served.http()) as connection:
            connection.request("POST", "/", bytes(size))
            assert connection.getresponse().read() == f"POST / {size}".encode()
    assert served.running.serving
    assert [r.getMessage() for r in caplog.records if r.exc_info] == []
