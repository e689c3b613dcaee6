"""Every cause that the doctor can name, provoked with real sockets and a real sshd."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.authorized_keys import KeyHolder
from scheduler.connectivity import PRODUCT
from scheduler.findings import Finding
from scheduler.member_check import Limits, Prober, standpoint
from scheduler.rpc import RpcServer
from scheduler.sshd import account
from tests.support.front_door import FrontDoor
from tests.support.identities import identity
from tests.support.sshd import SshServer, public_line

CLUSTER = "c" * 32
ZERO, ONE = ServerId(0), ServerId(1)
PATIENT = Limits(control_s=30.0, ssh_s=30.0, slow_s=30.0)
SHORT = Limits(control_s=0.5, ssh_s=0.5)
PROBER = Prober(identity(0), account(), PATIENT)

Answering = Callable[..., int]


def member(port: int, ssh_port: int = 1, address: str = "127.0.0.1", host_key: str = "") -> Member:
    return Member(ONE, "bqn1", address, ssh_port, port, identity(1).certificate_b64, host_key, "")


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Starts a program on a port that answers the probe as told; `keys` are its identity."""
    with contextlib.ExitStack() as stack:

        def start(
            keys: int = 1,
            knows: int = 0,
            route: str = "/probe",
            takes_s: float = 0.0,
            **answer: Any,
        ) -> int:
            said = {
                **{"product": PRODUCT, "id": 1, "version": "R5.0.0", "protocols": [1, 1]},
                **{"cluster": CLUSTER, "time": time.time(), **answer},
            }
            pins = {ServerId(knows): identity(knows).certificate_b64}

            def answered(*_: object) -> dict[str, Any]:
                threading.Event().wait(takes_s)
                return said

            routes = {route: answered}
            rpc = RpcServer(identity(keys), lambda: pins, routes, routes)
            door = FrontDoor(rpc.accept)
            stack.callback(rpc.stop)
            stack.callback(door.close)
            return door.port

        yield start


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def control(port: int, prober: Prober = PROBER, address: str = "127.0.0.1") -> Finding:
    return prober.control(member(port, address=address), CLUSTER)


def test_the_right_server_is_ok_with_its_round_trip(answering: Answering) -> None:
    found = control(answering())
    assert (found.cause, found.detail) == ("ok", "")


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        ({"time": 1_000_000.0}, "clock far off", "its clock differs by"),
        ({"protocols": [2, 3], "version": "R9"}, "version", "release R9 there"),
        ({"protocols": "new"}, "version", "no protocol in common"),
        ({"route": "/other"}, "version", "another release"),
        ({"product": "something"}, "not our program", ""),
        ({"knows": 2}, "not a member", ""),
        ({"keys": 2}, "wrong identity", ""),
        ({"keys": 2, "cluster": "d" * 32}, "other cluster", ""),
        ({"keys": 2, "id": 2}, "other server", "BQN 2 answers there, not BQN 1"),
        ({"keys": 2, "product": "something"}, "not our program", ""),
    ],
)
def test_whoever_answers_is_recognised(
    answering: Answering, answer: dict[str, Any], cause: str, words: str
) -> None:
    found = control(answering(**answer))
    assert found.cause == cause
    assert words in found.detail


def test_a_slow_answer_is_too_slow(answering: Answering) -> None:
    prober = replace(PROBER, limits=replace(PATIENT, slow_s=0.2))
    found = control(answering(takes_s=0.3), prober)
    assert (found.cause, found.reached) == ("too slow", True)
    assert found.ms >= 300


def test_a_closed_port_is_refused() -> None:
    assert control(free_port()).cause == "refused"
    assert PROBER.ssh(member(1, free_port())).cause == "refused"


@contextlib.contextmanager
def dropping() -> Iterator[int]:
    """A port that drops what comes, as a firewall does: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


def test_a_port_whose_packets_are_dropped_is_filtered() -> None:
    prober = replace(PROBER, limits=SHORT)
    with dropping() as port:
        assert control(port, prober).cause == "filtered"
        assert prober.ssh(member(1, port)).cause == "filtered"


def test_an_address_without_a_route_has_no_route() -> None:
    # TCP to a group address has no route on any machine.
    assert control(1, address="224.0.0.1").cause == "no route"
    assert PROBER.ssh(member(1, 22, "224.0.0.1")).cause == "no route"


def test_a_name_that_nobody_knows_is_not_found() -> None:
    assert control(1, address="no-such-name.invalid").cause == "name not found"
    assert PROBER.ssh(member(1, 22, "x..y")).cause == "name not found"


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a mail server."""
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
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_another_program_is_not_ours(stranger: int) -> None:
    assert control(stranger).cause == "not our program"
    assert PROBER.ssh(member(1, stranger)).cause == "not our program"


def test_a_port_that_stays_silent_does_not_answer() -> None:
    prober = replace(PROBER, limits=SHORT)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert control(port, prober).cause == "no answer"
        assert prober.ssh(member(1, port)).cause == "no answer"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    state = tmp_path_factory.mktemp("far")
    subprocess.run(["git", "init", "-q", "--bare", str(state / "config.git")], check=True)
    server = SshServer(state, (KeyHolder(ZERO, public_line(identity(0).private_key)),))
    yield server
    server.stop()


def over_ssh(sshd: SshServer, server: int = 0, host_key: str = "") -> Finding:
    prober = Prober(identity(server), account(), PATIENT)
    return prober.ssh(member(1, sshd.port, host_key=host_key or sshd.host_key))


def test_ssh_is_tried_up_to_the_gate(sshd: SshServer) -> None:
    assert over_ssh(sshd).cause == "ok"


def test_another_host_key_is_a_wrong_identity(sshd: SshServer) -> None:
    assert over_ssh(sshd, host_key=identity(1).ssh_public).cause == "wrong identity"


def test_a_key_that_is_not_let_in_is_a_wrong_key(sshd: SshServer) -> None:
    assert over_ssh(sshd, server=2).cause == "wrong key"


def test_a_login_without_our_gate_misses_the_gate(sshd: SshServer) -> None:
    before = sshd.keys.read_text()
    key = public_line(identity(0).private_key)
    sshd.keys.write_text(f'restrict,command="echo hello" {key}\n')
    try:
        assert over_ssh(sshd).cause == "gate missing"
    finally:
        sshd.keys.write_text(before)


def test_a_server_knows_which_of_its_addresses_are_translated() -> None:
    here = standpoint(["127.0.0.1"], "127.0.0.1")
    assert (here.inside, here.foreign) == ("127.0.0.1", ())
    there = standpoint(["192.0.2.77", "127.0.0.1", "192.0.2.5"], "127.0.0.1")
    assert there.foreign == ("192.0.2.5", "192.0.2.77")
    assert standpoint(["no-such-name.invalid"], "also.no-such-name.invalid").foreign == ()
