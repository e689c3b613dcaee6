"""Accounts: the `user` blocks of the common configuration, read and rewritten.

Passwords are argon2id hashes, sealed; tokens are kept as their SHA-256 only.

Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from configrepo.model import Files
from configrepo.path_names import escape
from scheduler.ssh_keys import PublicKey, read_public_key
from scheduler.views import Role, SshKeyView, TokenView, UserView

FOLDER = "common/user/"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token of a user as the configuration holds it; `expires` is an ISO date."""

    name: str
    sha256: str
    expires: str


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A registered SSH key of a user."""

    name: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class UserBlock:
    """One `user` block. `password` is the sealed word, or None."""

    name: str
    role: Role
    password: str | None
    tokens: tuple[StoredToken, ...]
    lines: tuple[str, ...]
    ssh_keys: tuple[StoredKey, ...] = ()

    @property
    def view(self) -> UserView:
        """What a page shows of it."""
        tokens = tuple(TokenView(t.name, t.expires) for t in self.tokens)
        keys = tuple(SshKeyView(k.name, k.key.type, k.key.fingerprint) for k in self.ssh_keys)
        return UserView(self.name, self.role, self.password is not None, tokens, keys)


def path_of_user(name: str) -> str:
    """The file of a user."""
    return f"{FOLDER}{escape(name)}.conf"


def users_of(files: Files) -> tuple[UserBlock, ...]:
    """All users of a configuration, by name."""
    found = (read_user(text) for path, text in sorted(files.items()) if path.startswith(FOLDER))
    return tuple(found)


def find_user(files: Files, name: str) -> UserBlock | None:
    """The user with that name."""
    text = files.get(path_of_user(name))
    return None if text is None else read_user(text)


def read_user(text: str) -> UserBlock:
    """Read the canonical text of a `user` block. A user without a role may only look.

    A line with an SSH key that is none (the language does not look inside) is passed over.
    """
    opener, *children = (line.strip() for line in text.splitlines() if line.strip() != "!")
    role, password, tokens, keys = Role.VIEWER, None, [], []
    for words in (line.split() for line in children):
        match words:
            case ["role", word]:
                role = Role(word)
            case ["password", sealed]:
                password = sealed
            case ["token", name, "sha256", digest, "expires", expires]:
                tokens.append(StoredToken(name, digest, expires))
            case ["ssh-key", name, kind, key]:
                read = read_public_key(f"{kind} {key}")
                keys += [StoredKey(name, read)] if isinstance(read, PublicKey) else []
    return UserBlock(opener.split()[1], role, password, tuple(tokens), tuple(children), tuple(keys))


def rewritten(user: UserBlock, changes: Mapping[str, str | None]) -> str:
    """The text of a block with some children replaced.

    Args:
        user: the block as it is.
        changes: the first words of a child (`role`, `password`, `token NAME`) to its
            new line, or None to remove it.
    """
    kept = [line for line in user.lines if not any(_is_child(line, key) for key in changes)]
    added = [line for line in changes.values() if line is not None]
    return "".join([f"user {user.name}\n", *(f" {line}\n" for line in [*kept, *added])])


def _is_child(line: str, key: str) -> bool:
    return line == key or line.startswith(key + " ")


def token_digest(token: str) -> str:
    """The SHA-256 of a token in hexadecimal, as the configuration holds it."""
    return hashlib.sha256(token.encode()).hexdigest()


def holder_of(files: Files, token: str, today: date) -> UserBlock | None:
    """The user whose token this is and has not expired; all are compared, in constant time."""
    digest = token_digest(token)
    holders = [
        user
        for user, stored in _tokens(files)
        if hmac.compare_digest(stored.sha256.lower(), digest)
        and today <= date.fromisoformat(stored.expires)
    ]
    return holders[0] if holders else None


def _tokens(files: Files) -> Iterator[tuple[UserBlock, StoredToken]]:
    for user in users_of(files):
        for stored in user.tokens:
            yield user, stored
