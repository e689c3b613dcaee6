"""The control port against strangers, liars and the dead: no healthy server changes its role."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from configrepo.model import ServerId
from scheduler import tls
from scheduler.beacon_signing import private_key, signed
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon, Relay
from scheduler.frames import MAX_BYTES, BadFrame, Frames, encode
from scheduler.messages import Bye, Hello, Ping, Pong, UnknownType, from_json, to_json
from tests.support.control_rooms import CLUSTER, Member, Room
from tests.support.identities import identity

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

HEALTHY = (0, 1)
ABSENT, REMOVED, LIAR, FUZZED, STRANGER = 3, 4, 5, 6, 9


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, Room]]:
    """BQN 0 leads, BQN 1 follows; BQN 3, 5 and 6 are away (tests play them), BQN 4 was removed."""
    made = [Room(number, tmp_path_factory.mktemp(f"room{number}")) for number in HEALTHY]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = listener.getsockname()[1]
    away = [
        Member(ServerId(number), "127.0.0.1", nowhere, identity(number).certificate_b64, state)
        for number, state in (
            (ABSENT, "active"),
            (LIAR, "active"),
            (FUZZED, "active"),
            (REMOVED, "removed"),
        )
    ]
    members = (*(room.member() for room in made), *away)
    for number, room in enumerate(made):
        room.room.set_members(members, CLUSTER, founding=number == 0)
    made[0].wait(lambda view: view.role is ControlRole.PRIMARY, 60.0)
    made[1].wait(lambda view: view.following == 0, 60.0)
    yield made[0], made[1]
    for room in made:
        room.stop()


@pytest.fixture(autouse=True)
def _roles_stay(rooms: tuple[Room, Room]) -> Iterator[None]:
    """No test of this file may change who leads, or make one healthy server lose the other."""
    zero, one = rooms
    terms = zero.view.epoch
    said = len(one.sentences)
    yield
    assert (zero.view.role, zero.view.epoch) == (ControlRole.PRIMARY, terms)
    assert (one.view.role, one.view.following) == (ControlRole.SECONDARY, 0), one.sentences[said:]
    assert state_of(zero, 1) == state_of(one, 0) == "alive"


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
    return socket.create_connection(("127.0.0.1", room.room.port), 30, source_address=source)


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


boots = iter(range(1000, 100_000))


# --- frames -----------------------------------------------------------------------------


def fuzzed(random: Random, number: int) -> bytes:
    """A frame: damaged, out of grammar, or noise."""
    kind = number % 4
    if kind == 0:
        return random.randbytes(random.randrange(0, 200))
    whole = bytearray(
        random.choice(
            (hello(FUZZED, number), ping(FUZZED, number), encode(to_json(Bye(True, number))))
        )
    )
    if kind == 1:
        for _ in range(random.randrange(1, 4)):
            whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    elif kind == 2:
        at = random.randrange(4, len(whole))
        body = whole[4:at] + random.randbytes(random.randrange(0, 30)) + whole[at:]
        whole = bytearray(len(body).to_bytes(4, "big") + body)
    else:
        values: tuple[Any, ...] = (
            None,
            -1,
            2**53,
            2**70,
            1e300,
            "x" * 300,
            [],
            [[[[[[[]]]]]]],
            {"a": {}},
            True,
        )
        value = json.loads(whole[4:])
        value[random.choice([*value, "new"])] = random.choice(values)
        body = bytearray(json.dumps(value).encode())
        whole = bytearray(len(body).to_bytes(4, "big") + body)
    return bytes(whole)


def test_no_frame_does_more_than_be_read_or_be_refused(full: bool) -> None:
    random, counts = Random(7), {"read": 0, "refused": 0, "unknown": 0, "incomplete": 0}
    count = 1_000_000 if full else 50_000
    for number in range(count):
        frames = Frames(MAX_BYTES)
        try:
            found = list(frames.feed(fuzzed(random, number)))
            for value in found:
                from_json(value)
            counts["read" if found else "incomplete"] += 1
        except BadFrame:
            counts["refused"] += 1
        except UnknownType:
            counts["unknown"] += 1
    print(f"{count} frames in process: {counts}")
    assert counts["read"] > 0
    assert counts["refused"] > count / 4


def test_damaged_frames_over_tls_end_the_connection_and_nothing_else(
    rooms: tuple[Room, Room], full: bool
) -> None:
    """Before and after HELLO; many frames go over each connection, until it is ended."""
    zero, _ = rooms
    random, sent, connections = Random(8), 0, 0
    context = client_context(identity(FUZZED).control_pem)
    goal = 50_000 if full else 5_000
    while sent < goal:
        connections += 1
        with contextlib.suppress(OSError), Line(zero, context) as line:
            if connections % 4:
                line.say(hello(FUZZED, next(boots)))
                assert line.hear_kind("HELLO") is not None
            for _ in range(10):
                line.say(encode({"t": f"NEW-{random.randrange(99)}", "n": random.random()}))
            for _ in range(5):
                line.say(fuzzed(random, sent))
                sent += 3
            line.say(bytes(4))
            line.tls.settimeout(1.0)
            while line.hear() is not None:
                pass
    print(f"{sent} frames over {connections} connections")


# --- certificates -----------------------------------------------------------------------


def certificate(folder: Path, name: str, begins: datetime, ends: datetime) -> Path:
    """A self-signed certificate of a key that nobody pinned."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def greeting(room: Room, context: ssl.SSLContext, data: bytes) -> dict[str, Any] | None:
    """What a caller is told after its HELLO; None if nothing."""
    try:
        with Line(room, context) as line:
            line.say(data)
            return line.hear()
    except OSError:
        return None


