"""Users and tokens, as one commit each.

Core: works on the commit path.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import date, timedelta

from configrepo.errors import UnknownKey
from configrepo.model import Files
from scheduler.accounts import (
    UserBlock,
    find_user,
    holder_of,
    path_of_user,
    rewritten,
    token_digest,
    users_of,
)
from scheduler.submission import Submission
from scheduler.views import (
    Account,
    CommitOutcome,
    Committed,
    Disagreed,
    Person,
    Refused,
    Role,
    TokenMade,
    UserView,
)
from scheduler.wire import ChangeRequest

_log = logging.getLogger(__name__)

TOKEN_PREFIX = "bqn_"  # noqa: S105 - a marker that secret scanners can look for


class People:
    """The accounts of the common configuration.

    Args:
        files: the newest configuration with the id of its commit.
        seal: seals a password hash for the `user` block at a path.
        unseal: opens the sealed word of a `user` block at a path.
    """

    def __init__(
        self,
        submission: Submission,
        files: Callable[[], tuple[str, Files]],
        seal: Callable[[str, str, str], str],
        unseal: Callable[[str, str, str], str],
        today: Callable[[], date],
    ) -> None:
        self._submission = submission
        self._files = files
        self._seal = seal
        self._unseal = unseal
        self._today = today

    def account(self, name: str) -> Account | None:
        """See `Desk.account`."""
        user = find_user(self._files()[1], name)
        if user is None:
            return None
        return Account(user.name, user.role, self._opened(user))

    def _opened(self, user: UserBlock) -> str | None:
        if user.password is None:
            return None
        try:
            return self._unseal(path_of_user(user.name), "password", user.password)
        except UnknownKey:
            _log.error("the password of user %s is sealed with a key that is not here", user.name)
            return None

    def token_account(self, token: str) -> Account | None:
        """See `Desk.token_account`."""
        user = holder_of(self._files()[1], token, self._today())
        return None if user is None else Account(user.name, user.role, None)

    def users(self) -> tuple[UserView, ...]:
        """See `Desk.users`."""
        return tuple(user.view for user in users_of(self._files()[1]))

    def put_user(
        self, person: Person, name: str, role: Role, password_hash: str | None, request_id: str
    ) -> CommitOutcome:
        """See `Desk.put_user`."""
        changes: dict[str, str | None] = {"role": f"role {role}"}
        if password_hash is not None:
            changes["password"] = self._password(name, password_hash)
        known = find_user(self._files()[1], name) is not None
        verb = "Change" if known else "Add"
        return self._rewrite(
            person, name, changes, f"{verb} user {name} ({role})", request_id, False
        )

    def change_own_password(
        self, person: Person, password_hash: str, request_id: str
    ) -> CommitOutcome:
        """See `Desk.change_own_password`."""
        if find_user(self._files()[1], person.name) is None:
            return Refused(f"There is no user {person.name!r} any more.")
        changes = {"password": self._password(person.name, password_hash)}
        message = f"Change the password of {person.name}"
        return self._rewrite(person, person.name, changes, message, request_id, True)

    def create_token(
        self, person: Person, user: str, name: str, days: int, request_id: str
    ) -> TokenMade | Refused | Disagreed:
        """See `Desk.create_token`."""
        found = find_user(self._files()[1], user)
        if found is None:
            return Refused(f"There is no user {user!r}: add it first.")
        if any(token.name == name for token in found.tokens):
            return Refused(
                f"{user} has a token {name!r} already: revoke it, or choose another name."
            )
        text = TOKEN_PREFIX + secrets.token_urlsafe(32)
        expires = (self._today() + timedelta(days=days)).isoformat()
        line = f"token {name} sha256 {token_digest(text)} expires {expires}"
        outcome = self._rewrite(
            person, user, {f"token {name}": line}, f"Make token {name} of {user}", request_id, False
        )
        if isinstance(outcome, Committed) and not outcome.repeated:
            return TokenMade(user, name, text, expires, outcome)
        if isinstance(outcome, Committed):
            return Refused("This token was already made, and its text is shown only once.")
        return outcome

    def revoke_token(self, person: Person, user: str, name: str, request_id: str) -> CommitOutcome:
        """See `Desk.revoke_token`."""
        message = f"Revoke token {name} of {user}"
        return self._rewrite(person, user, {f"token {name}": None}, message, request_id, False)

    def _password(self, name: str, password_hash: str) -> str:
        return f"password {self._seal(path_of_user(name), 'password', password_hash)}"

    def _rewrite(
        self,
        person: Person,
        name: str,
        changes: Mapping[str, str | None],
        message: str,
        request_id: str,
        own_password: bool,
    ) -> CommitOutcome:
        head, files = self._files()
        user = find_user(files, name)
        text = (
            rewritten(user, changes)
            if user is not None
            else "".join([f"user {name}\n", *(f" {line}\n" for line in changes.values() if line)])
        )
        request = ChangeRequest(head, {path_of_user(name): text}, message, request_id)
        return self._submission.submit(request, person, own_password)
