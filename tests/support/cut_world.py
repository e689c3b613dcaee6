"""Servers that share a history and are cut apart: real repositories, no network.

What travels between them are commits (git's own fetch) and refs, moved as the receiver of a
push would: only forward, and each move is remembered so that a test can prove it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from configrepo.conflicts import OpenEntry, open_entries
from configrepo.factory import FACTORY_ROOT
from configrepo.members import Member, member_file, with_allowed_signers
from configrepo.model import ServerId
from configrepo.store import CommitId, Person, RefUpdate
from scheduler.audit import AuditLog
from scheduler.changes import CLUSTER, Standing, term_ref
from scheduler.control_view import ControlRole, ControlView
from scheduler.healing import Healing, HealSeams
from scheduler.settling import Settling
from scheduler.submission import Submission
from scheduler.views import Committed
from scheduler.views import Person as Who
from scheduler.wire import ChangeRequest
from tests.support.configurations import common_files
from tests.support.repositories import real_git
from tests.support.small_server import ADMIN, SmallServer

DEAD_S = 2.8
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class CutServer(SmallServer):
    """A server that can lead, commit, and join lines."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, number, example=None)
        self.leading = False
        self.epoch = 0
        self.confirmed: dict[ServerId, CommitId] = {}
        self.time = 0.0
        self.heads: list[CommitId] = []
        self.healing = self._new_healing()
        self.submission = Submission(
            self.me, self.store, self.changes, self._view, self.roster.active, _no_call
        )
        audit = AuditLog(self.state.path / "audit.jsonl")
        self.settling = Settling(
            self.me,
            self.store,
            self.changes,
            self.submission,
            self.healing,
            self.vault.seal_files,
            audit.write,
        )

    def _new_healing(self) -> Healing:
        return Healing(
            self.me,
            self.state.path,
            self.store,
            self.changes,
            self.roster,
            HealSeams(
                leading=lambda: self.leading,
                confirmed=lambda: self.confirmed,
                reseal=self.vault.reseal,
                monotonic=lambda: self.time,
                dead_s=DEAD_S,
            ),
        )

    def restart(self) -> None:
        """Forget what only memory knew."""
        self.healing = self._new_healing()

    def _view(self) -> ControlView:
        role = ControlRole.PRIMARY if self.leading else ControlRole.SECONDARY
        return ControlView(self.me, role, self.epoch, NOON, "a test says so")

    @property
    def head(self) -> CommitId:
        """The newest commit of its `cluster`."""
        head = self.store.ref(CLUSTER)
        assert head is not None
        return head

    def lead(self, epoch: int) -> None:
        """Be the primary of a new term."""
        self.leading, self.epoch = True, epoch
        self.standing = Standing(CLUSTER, epoch)

    def follow(self) -> None:
        """Be a secondary."""
        self.leading = False
        self.standing = Standing(CLUSTER, None, "Another server is the primary.")

    def commit(self, changes: dict[str, str | None], person: Who = ADMIN) -> CommitId:
        """Commit a change; it is acknowledged when this returns."""
        request = ChangeRequest(self.head, changes, "A change", uuid.uuid4().hex)
        outcome = self.changes.commit(request, person)
        assert isinstance(outcome, Committed), outcome
        return CommitId(outcome.revision)

    def fetch(self, other: CutServer) -> CommitId:
        """Bring the commits of another server here; what its newest one is."""
        bring(other, self)
        self.healing.seen(other.head)
        return other.head

    def push_to(self, other: CutServer) -> bool:
        """Send what is here; False if the other server has something else (nothing moves)."""
        bring(self, other)
        if not other.store.is_ancestor(other.head, self.head):
            return False
        updates = [RefUpdate(CLUSTER, other.head, self.head)] if other.head != self.head else []
        for ref, head in self.store.refs("refs/terms/").items():
            old = other.store.ref(ref)
            assert old is None or other.store.is_ancestor(old, head), f"{ref} would go back"
            if old != head:
                updates.append(RefUpdate(ref, old, head))
        other.store.move(updates, "pushed")
        self.confirmed[other.me] = self.head
        return True

    def has(self, commit: CommitId) -> bool:
        """Whether its newest commit contains that one."""
        return self.store.has(commit) and self.store.is_ancestor(commit, self.head)

    def open(self) -> tuple[OpenEntry, ...]:
        """What waits here to be settled."""
        return open_entries(self.store.files(self.head))

    def grew_only(self) -> bool:
        """Whether no ref ever moved but forward, as git's own log of each ref says."""
        for log in (self.store.path / "logs" / "refs").rglob("*"):
            if not log.is_file():
                continue
            moves = [line.split()[:2] for line in log.read_text().splitlines()]
            assert all(one[1] == other[0] for one, other in pairwise(moves)), log
            for old, new in moves:
                if set(old) != {"0"} and not self.store.is_ancestor(CommitId(old), CommitId(new)):
                    return False
        return True


def bring(source: CutServer, to: CutServer) -> None:
    """Copy commits; no ref moves."""
    refs = [CLUSTER, *source.store.refs("refs/terms/")]
    real_git(to.store.path, "fetch", "-q", str(source.store.path), *refs)


def cluster_of(folder: Path, *numbers: int) -> list[CutServer]:
    """Servers in one cluster that have the same newest commit, none of them leading."""
    servers = [CutServer(folder, number) for number in numbers]
    first = servers[0]
    members = dict(member_file(server.record()) for server in servers)
    files = with_allowed_signers({**common_files("bqn0-v1"), **members})
    sealed = first.vault.seal_files(files)
    keyring = first.vault.keyring
    trailers = {"Server": str(first.me), "Term": f"1-{first.me}"}
    begun = first.store.write_commit(
        [CommitId(FACTORY_ROOT)], sealed, Person("ann", "ann@x.invalid"), "Found", trailers
    )
    term = term_ref(1, first.me)
    for server in servers:
        server.vault.keep(keyring)
        if server is not first:
            first.store.move([RefUpdate("refs/heads/handed", None, begun)], "test")
            real_git(server.store.path, "fetch", "-q", str(first.store.path), "refs/heads/handed")
            first.store.move([RefUpdate("refs/heads/handed", begun, None)], "test")
        server.store.move([RefUpdate(CLUSTER, None, begun), RefUpdate(term, None, begun)], "test")
        server.follow()
    return servers


def _no_call(
    member: Member, route: str, body: Mapping[str, Any], timeout_s: float
) -> dict[str, Any]:
    raise AssertionError("nothing is forwarded in this world")