@pytest.mark.parametrize(
    "case", ["none", "another server's", "expired", "not yet valid", "foreign", "TLS 1.2"]
)
def test_a_wrong_certificate_gets_no_hello(
    rooms: tuple[Room, Room], tmp_path: Path, case: str
) -> None:
    now, year = datetime.now(UTC), timedelta(days=365)
    context = client_context(None)
    match case:
        case "another server's":
            context = client_context(identity(STRANGER).control_pem)
        case "expired":
            context = client_context(certificate(tmp_path, "bqn-3", now - 2 * year, now - year))
        case "not yet valid":
            context = client_context(certificate(tmp_path, "bqn-3", now + year, now + 2 * year))
        case "foreign":
            context = client_context(certificate(tmp_path, "bqn-3", now - year, now + year))
        case "TLS 1.2":
            context = client_context(identity(ABSENT).control_pem)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
    for room in rooms:
        for _ in range(5):
            assert greeting(room, context, hello(ABSENT)) is None


@pytest.mark.parametrize("claimed", [0, 1, REMOVED, STRANGER, 255])
def test_a_right_certificate_with_a_wrong_id_is_told_so(
    rooms: tuple[Room, Room], claimed: int
) -> None:
    context = client_context(identity(ABSENT).control_pem)
    for room in rooms:
        said = greeting(room, context, hello(claimed))
        assert said == {"t": "ERR", "code": "wrong-identity"}


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api HTTP/1.0\r\n\r\n",
        b"\x00" * 2000,
        hello(ABSENT),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01" + b"\x00" * 517,
    ],
)
def test_what_is_no_tls_gets_no_answer(rooms: tuple[Room, Room], first: bytes) -> None:
    zero, _ = rooms
    with socket.create_connection(("127.0.0.1", zero.room.port), 30) as raw:
        with contextlib.suppress(OSError):
            raw.sendall(first)
            raw.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            # At most the alert of TLS, which is seven bytes.
            assert len(raw.recv(4096)) <= 7


def test_another_cluster_is_named_and_changes_nothing(rooms: tuple[Room, Room]) -> None:
    for room in rooms:
        context = client_context(identity(ABSENT).control_pem)
        for number in range(10):
            said = greeting(room, context, hello(ABSENT, cluster=f"{number:032x}"))
            assert said == {"t": "ERR", "code": "other-cluster"}
    assert state_of(rooms[0], ABSENT) != "alive"


def test_a_removed_server_that_returns_is_told_and_not_heard(rooms: tuple[Room, Room]) -> None:
    for room in rooms:
        context = client_context(identity(REMOVED).control_pem)
        for boot in range(1, 11):
            said = greeting(room, context, hello(REMOVED, boot))
            assert said == {"t": "ERR", "code": "removed"}


# --- replays, clones, time running backwards ------------------------------------------------


def seen(room: Room, states: tuple[str, ...]) -> bool:
    return state_of(room, ABSENT) in states


def wait_until_gone(room: Room) -> None:
    room.wait(lambda _: not seen(room, ("alive", "suspect", "indirect")), 60.0)


def secondary(number: int, boot: int, seq: int) -> Beacon:
    return Beacon(ServerId(number), boot, seq, ControlRole.SECONDARY, 0, 0)


def answer_until(line: Line, kind: str, answer: Beacon) -> None:
    """Answer heartbeats as a server that lives, until a frame of that kind has come."""
    while (frame := line.hear()) is not None:
        if frame["t"] == "PING":
            line.say(encode(to_json(Pong(frame["n"], answer))))
        if frame["t"] == kind:
            return
    raise AssertionError("the session ended")


