"""The part of the desk in memory that commits, and the user blocks that it writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from configrepo.model import Files
from scheduler.accounts import read_user
from scheduler.views import (
    Account,
    CommitOutcome,
    Committed,
    Disagreed,
    Overview,
    Person,
    Refused,
    Role,
    TokenMade,
    TokenView,
    UserView,
)
from tests.support import fake_scenes as scenes
from tests.support.fake_history import FakeHistory


class FakeUsers:
    """Commits in memory; users and tokens are blocks of the newest one.

    `refusal` makes every write be refused with that sentence; `hashes` are the passwords.
    """

    def __init__(self, view: Overview, files: Files) -> None:
        self.view = view
        self.refusal: str | None = None
        self.hashes: dict[str, str] = {}
        self._commits = FakeHistory(scenes.NOW)
        self._requests: dict[str, Committed] = {}
        self._token_hashes: dict[tuple[str, str], str] = {}
        self._write(files, "system", "Factory default and this server's own configuration")

    def account(self, name: str) -> Account | None:
        """The account of a user block."""
        user = next((u for u in self.users() if u.name == name), None)
        return Account(user.name, user.role, self.hashes.get(name)) if user else None

    def token_account(self, token: str) -> Account | None:
        """The account whose token this is."""
        wanted = hashlib.sha256(token.encode()).hexdigest()
        name = next((n for (n, _), kept in self._token_hashes.items() if kept == wanted), None)
        return self.account(name) if name is not None else None

    def users(self) -> tuple[UserView, ...]:
        """All user blocks."""
        tree = self._commits.tree()
        return tuple(
            _user(text, self.hashes)
            for p, text in sorted(tree.items())
            if p.startswith("common/user/")
        )

    def put_user(
        self, person: Person, name: str, role: Role, password_hash: str | None, request_id: str
    ) -> CommitOutcome:
        """Add or change a user block."""
        if request_id in self._requests or self.refusal:
            return self._repeated(request_id, "")
        path = f"common/user/{name}.conf"
        old = self._commits.tree().get(path, "").splitlines()[1:]
        tokens = [x for x in old if x.startswith((" token ", " ssh-key "))]
        if password_hash is not None:
            self.hashes[name] = password_hash
        text = "\n".join([f"user {name}", f" role {role}", *tokens]) + "\n"
        tree = self._commits.tree() | {path: text}
        return self._commit(person, tree, f"Set user {name}", request_id)

    def change_own_password(
        self, person: Person, password_hash: str, request_id: str
    ) -> CommitOutcome:
        """Change the password of a user block."""
        account = self.account(person.name)
        if account is None:
            return Refused(f"There is no user {person.name}.")
        return self.put_user(person, person.name, account.role, password_hash, request_id)

    def create_token(
        self, person: Person, user: str, name: str, days: int, request_id: str
    ) -> TokenMade | Refused | Disagreed:
        """Make a token; its text is derived from its name."""
        path = f"common/user/{user}.conf"
        tree = self._commits.tree()
        if self.refusal or path not in tree:
            return Refused(self.refusal or f"There is no user {user}.")
        text = f"bqn_{user}_{name}_{len(self._commits.revisions)}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._token_hashes[user, name] = digest
        expires = (scenes.NOW + timedelta(days=days)).date().isoformat()
        line = f" token {name} sha256 {digest} expires {expires}\n"
        commit = self._commit(
            person, tree | {path: tree[path] + line}, f"Token {name} of {user}", request_id
        )
        return TokenMade(user, name, text, expires, commit)

    def revoke_token(self, person: Person, user: str, name: str, request_id: str) -> CommitOutcome:
        """Remove a token line."""
        if request_id in self._requests or self.refusal:
            return self._repeated(request_id, "")
        path = f"common/user/{user}.conf"
        lines = self._commits.tree().get(path, "").splitlines(keepends=True)
        self._token_hashes.pop((user, name), None)
        text = "".join(x for x in lines if not x.startswith(f" token {name} "))
        tree = self._commits.tree() | {path: text}
        return self._commit(person, tree, f"Revoke token {name} of {user}", request_id)

    def put_key(
        self, person: Person, user: str, name: str, line: str, request_id: str
    ) -> CommitOutcome:
        """Replace the line of an SSH key, or (empty) remove it."""
        if request_id in self._requests or self.refusal:
            return self._repeated(request_id, "")
        path = f"common/user/{user}.conf"
        lines = self._commits.tree()[path].splitlines(keepends=True)
        text = "".join(x for x in lines if not x.startswith(f" ssh-key {name} ")) + line
        tree = self._commits.tree() | {path: text}
        return self._commit(person, tree, f"SSH key {name} of {user}", request_id)

    @property
    def head(self) -> str:
        """The newest commit."""
        return self._commits.head

    def newest_files(self) -> Files:
        """The files of the newest commit."""
        return self._commits.tree()

    def commit_tree(
        self, person: Person, tree: dict[str, str], message: str, request_id: str
    ) -> CommitOutcome:
        """Commit a tree once."""
        if request_id in self._requests or self.refusal:
            return self._repeated(request_id, "")
        return self._commit(person, tree, message, request_id)

    def _write(self, tree: Files, author: str, message: str) -> str:
        committer = (self.view.name, self.view.me)
        return self._commits.write(tree, author, message, committer, self.view.term)

    def _commit(
        self, person: Person, tree: dict[str, str], message: str, request_id: str
    ) -> Committed:
        revision = self._write(tree, person.name, message)
        writer = self.view.me if self.view.primary is None else self.view.primary
        done = Committed(revision, writer, f"Committed on BQN {writer}.")
        self._requests[request_id] = replace(done, repeated=True)
        return done

    def _repeated(self, request_id: str, otherwise: str) -> CommitOutcome:
        return self._requests.get(request_id) or Refused(self.refusal or otherwise)


def _user(text: str, hashes: Mapping[str, str]) -> UserView:
    opener, *lines = text.splitlines()
    name = opener.split()[1]
    role = next((Role(x.split()[1]) for x in lines if x.startswith(" role ")), Role.VIEWER)
    words = [x.split() for x in lines if x.startswith(" token ")]
    tokens = tuple(TokenView(w[1], w[5]) for w in words)
    return UserView(name, role, name in hashes, tokens, read_user(text).view.ssh_keys)
