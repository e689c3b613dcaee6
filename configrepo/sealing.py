"""Seals secrets before they enter Git: AES-SIV, bound to the place in the configuration.

A token is `sealed:1:<key id>:<base64>`. Sealing is deterministic, so that an auditor and
the merge see whether a secret changed, and equal secrets at one place stay equal; the
clear text is padded so that short secrets look alike. A keyring holds one current key,
which seals, and all former ones, which only open. The file is 0600 and never in Git.

AES-SIV: RFC 5297. Padding: ISO/IEC 7816-4.

Edge: the random source and the keyring file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from configrepo.durable import write_file
from configrepo.errors import StoreError, UnknownKey

_VERSION = "1"
_KEY_BYTES = 64
_PADDED_TO = 64
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one server or cluster. Keys do not show in its `repr`.

    Attributes:
        current_key_id: the key that seals.
        keys: all keys by id, the current one included.
    """

    current_key_id: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a ring whose ids are not those of its keys."""
        if self.current_key_id not in self.keys:
            raise ValueError("the current key is not in the keyring")
        for name, key in self.keys.items():
            if len(key) != _KEY_BYTES or _id_of(key) != name:
                raise ValueError("a key of the keyring is damaged")
        object.__setattr__(self, "keys", MappingProxyType(dict(self.keys)))

    @classmethod
    def create(cls) -> Self:
        """A ring with one new key."""
        key = os.urandom(_KEY_BYTES)
        return cls(_id_of(key), {_id_of(key): key})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a ring that `save` wrote.

        Raises:
            StoreError: the file is missing or damaged.
        """
        try:
            return cls.from_json(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"the keyring {path} cannot be read: {error}") from error

    def save(self, path: Path) -> None:
        """Write the ring, readable by this account only, durably and atomically."""
        write_file(path, self.to_json().encode(), mode=0o600)

    # --- Seal and open ---------------------------------------------------------------

    def seal(self, path: str, key: str, clear: str) -> str:
        """The token for a secret at its place (`path` and `key` as in every report)."""
        sealed = self._cipher(self.current_key_id).encrypt(_padded(clear), _place(path, key))
        text = base64.b64encode(sealed).decode("ascii")
        return f"sealed:{_VERSION}:{self.current_key_id}:{text}"

    def open(self, path: str, key: str, token: str) -> str:
        """The secret of a token.

        Raises:
            UnknownKey: the token is not for this place, is damaged, or its key is unknown.
        """
        match token.split(":"):
            case ["sealed", version, name, text] if version == _VERSION and name in self.keys:
                try:
                    sealed = base64.b64decode(text, validate=True)
                    padded = self._cipher(name).decrypt(sealed, _place(path, key))
                    return padded.rstrip(b"\x00").removesuffix(b"\x80").decode("utf-8")
                except (InvalidTag, binascii.Error, ValueError) as error:
                    raise UnknownKey(f"the sealed value of {key} is not for this place") from error
        raise UnknownKey(f"no key of this server opens the sealed value of {key}")

    def _cipher(self, name: str) -> AESSIV:
        return AESSIV(self.keys[name])

    # --- Keys ------------------------------------------------------------------------

    def merged_with(self, other: Keyring) -> Self:
        """This ring with the keys of `other` to open; this one's current key still seals."""
        return type(self)(self.current_key_id, {**other.keys, **self.keys})

    def only(self, key_id: str) -> Self:
        """A ring of that one key."""
        return type(self)(key_id, {key_id: self.keys[key_id]})

    def with_new_key(self) -> tuple[Self, str]:
        """This ring with one more key, which only opens as yet, and the id of that key."""
        key = os.urandom(_KEY_BYTES)
        name = _id_of(key)
        return type(self)(self.current_key_id, {**self.keys, name: key}), name

    def sealing_with(self, key_id: str) -> Self:
        """The same keys with another current one; ValueError if it is not among them."""
        return type(self)(key_id, self.keys)

    def rotated(self) -> Self:
        """This ring with a new current key."""
        ring, name = self.with_new_key()
        return ring.sealing_with(name)

    def to_json(self) -> str:
        """The ring as text, keys in clear: for the keyring file and the join only."""
        keys = {name: base64.b64encode(key).decode("ascii") for name, key in self.keys.items()}
        return json.dumps({"format": _FORMAT, "current": self.current_key_id, "keys": keys})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The ring of `to_json`; ValueError if it is not one."""
        match json.loads(text):
            case {"format": 1, "current": str(current), "keys": dict(keys)}:
                try:
                    decoded = {
                        str(name): base64.b64decode(str(key), validate=True)
                        for name, key in keys.items()
                    }
                except binascii.Error as error:
                    raise ValueError("a key of the keyring is damaged") from error
                return cls(current, decoded)
        raise ValueError("not a keyring of this release")


def _id_of(key: bytes) -> str:
    """What names a key in tokens: says nothing about it, and a damaged key shows."""
    return hashlib.sha256(b"bqn-keyring-1" + key).hexdigest()[:12]


def _place(path: str, key: str) -> list[bytes]:
    return [_VERSION.encode(), path.encode(), key.encode()]


def _padded(clear: str) -> bytes:
    data = clear.encode("utf-8") + b"\x80"
    return data + b"\x00" * (-len(data) % _PADDED_TO)