def test_replayed_beacons_do_not_keep_a_dead_server_alive(
    rooms: tuple[Room, Room], full: bool
) -> None:
    """A member that lies passes on what BQN 3 really said and signed while it lived."""
    zero, _ = rooms
    key = private_key(identity(ABSENT).control_pem.read_bytes())
    boot, mine = next(boots), next(boots)
    said = [signed(secondary(ABSENT, boot, seq), CLUSTER, key) for seq in range(1, 12)]
    recorded, later = said[:10], said[10]
    with greeted(zero, ABSENT, boot, "run") as line:
        answer_until(line, "PING", recorded[9])
        zero.wait(lambda _: seen(zero, ("alive",)), 60.0)
    wait_until_gone(zero)
    count = 1000 if full else 200
    with greeted(zero, LIAR, mine, "liar") as line:

        def pass_on(beacon: Beacon, seq: int) -> None:
            own = secondary(LIAR, mine, seq)
            line.say(encode(to_json(Ping(seq, own, (Relay(beacon, 0.0),)))))
            answer_until(line, "PONG", own)

        # It counts only once it has answered.
        answer_until(line, "PING", secondary(LIAR, mine, 0))
        zero.wait(lambda _: state_of(zero, LIAR) == "alive", 60.0)
        for seq in range(count):
            older = recorded[seq % 10]
            pass_on((older, replace(older, seq=seq + 1000))[seq % 2], seq + 1)
            assert not seen(zero, ("alive", "suspect", "indirect"))
        # What it had not heard yet counts: the way works.
        pass_on(later, count + 1)
        zero.wait(lambda _: seen(zero, ("indirect",)), 60.0)
    wait_until_gone(zero)
    print(f"{count} replayed or altered beacons, none counted; a newer one did")


def test_two_servers_with_one_key_are_a_clone_and_a_new_start_settles_it(
    rooms: tuple[Room, Room],
) -> None:
    zero, _ = rooms
    boot = next(boots)
    with greeted(zero, ABSENT, boot, "the one") as line:
        line.say(ping(ABSENT, 1, boot))
        assert line.hear_kind("PONG") is not None
        for _ in range(20):
            said = greeting(
                zero, client_context(identity(ABSENT).control_pem), hello(ABSENT, boot, "the copy")
            )
            assert said is None or said["t"] in ("HELLO", "ERR")
        zero.wait(lambda _: seen(zero, ("clone",)), 60.0)
    later = next(boots)
    with greeted(zero, ABSENT, later, "mended") as line:
        line.say(ping(ABSENT, 1, later))
        assert line.hear_kind("PONG") is not None
        zero.wait(lambda _: not seen(zero, ("clone",)), 60.0)


def test_a_restored_copy_whose_starts_count_back_is_a_clone(rooms: tuple[Room, Room]) -> None:
    zero, _ = rooms
    older, newer, newest = next(boots), next(boots), next(boots)
    with greeted(zero, ABSENT, newer, "now") as line:
        line.say(ping(ABSENT, 1, newer))
        assert line.hear_kind("PONG") is not None
    context = client_context(identity(ABSENT).control_pem)
    for _ in range(20):
        said = greeting(zero, context, hello(ABSENT, older, "restored"))
        assert said is None or said["t"] in ("HELLO", "ERR")
    zero.wait(lambda _: seen(zero, ("clone",)), 60.0)
    with greeted(zero, ABSENT, newest, "mended") as line:
        line.say(ping(ABSENT, 1, newest))
        assert line.hear_kind("PONG") is not None
        zero.wait(lambda _: not seen(zero, ("clone",)), 60.0)


# --- many and slow -------------------------------------------------------------------------


def test_two_hundred_slow_connections_before_and_after_hello_delay_nobody(
    rooms: tuple[Room, Room], full: bool
) -> None:
    zero, _ = rooms
    each = 170 if full else 67
    began, said = time.monotonic(), len(zero.sentences)
    context = client_context(identity(ABSENT).control_pem)
    with contextlib.ExitStack() as stack:
        secured, boot = [], next(boots)
        for _ in range(each):
            line = stack.enter_context(Line(zero, context))
            line.say(hello(ABSENT, boot, "slow"))
            assert line.hear_kind("HELLO") is not None
            secured.append(line)
        # The port lets in only so many that have not said who they are.
        for _ in range(each):
            with contextlib.suppress(OSError):
                secured.append(stack.enter_context(Line(zero, context)))
        raw = [stack.enter_context(connected(zero)) for _ in range(each)]
        whole = ping(ABSENT, 1, boot)
        for at in range(8):
            for one in raw:
                with contextlib.suppress(OSError):
                    one.sendall(bytes([(0x16, 0x03, 0x01)[at % 3]]))
            for line in secured:
                with contextlib.suppress(OSError):
                    line.say(whole[at : at + 1])
            asked = datetime.now(UTC)
            wait_for_contact(zero, 1, asked)
            wait_for_contact(rooms[1], 0, asked)
    took = time.monotonic() - began
    print(f"{each} before TLS, {len(secured) - each} before HELLO, {each} after it: {took:.1f} s")
    assert [one for one in zero.sentences[said:] if "BQN 1" in one] == []
