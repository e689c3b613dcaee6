from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from scheduler.ssh_socket import SshSocket, dial
from tests.support.sshd import free_port

DEADLINE_S = 60.0


def let(_: SshSocket) -> None:
    """Hold nothing."""


@pytest.fixture
def full() -> Iterator[int]:
    """A port whose queue of connections is full: nothing answers a new one."""
    with socket.socket() as listener, ExitStack() as kept:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for _ in range(4):
            sock = kept.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        yield port


def test_what_came_at_once_is_read_in_portions() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = dial("127.0.0.1", listener.getsockname()[1], monotonic() + DEADLINE_S, let)
        far, _ = listener.accept()
        with near, far:
            far.sendall(b"one two")
            far.shutdown(socket.SHUT_WR)
            told = b""
            while len(told) < 7:
                piece = near.recv(2)
                assert len(piece) in (1, 2)
                told += piece
            assert told == b"one two"
            assert near.recv(2) == b""


def test_a_reader_is_woken_when_somebody_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = dial("127.0.0.1", listener.getsockname()[1], monotonic() + DEADLINE_S, let)
        far, _ = listener.accept()
        with near, far:
            # Through the reader's own wish it would sleep for ever.
            near.settimeout(None)
            read: list[bytes] = []
            reader = threading.Thread(target=lambda: read.append(near.recv(10)))
            reader.start()
            near.hang_up()
            reader.join(DEADLINE_S)
            assert read == [b""]


def test_a_connect_that_nothing_answers_ends_at_its_time(full: int) -> None:
    with pytest.raises(TimeoutError):
        dial("127.0.0.1", full, monotonic() + 0.1, let)


def test_a_connect_can_be_hung_up_from_another_thread(full: int) -> None:
    held: list[SshSocket] = []
    begun = threading.Event()
    ended = threading.Event()

    def hold(sock: SshSocket) -> None:
        held.append(sock)
        begun.set()

    def run() -> None:
        with suppress(OSError):
            dial("127.0.0.1", full, monotonic() + 300, hold).close()
        ended.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(DEADLINE_S)
    held[0].hang_up()
    assert ended.wait(DEADLINE_S)
    thread.join(DEADLINE_S)


def test_a_refused_connect_is_told_as_such() -> None:
    with pytest.raises(ConnectionRefusedError):
        dial("127.0.0.1", free_port(), monotonic() + DEADLINE_S, let)


def test_whoever_holds_the_socket_may_break_off() -> None:
    def refuse(_: SshSocket) -> None:
        raise KeyError("closed")

    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(KeyError):
        dial("127.0.0.1", listener.getsockname()[1], monotonic() + DEADLINE_S, refuse)
