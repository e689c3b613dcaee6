"""Signatures of commits: OpenSSH's SSHSIG format, composed and read in this process.

A commit is signed by the key of the server that made it, in the namespace `git`; any
clone verifies it with `git log --show-signature` and the `allowed_signers` of its tree.
Composing it here is forty times faster than a call of `ssh-keygen` and needs no file
with the key. Format: PROTOCOL.sshsig of OpenSSH.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from configrepo.revision import Person

NAMESPACE = b"git"
_MAGIC = b"SSHSIG"
_VERSION = 1
_KEY_TYPE = b"ssh-ed25519"
_BEGIN = "-----BEGIN SSH SIGNATURE-----"
_END = "-----END SSH SIGNATURE-----"


@dataclass(frozen=True, slots=True)
class Signer:
    """The server that commits: its name in the commit and the key that signs."""

    committer: Person
    key: Ed25519PrivateKey


def sign_commit(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The armored signature of a commit object's bytes (taken without `gpgsig`)."""
    signature = key.sign(_signed_data(payload, b"sha512"))
    blob = b"".join(
        (
            _MAGIC,
            struct.pack(">I", _VERSION),
            _string(_public_blob(key.public_key())),
            _string(NAMESPACE),
            _string(b""),
            _string(b"sha512"),
            _string(_string(_KEY_TYPE) + _string(signature)),
        )
    )
    text = base64.b64encode(blob).decode("ascii")
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END]).encode("ascii")


def signed_by(payload: bytes, armored: bytes) -> str | None:
    """The key that signed `payload`, as `ssh-ed25519 AAAA…`; None if the signature is not good.

    Whether that key may sign is the caller's question.
    """
    try:
        blob = _unarmored(armored)
        fields = _Reader(blob)
        fields.expect(_MAGIC + struct.pack(">I", _VERSION))
        public = fields.string()
        if fields.string() != NAMESPACE:
            return None
        fields.string()
        algorithm = fields.string()
        signature = _Reader(fields.string())
        key = _Reader(public)
        if key.string() != _KEY_TYPE or signature.string() != _KEY_TYPE:
            return None
        raw = key.string()
        Ed25519PublicKey.from_public_bytes(raw).verify(
            signature.string(), _signed_data(payload, algorithm)
        )
    except (ValueError, InvalidSignature):
        return None
    return f"{_KEY_TYPE.decode()} {base64.b64encode(public).decode()}"


def public_line(key: Ed25519PublicKey) -> str:
    """A public key as OpenSSH writes it, without a comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


class _Reader:
    """Reads the length-prefixed strings of a blob; ValueError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def expect(self, head: bytes) -> None:
        if not self._data.startswith(head):
            raise ValueError("not an SSH signature")
        self._data = self._data[len(head) :]

    def string(self) -> bytes:
        if len(self._data) < 4:
            raise ValueError("the signature ends too early")
        (length,) = struct.unpack(">I", self._data[:4])
        value = self._data[4 : 4 + length]
        if len(value) != length:
            raise ValueError("the signature ends too early")
        self._data = self._data[4 + length :]
        return value


def _unarmored(armored: bytes) -> bytes:
    lines = armored.decode("ascii").strip().splitlines()
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise ValueError("not an armored SSH signature")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _signed_data(payload: bytes, algorithm: bytes) -> bytes:
    if algorithm not in (b"sha256", b"sha512"):
        raise ValueError("unknown hash algorithm")
    digest = hashlib.new(algorithm.decode(), payload).digest()
    return _MAGIC + b"".join(_string(part) for part in (NAMESPACE, b"", algorithm, digest))


def _public_blob(key: Ed25519PublicKey) -> bytes:
    return _string(_KEY_TYPE) + _string(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value
