"""The local administrator of one server: the way in before there is a cluster.

The account is called `admin`, lives in `local_admin.json` of the state directory (0600,
only an argon2id hash) and never enters Git. It is made at the first start with a
one-time code that is printed on the console; the first login with that code demands a
password, which then takes the code's place.

Edge: the state directory.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from bqngui.passwords import Passwords

NAME = "admin"
_FILE = "local_admin.json"
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no I, O, 0, 1: the code is typed from a console


@dataclass(frozen=True, slots=True)
class LocalAccount:
    """The stored account; `one_time` says that the hash is that of a one-time code."""

    password_hash: str
    one_time: bool


class LocalAdmin:
    """Reads and changes the local administrator of a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _FILE

    def account(self) -> LocalAccount | None:
        """The account as it is stored now; None if there is none."""
        try:
            stored = json.loads(self._path.read_text("utf-8"))
            return LocalAccount(str(stored["hash"]), bool(stored["one_time"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def store(self, account: LocalAccount) -> None:
        """Write the account; the old one stays intact if the write does not succeed."""
        text = json.dumps(
            {"version": 1, "hash": account.password_hash, "one_time": account.one_time}
        )
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, text.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        fresh.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def create(state_dir: Path) -> str:
    """Make (or reset) the local administrator; returns the one-time code for the console.

    The code has 100 bits, in four groups of five; it is accepted until a password is set.
    """
    code = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    LocalAdmin(state_dir).store(LocalAccount(Passwords().hashed(code), one_time=True))
    return code


def set_password(state_dir: Path, password: str) -> None:
    """Give the local administrator a password at once, without a one-time code."""
    LocalAdmin(state_dir).store(LocalAccount(Passwords().hashed(password), one_time=False))
