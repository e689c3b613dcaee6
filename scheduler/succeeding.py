"""Other hardware takes the place of a server: its first commit grows from the old line.

The server that invited tells where the line of the old hardware ends. This server, which
has the same id, fetches it and makes one commit on top of it and of its own beginning, with
what the old line held: nothing of the new box counts. The line then only grows, and the
unification finds nothing that differs.

Safe to repeat; a job does it until it is done.

Core: the network is behind a callable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, Person, RefUpdate, Store
from scheduler.changes import line_of
from scheduler.errors import SchedulerError
from scheduler.joining import Joining


@dataclass(frozen=True, slots=True)
class Succeeding:
    """Takes the place. `fetch` brings the commits of a line of another server here."""

    me: ServerId
    store: Store
    joining: Joining
    fetch: Callable[[Member, str], None]

    def run(self) -> str:
        """Do what is left to do; a job. Returns what it did."""
        agreed = self.joining.agreed
        if agreed is None or agreed.former is None:
            return "this server takes nobody's place"
        line, old = line_of(self.me), CommitId(agreed.former.line)
        own = self.store.ref(line)
        assert own is not None, "every server has a line from its first start"
        if self.store.has(old) and self.store.is_ancestor(old, own):
            return f"this server took the place of BQN {self.me}"
        try:
            self.fetch(agreed.inviter, line)
        except SchedulerError as error:
            return f"the line of BQN {self.me} could not be fetched: {error}"
        if not self.store.has(old):
            return f"BQN {agreed.inviter.id} has no line of BQN {self.me} that ends as it said"
        commit = self.store.write_commit(
            (old, own),
            self.store.files(old),
            Person(f"BQN {self.me}", f"bqn-{self.me}@bqn.invalid"),
            f"Take the place of the hardware that was BQN {self.me}",
            {"Server": str(self.me)},
        )
        self.store.move((RefUpdate(line, own, commit),), "replace")
        return f"this server takes the place of BQN {self.me}"
