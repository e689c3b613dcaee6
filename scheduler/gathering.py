"""Gathers the facts that the overview is made of.

What costs something is remembered per commit: the hash that a server should run, and how
far a commit is behind another.

Core: asks the parts of the running server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from configrepo.errors import ConfigRepoError, UnreadableConfig
from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, Store
from scheduler.changes import Changes
from scheduler.control_view import ControlView
from scheduler.observing import Observer
from scheduler.overview import Facts, Report
from scheduler.roster import Roster
from scheduler.submission import Submission
from scheduler.vault import Vault


class Gathering:
    """Facts about this server and what it knows of the others."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        vault: Vault,
        roster: Roster,
        changes: Changes,
        submission: Submission,
        observer: Observer,
        control: Callable[[], ControlView],
        own_report: Callable[[], Report],
        own_record: Callable[[], Member],
        push_errors: Callable[[], Mapping[ServerId, str]],
        alarms: Callable[[], tuple[str, ...]],
    ) -> None:
        self._me = me
        self._store = store
        self._vault = vault
        self._roster = roster
        self._changes = changes
        self._submission = submission
        self._observer = observer
        self._control = control
        self._own_report = own_report
        self._own_record = own_record
        self._push_errors = push_errors
        self._alarms = alarms
        self._expected: tuple[tuple[str, str], dict[ServerId, str]] = (("", ""), {})

    def facts(self) -> Facts:
        """Everything that is known now."""
        head = self._changes.head()
        members = self._roster.active()
        own = self._own_report()
        reports = self._observer.reports()
        running = {server: report.running for server, (report, _) in reports.items()}
        running[self._me] = own.running
        servers = tuple(member.id for member in members) or (self._me,)
        return Facts(
            me=self._me,
            own=own,
            own_record=self._own_record(),
            members=members,
            control=self._control(),
            head=head,
            reports=reports,
            expected=self._expected_hashes(head, servers),
            behind={server: self._behind(head, commit) for server, commit in running.items()},
            pushes=self._push_errors(),
            alarms=self._alarms(),
            refusal=self._submission.refusal(),
        )

    def running_on(self) -> dict[ServerId, str]:
        """The commit that each server reported to run."""
        found = {s: r.running for s, (r, _) in self._observer.reports().items() if r.running}
        own = self._own_report().running
        return {**found, self._me: own} if own else found

    def _expected_hashes(
        self, head: CommitId, servers: tuple[ServerId, ...]
    ) -> Mapping[ServerId, str]:
        key = (head, self._vault.keyring.current_key_id)
        if self._expected[0] != key:
            self._expected = (key, {})
        known = self._expected[1]
        for server in servers:
            if server not in known:
                # A commit can arrive before the key that it is sealed with.
                with suppress(UnreadableConfig):
                    known[server] = self._vault.running_hash(self._store.files(head), str(server))
        return dict(known)

    def _behind(self, head: CommitId, running: str | None) -> int:
        if running is None:
            return 0
        try:
            return self._store.ahead(head, CommitId(running))
        except ConfigRepoError:
            # It runs a commit that has not arrived here: it is ahead, not behind.
            return 0
