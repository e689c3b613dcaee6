"""The auditors' part of the desk in memory: keys are lines of the user blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.auditing_seam import CloneWays
from scheduler.ssh_keys import PublicKey
from scheduler.views import CommitOutcome, Person

if TYPE_CHECKING:
    from tests.support.fake_users import FakeUsers

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDExMTExMTExMTExMTExMTExMTExMTExMTExMTEx"


class FakeAuditing:
    """Implements `scheduler.auditing_seam.AuditingDesk` over the fake users."""

    def __init__(self, users: FakeUsers) -> None:
        self._users = users

    def clone_ways(self) -> CloneWays:
        """The account of the packaging, another port than 22."""
        return CloneWays("bqn", 2222, HOST_KEY)

    def add_key(
        self, person: Person, user: str, name: str, key: PublicKey, request_id: str
    ) -> CommitOutcome:
        """Add a line."""
        line = f" ssh-key {name} {key.line}\n"
        return self._users.put_key(person, user, name, line, request_id)

    def remove_key(self, person: Person, user: str, name: str, request_id: str) -> CommitOutcome:
        """Remove a line."""
        return self._users.put_key(person, user, name, "", request_id)
