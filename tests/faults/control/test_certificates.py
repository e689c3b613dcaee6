"""Who shows a wrong certificate, or speaks something else, is not heard at the control port."""

from __future__ import annotations

import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.faults.control.lines import (
    ABSENT,
    REMOVED,
    STRANGER,
    client_context,
    greeting,
    hello,
    state_of,
)
from tests.support.control_rooms import Room
from tests.support.identities import identity

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]


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
