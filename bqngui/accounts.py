"""Finds the account behind a login name: the local administrator or a `user` block.

The name `admin` is always the local administrator of this server, also when the
configuration has a user of that name: it must work when the configuration is broken.

Core.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bqngui import local_admin
from bqngui.shell import Shell
from scheduler.views import Person, Role


@dataclass(frozen=True, slots=True)
class Login:
    """An account that can log in.

    `stamp` changes with role and password, so that older sessions end; `one_time` says
    that the password is the one-time code of the console.
    """

    name: str
    role: Role
    local: bool
    password_hash: str
    one_time: bool = False

    @property
    def stamp(self) -> str:
        """A digest of what a session depends on."""
        text = f"{self.role.value}\n{self.password_hash}"
        return hashlib.sha256(text.encode()).hexdigest()

    def person(self, address: str) -> Person:
        """Who acts, at that address."""
        return Person(self.name, self.role, address, self.local)


def find(shell: Shell, name: str) -> Login | None:
    """The account that a login name stands for; None if there is none with a password."""
    if name == local_admin.NAME:
        return _local(shell)
    account = shell.desk.account(name)
    if account is None or account.password_hash is None:
        return None
    return Login(account.name, account.role, local=False, password_hash=account.password_hash)


def _local(shell: Shell) -> Login | None:
    stored = shell.local_admin.account()
    if stored is None:
        return None
    return Login(local_admin.NAME, Role.ADMINISTRATOR, True, stored.password_hash, stored.one_time)
