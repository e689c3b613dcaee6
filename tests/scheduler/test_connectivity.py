"""Each way in which a server cannot be reached has its cause, its sentence and its advice."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler import causes
from scheduler.connectivity import (
    PRODUCT,
    Expected,
    check_control,
    check_ssh,
    check_tcp,
)
from scheduler.rpc import RpcServer
from scheduler.views import Reach
from tests.support.front_door import FrontDoor
from tests.support.identities import identity


@pytest.fixture
def answering() -> Iterator[Callable[..., int]]:
    """Starts a server whose probe answers as given; tells its port."""
    with contextlib.ExitStack() as stack:

        def start(**answer: Any) -> int:
            said = {"product": PRODUCT, "id": 1, "version": "R5.0.0", "cluster": None, **answer}
            server = RpcServer(identity(1), dict, {}, {"/probe": lambda address, payload: said})
            door = FrontDoor(server.accept)
            stack.callback(server.stop)
            stack.callback(door.close)
            return door.port

        yield start


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a program that is not ours: it greets like a mail server."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"220 mail ESMTP\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _check(port: int, expected: Expected | None = None, address: str = "127.0.0.1") -> Reach:
    return check_control("BQN 0", "BQN 1", address, port, expected, timeout_s=3)


def test_a_server_that_answers_is_ok_and_needs_no_advice(answering: Callable[..., int]) -> None:
    port = answering(time=time.time())
    reach = _check(port, Expected(ServerId(1), identity(1).fingerprint, "c" * 32))
    assert (reach.ok, reach.cause, reach.advice) == (True, "ok", "")
    assert reach.sentence == "BQN 0: BQN 1 answers on its control port, release R5.0.0."
    assert (reach.source, reach.target, reach.what, reach.port) == (
        "BQN 0",
        "BQN 1",
        "control port",
        port,
    )


def test_a_wrong_clock_is_told_but_does_no_harm(answering: Callable[..., int]) -> None:
    reach = _check(answering(time=time.time() + 3600))
    assert reach.ok
    assert "its clock differs by 60 min" in reach.sentence


def test_a_closed_port_is_refused_with_the_rule_to_add() -> None:
    port = _free_port()
    reach = _check(port)
    assert (reach.ok, reach.cause) == (False, "refused")
    assert reach.sentence == (
        f"BQN 0 does not reach BQN 1 on its control port (127.0.0.1, TCP {port}): "
        "connection refused."
    )
    assert f"nft add rule inet filter input tcp dport {port} accept" in reach.advice


def test_another_program_is_recognised(stranger: int) -> None:
    assert _check(stranger).cause == "not our program"


def test_a_program_of_another_product_is_recognised(answering: Callable[..., int]) -> None:
    assert _check(answering(product="something")).cause == "not our program"


def test_a_forwarding_to_another_server_is_recognised(answering: Callable[..., int]) -> None:
    reach = _check(answering(id=2), Expected(ServerId(1)))
    assert reach.cause == "other server"
    assert "BQN 2 answers there, not BQN 1" in reach.sentence


def test_another_cluster_is_recognised(answering: Callable[..., int]) -> None:
    reach = _check(answering(cluster="d" * 32), Expected(cluster="c" * 32))
    assert reach.cause == "other cluster"


def test_another_certificate_is_recognised(answering: Callable[..., int]) -> None:
    reach = _check(answering(), Expected(fingerprint=identity(2).fingerprint))
    assert reach.cause == "wrong identity"
    assert "Compare the fingerprints" in reach.advice


@pytest.mark.parametrize("address", ["no-such-name.invalid", "a" * 70 + ".invalid", "x..y"])
def test_a_name_that_nobody_knows_is_named_so(address: str) -> None:
    assert _check(1, address=address).cause == "name not found"


def test_a_port_that_accepts_and_stays_silent_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reach = check_control(
            "BQN 0", "BQN 1", "127.0.0.1", listener.getsockname()[1], timeout_s=0.5
        )
    assert reach.cause == "no answer"


def test_a_tcp_check_says_what_was_looked_at(stranger: int) -> None:
    assert check_tcp("BQN 0", "BQN 1", "127.0.0.1", stranger, "SSH").ok
    reach = check_tcp("BQN 0", "BQN 1", "127.0.0.1", _free_port(), "SSH")
    assert (reach.what, reach.cause) == ("SSH", "refused")


def test_ssh_that_is_not_there_or_is_no_ssh_is_told(stranger: int) -> None:
    port = _free_port()
    reach = check_ssh("BQN 0", "BQN 1", "127.0.0.1", port)
    assert (reach.what, reach.cause, reach.port) == ("SSH", "refused", port)
    assert not check_ssh("BQN 0", "BQN 1", "127.0.0.1", stranger, timeout_s=2).ok


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused"),
        (TimeoutError("timed out"), "filtered"),
        (OSError(errno.ETIMEDOUT, "x"), "filtered"),
        (OSError(errno.EPERM, "x"), "filtered"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route"),
        (OSError(errno.ENETUNREACH, "x"), "no route"),
        (socket.gaierror(-2, "x"), "name not found"),
        (UnicodeError("x"), "name not found"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "not our program"),
        (ssl.SSLCertVerificationError("x"), "wrong identity"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] x"), "not a member"),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] x"), "not a member"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), "not our program"),
        (OSError(errno.EIO, "x"), "no answer"),
        (RuntimeError("x"), "no answer"),
    ],
)
def test_every_failure_has_one_cause(error: Exception, cause: str) -> None:
    assert causes.cause_of(error) == cause


@pytest.mark.parametrize(
    "cause",
    [
        value
        for name, value in vars(causes).items()
        if name.isupper() and isinstance(value, str) and not name.startswith("_")
    ],
)
def test_every_cause_has_words_and_advice_without_holes(cause: str) -> None:
    assert causes.said(cause)
    advice = causes.advice(cause, "10.0.0.1", 63501)
    assert "{" not in advice
    assert bool(advice) is (cause != causes.OK)
