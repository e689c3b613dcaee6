"""The join code: one text that carries all that a joining server must know and prove.

The inviting server makes it, a person copies it over. It names the inviting server, its
address and ports, the fingerprints of its two keys, and a one-time secret of 128 bits
with which both sides prove that they know the code (control-plane C1). A checksum finds
copying mistakes before anything is sent.

Layout: version (1 byte), cluster id (16), server id (1), control port (2), SSH port (2),
SHA-256 of the control certificate (32), SHA-256 of the SSH host key (32), secret (16),
length of the address (1), address (UTF-8), CRC-32 (4); written as base32 in groups of
eight, separated by dashes.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from scheduler.beacon_signing import public_key
from scheduler.errors import JoinRefused

VERSION = 1
VALID_S = 900
_VOUCHED = b"bqn-join-enter-v1\0"
_FIXED = struct.Struct(">B16sBHH32s32s16sB")


@dataclass(frozen=True, slots=True)
class JoinCode:
    """What a join code says. Fingerprints are SHA-256 in 64 hexadecimal digits."""

    cluster_id: str
    id: ServerId
    address: str
    control_port: int
    ssh_port: int
    control_fingerprint: str
    ssh_fingerprint: str
    secret: bytes

    def __repr__(self) -> str:
        """Everything but the secret, so that no log can hold it."""
        return f"JoinCode(BQN {self.id} at {self.address}:{self.control_port})"


def write_code(code: JoinCode) -> str:
    """The text of a join code."""
    address = code.address.encode()
    packed = (
        _FIXED.pack(
            VERSION,
            bytes.fromhex(code.cluster_id),
            code.id,
            code.control_port,
            code.ssh_port,
            bytes.fromhex(code.control_fingerprint),
            bytes.fromhex(code.ssh_fingerprint),
            code.secret,
            len(address),
        )
        + address
    )
    packed += zlib.crc32(packed).to_bytes(4, "big")
    text = base64.b32encode(packed).decode().rstrip("=")
    return "-".join(text[i : i + 8] for i in range(0, len(text), 8))


def read_code(text: str) -> JoinCode:
    """Read a join code as a person pasted it; blanks, dashes and case do not matter.

    Raises:
        JoinRefused: it is not a whole join code of this version.
    """
    letters = "".join(text.split()).replace("-", "").upper()
    if len(letters) > 1000:
        raise JoinRefused("this is not a join code: it is too long")
    try:
        packed = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError) as error:
        raise JoinRefused("this is not a join code: copy all of it, without other text") from error
    body, checksum = packed[:-4], packed[-4:]
    if len(body) < _FIXED.size or zlib.crc32(body).to_bytes(4, "big") != checksum:
        raise JoinRefused("the join code is incomplete or has a wrong letter: copy all of it again")
    version, cluster, server, control, ssh, control_fp, ssh_fp, secret, length = _FIXED.unpack(
        body[: _FIXED.size]
    )
    address = body[_FIXED.size :]
    if version != VERSION or len(address) != length:
        raise JoinRefused("the join code was made by another release: update both servers first")
    return JoinCode(
        cluster_id=cluster.hex(),
        id=ServerId(server),
        address=address.decode("utf-8", "replace"),
        control_port=control,
        ssh_port=ssh,
        control_fingerprint=control_fp.hex(),
        ssh_fingerprint=ssh_fp.hex(),
        secret=secret,
    )


def host_key_digest(host_key: str) -> str:
    """The SHA-256 of an SSH host key (`TYPE BASE64`) in hexadecimal."""
    return hashlib.sha256(base64.b64decode(host_key.split()[1])).hexdigest()


def prove(secret: bytes, purpose: str, content: Mapping[str, object]) -> str:
    """HMAC-SHA256 over a purpose and the canonical JSON of a content, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(secret, f"bqn-join-v1\0{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def proven(secret: bytes, purpose: str, content: Mapping[str, object], proof: object) -> bool:
    """Whether `proof` is what `prove` gives; compared in constant time."""
    expected = prove(secret, purpose, content).encode()
    return isinstance(proof, str) and hmac.compare_digest(expected, proof.encode())


def vouch(key: Ed25519PrivateKey, proof: str) -> str:
    """The signature, by the key of the control port, of the server that proves something."""
    return base64.b64encode(key.sign(_VOUCHED + proof.encode())).decode("ascii")


def vouched(certificate: str, proof: object, signature: object) -> bool:
    """Whether the server with this certificate (base64 DER) has signed that proof."""
    if not isinstance(proof, str) or not isinstance(signature, str):
        return False
    try:
        key = public_key(certificate)
        if key is None:
            return False
        key.verify(base64.b64decode(signature, validate=True), _VOUCHED + proof.encode())
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
