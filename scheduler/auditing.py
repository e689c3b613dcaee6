"""Auditors: registered SSH keys, one commit each, and who may come in with them.

Core: works on the commit path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from configrepo.model import Files
from scheduler.accounts import find_user, path_of_user, rewritten, users_of
from scheduler.auditing_seam import CloneWays
from scheduler.authorized_keys import Auditor
from scheduler.settings_table import Settings
from scheduler.ssh_keys import PublicKey
from scheduler.sshd import account
from scheduler.submission import Submission
from scheduler.views import CommitOutcome, Committed, Disagreed, Person, Refused
from scheduler.wire import ChangeRequest


def auditors_of(files: Files) -> Iterator[Auditor]:
    """Everybody whose key may fetch, by name."""
    for user in users_of(files):
        for stored in user.ssh_keys:
            yield Auditor(user.name, stored.key)


class Reached(Protocol):
    """What says how a server is reached over SSH."""

    settings: Settings
    ssh_host_key: str


def ways_of(server: Reached) -> Callable[[], CloneWays]:
    """How a running server is reached, asked anew each time."""

    def ways() -> CloneWays:
        ssh = server.settings.ssh
        return CloneWays(ssh.user or account(), ssh.port, server.ssh_host_key)

    return ways


class Auditing:
    """Implements `scheduler.auditing_seam.AuditingDesk`.

    Args:
        files: the newest configuration with the id of its commit.
        ways: how this server is reached over SSH.
        note: writes a line of the audit log: person, action, result.
    """

    def __init__(
        self,
        submission: Submission,
        files: Callable[[], tuple[str, Files]],
        ways: Callable[[], CloneWays],
        note: Callable[[Person, str, str], None],
    ) -> None:
        self._submission = submission
        self._files = files
        self._ways = ways
        self._note = note

    def clone_ways(self) -> CloneWays:
        """See `AuditingDesk`."""
        return self._ways()

    def add_key(
        self, person: Person, user: str, name: str, key: PublicKey, request_id: str
    ) -> CommitOutcome:
        """See `AuditingDesk`."""
        _, files = self._files()
        taken = next((a.user for a in auditors_of(files) if a.key == key), None)
        if taken is not None:
            return Refused(f"This key is registered already, for {taken}.")
        line = f"ssh-key {name} {key.line}"
        return self._rewrite(person, user, name, line, f"Add SSH key {name} of {user}", request_id)

    def remove_key(self, person: Person, user: str, name: str, request_id: str) -> CommitOutcome:
        """See `AuditingDesk`."""
        message = f"Remove SSH key {name} of {user}"
        return self._rewrite(person, user, name, None, message, request_id)

    def _rewrite(
        self, person: Person, name: str, key: str, line: str | None, message: str, request_id: str
    ) -> CommitOutcome:
        head, files = self._files()
        user = find_user(files, name)
        if user is None:
            return Refused(f"There is no user {name!r}: add it first.")
        text = rewritten(user, {f"ssh-key {key}": line})
        request = ChangeRequest(head, {path_of_user(name): text}, message, request_id)
        outcome = self._submission.submit(request, person)
        self._note(person, message, _told(outcome))
        return outcome


def _told(outcome: CommitOutcome) -> str:
    match outcome:
        case Committed(revision=revision):
            return f"revision {revision}"
        case Refused(sentence=sentence):
            return sentence
        case Disagreed():
            return "disagreed"
