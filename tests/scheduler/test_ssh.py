from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from scheduler.authorized_keys import KNOCKING, KeyHolder, Verb
from scheduler.errors import KeyRefused, Unreachable, WrongIdentity
from scheduler.ssh import SshLimits, SshPool, SshTarget, probe_ssh
from scheduler.sshd import account
from tests.support.sshd import SshServer, free_port, public_line

KEY = Ed25519PrivateKey.generate()
STRANGER = Ed25519PrivateKey.generate()
SHORT = SshLimits(login_s=0.6, attempt_s=1.0, idle_s=0.5, transfer_s=5.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    state = tmp_path_factory.mktemp("far")
    subprocess.run(["git", "init", "-q", "--bare", str(state / "config.git")], check=True)
    server = SshServer(state, (KeyHolder(ServerId(0), public_line(KEY)),))
    yield server
    server.stop()


@pytest.fixture
def pool() -> Iterator[SshPool]:
    pool = SshPool(KEY, account())
    yield pool
    pool.close()


def ask(pool: SshPool, target: SshTarget) -> bytes:
    stream = pool.open_command(target, Verb.PROBE)
    try:
        return stream.read(100)
    finally:
        stream.close()


@contextmanager
def answering(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that treats every connection by `behave` and keeps it open."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            kept.append(sock)
            behave(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)
    for sock in kept:
        sock.close()


def test_a_command_runs_at_the_other_server(server: SshServer, pool: SshPool) -> None:
    stream = pool.open_command(server.target(1), Verb.PROBE)
    assert stream.read(7) == b"bqn-gat"
    assert stream.read(100) == b"e 1\n"
    assert stream.finish() == 0


def test_a_refusal_of_the_gate_is_its_status_and_its_complaint(
    server: SshServer, pool: SshPool
) -> None:
    server.allow((KeyHolder(ServerId(0), public_line(KEY), KNOCKING),))
    try:
        stream = pool.open_command(server.target(1), Verb.UPLOAD)
        assert stream.finish() == 126
        assert stream.complaint() == "BQN: refused: this key may not ask for upload-pack"
    finally:
        server.allow((KeyHolder(ServerId(0), public_line(KEY)),))


def test_one_connection_serves_many_commands_of_many_threads(
    server: SshServer, pool: SshPool
) -> None:
    log = server.state / "ssh" / "sshd.log"
    before = log.read_text().count("Accepted publickey")
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(pool, server.target(1))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [b"bqn-gate 1\n"] * 6
    assert log.read_text().count("Accepted publickey") == before + 1


def test_a_wrong_host_key_is_a_hard_stop_before_anything_is_sent(
    server: SshServer, pool: SshPool
) -> None:
    log = server.state / "ssh" / "sshd.log"
    before = log.read_text().count("Accepted publickey")
    with pytest.raises(WrongIdentity, match="another host key"):
        ask(pool, server.target(1, public_line(STRANGER)))
    assert log.read_text().count("Accepted publickey") == before
    assert f"user {account()}" not in log.read_text().splitlines()[-1]


def test_a_key_that_is_not_let_in_is_said_so(server: SshServer) -> None:
    pool = SshPool(STRANGER, account())
    try:
        with pytest.raises(KeyRefused, match="does not let the SSH key"):
            ask(pool, server.target(1))
    finally:
        pool.close()


def test_a_changed_address_makes_a_new_connection(server: SshServer, pool: SshPool) -> None:
    ask(pool, server.target(1))
    gone = SshTarget(ServerId(1), "127.0.0.1", free_port(), server.host_key)
    with pytest.raises(Unreachable, match="connection refused"):
        ask(pool, gone)
    assert ask(pool, server.target(1)) == b"bqn-gate 1\n"


def test_a_restarted_sshd_is_found_again_at_once(tmp_path: Path, pool: SshPool) -> None:
    server = SshServer(tmp_path, (KeyHolder(ServerId(0), public_line(KEY)),))
    try:
        ask(pool, server.target(1))
        server.stop()
        with pytest.raises(Unreachable):
            ask(pool, server.target(1))
        server.sshd.start()
        assert ask(pool, server.target(1)) == b"bqn-gate 1\n"
    finally:
        server.stop()


def tell_banner(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")


def tell_http(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("behave", [lambda _: None, tell_banner, tell_http])
def test_what_is_not_a_living_sshd_ends_in_time(behave: Callable[[socket.socket], None]) -> None:
    pool = SshPool(KEY, account(), SHORT)
    with answering(behave) as port:
        start = monotonic()
        with pytest.raises(Unreachable):
            ask(pool, SshTarget(ServerId(1), "127.0.0.1", port, public_line(STRANGER)))
        assert monotonic() - start < SHORT.attempt_s + 1.0
    pool.close()


@pytest.mark.parametrize("behave", [lambda _: None, tell_banner])
def test_closing_breaks_off_a_login_at_a_server_that_hangs(
    behave: Callable[[socket.socket], None],
) -> None:
    """Without that this would take the five minutes that a login may take here."""
    pool = SshPool(KEY, account(), SshLimits(300.0, 300.0, 300.0, 600.0))
    accepted = threading.Event()

    def accept(sock: socket.socket) -> None:
        behave(sock)
        accepted.set()

    with answering(accept) as port, ThreadPoolExecutor(1) as other:
        target = SshTarget(ServerId(1), "127.0.0.1", port, public_line(STRANGER))
        asked = other.submit(ask, pool, target)
        assert accepted.wait(60)
        pool.close()
        assert isinstance(asked.exception(60), Unreachable)
        with pytest.raises(Unreachable, match="was closed"):
            ask(pool, target)


def test_a_command_that_never_answers_ends_in_time(server: SshServer) -> None:
    """receive-pack advertises, then waits for us; we wait for more of it."""
    pool = SshPool(KEY, account(), SHORT)
    try:
        stream = pool.open_command(server.target(1), Verb.RECEIVE)
        start = monotonic()
        with pytest.raises(Unreachable, match="stopped answering"):
            stream.read(1_000_000)
        assert monotonic() - start < SHORT.attempt_s + 1.0
        stream.close()
    finally:
        pool.close()


@pytest.mark.parametrize("offset", [0, 1, 10, 23, 60, 200, 600, 1200, 1700])
def test_a_connection_that_breaks_at_any_point_is_unreachable(
    server: SshServer, offset: int
) -> None:
    """A proxy hands over `offset` bytes of the server's answer and then hangs up."""

    def behave(near: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as far:
            to_server = threading.Thread(target=pump, args=(near, far, 1 << 30), daemon=True)
            to_server.start()
            pump(far, near, offset)
            to_server.join(5)

    pool = SshPool(KEY, account(), SHORT)
    with answering(behave) as port:
        start = monotonic()
        with pytest.raises(Unreachable):
            ask(pool, SshTarget(ServerId(1), "127.0.0.1", port, server.host_key))
        assert monotonic() - start < SHORT.attempt_s + 1.0
    pool.close()


def pump(source: socket.socket, sink: socket.socket, count: int) -> None:
    try:
        while count > 0 and (data := source.recv(min(count, 65536))):
            sink.sendall(data)
            count -= len(data)
        sink.shutdown(socket.SHUT_RDWR)
        source.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def test_the_probe_names_what_it_found(server: SshServer) -> None:
    def probe(port: int, key: Ed25519PrivateKey, pinned: str | None) -> str:
        return probe_ssh("127.0.0.1", port, key, account(), pinned, 3.0).cause

    assert probe(server.port, KEY, server.host_key) == "ok"
    assert probe(server.port, STRANGER, server.host_key) == "wrong key"
    assert probe(server.port, KEY, public_line(STRANGER)) == "wrong identity"
    assert probe(free_port(), KEY, server.host_key) == "refused"
    assert probe_ssh("x.invalid", 22, KEY, account(), None, 3.0).cause == "name not found"
    with answering(tell_http) as port:
        assert probe(port, KEY, server.host_key) == "not our program"


def test_the_probe_reads_an_unknown_host_key_without_logging_in(server: SshServer) -> None:
    log = server.state / "ssh" / "sshd.log"
    before = log.read_text().count("Accepted publickey")
    found = probe_ssh("127.0.0.1", server.port, KEY, account(), None, 3.0)
    assert found.cause == "ok"
    assert found.host_key == server.host_key
    assert log.read_text().count("Accepted publickey") == before
