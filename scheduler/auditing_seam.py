"""What the pages ask about auditors: how to clone, and whose SSH keys may.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scheduler.ssh_keys import PublicKey
from scheduler.views import CommitOutcome, Person


@dataclass(frozen=True, slots=True)
class CloneWays:
    """How this server's repository is reached over SSH.

    `account` is the one to log in as; `host_key` is `ssh-ed25519 BASE64`.
    """

    account: str
    port: int
    host_key: str


class AuditingDesk(Protocol):
    """The part of the desk for auditors."""

    def clone_ways(self) -> CloneWays:
        """What the commands on the page are made of."""
        ...

    def add_key(
        self, person: Person, user: str, name: str, key: PublicKey, request_id: str
    ) -> CommitOutcome:
        """Register a key of an existing user: it may clone and fetch from every server."""
        ...

    def remove_key(self, person: Person, user: str, name: str, request_id: str) -> CommitOutcome:
        """Take a key away; it stops working on the servers that have the commit."""
        ...
