"""Public SSH keys of people: a pasted line, read strictly, with its fingerprint.

A key ends up in a file that sshd trusts, so nothing of the pasted text is passed on but a
type of the list and the base64 of a key whose inside says the same type.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 8192
_RSA: Final = "ssh-rsa"
_RSA_BITS: Final = 2048
_FIXED: Final = {"ssh-ed25519": 32}
_CURVES: Final = {
    "ecdsa-sha2-nistp256": ("nistp256", 65),
    "ecdsa-sha2-nistp384": ("nistp384", 97),
    "ecdsa-sha2-nistp521": ("nistp521", 133),
}
_HARDWARE: Final = {
    "sk-ssh-ed25519@openssh.com": (32,),
    "sk-ecdsa-sha2-nistp256@openssh.com": (8, 65),
}
TYPES: Final = (*_FIXED, *_CURVES, *_HARDWARE, _RSA)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as OpenSSH writes it; the comment is not kept."""

    type: str
    base64: str

    @property
    def line(self) -> str:
        """Type and key, as they stand in a file of OpenSSH."""
        return f"{self.type} {self.base64}"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def read_public_key(text: str) -> PublicKey | str:
    """Read one pasted public key; returns a sentence if it is none."""
    text = text.strip()
    if "PRIVATE KEY" in text:
        return (
            "This is a private key: it must not leave its owner's machine. Paste the file that "
            "ends in .pub, and make a new pair if others could read this one."
        )
    if len(text) > LONGEST or "\n" in text or "\r" in text:
        return "Paste one key, which is one line: type, key, comment."
    words = text.split()
    if len(words) < 2 or words[0] not in TYPES:
        return f"A key begins with its type, which is one of {', '.join(TYPES)}."
    try:
        blob = base64.b64decode(words[1], validate=True)
        parts = _parts(blob)
    except (binascii.Error, ValueError):
        return "The key itself is damaged: copy the whole line of the .pub file."
    if base64.b64encode(blob).decode() != words[1]:
        return "The key itself is damaged: copy the whole line of the .pub file."
    problem = _wrong_inside(words[0], parts)
    return problem or PublicKey(words[0], words[1])


def _parts(blob: bytes) -> list[bytes]:
    """The strings of a key (RFC 4251, section 5)."""
    parts: list[bytes] = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError("a part is cut off")
        parts.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return parts


def _wrong_inside(kind: str, parts: list[bytes]) -> str | None:
    damaged = "The key itself is damaged: copy the whole line of the .pub file."
    if not parts or parts[0] != kind.encode():
        return damaged
    sizes = tuple(len(part) for part in parts[1:])
    if kind == _RSA:
        if len(sizes) != 2:
            return damaged
        bits = int.from_bytes(parts[2], "big").bit_length()
        return None if bits >= _RSA_BITS else f"An RSA key needs {_RSA_BITS} bits; this has {bits}."
    if kind in _CURVES:
        name, size = _CURVES[kind]
        return None if parts[1:2] == [name.encode()] and sizes[1:] == (size,) else damaged
    if kind in _HARDWARE:
        return None if sizes[:-1] == _HARDWARE[kind] else damaged
    return None if sizes == (_FIXED[kind],) else damaged
