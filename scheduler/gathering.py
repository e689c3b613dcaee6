"""Gathers the facts that the overview is made of.

What costs something is remembered: the hash that a server should run (`scheduler.expected`),
and how far a commit is behind another.

Core: asks the parts of the running server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from configrepo.errors import ConfigRepoError
from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, Store
from scheduler.changes import Changes
from scheduler.control_view import ControlView
from scheduler.expected import ExpectedHashes
from scheduler.observing import Observer
from scheduler.overview import STALE_S, Facts, Report
from scheduler.roster import Roster
from scheduler.submission import Submission


class Gathering:
    """Facts about this server and what it knows of the others."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        expected: ExpectedHashes,
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
        self._expected = expected
        self._roster = roster
        self._changes = changes
        self._submission = submission
        self._observer = observer
        self._control = control
        self._own_report = own_report
        self._own_record = own_record
        self._push_errors = push_errors
        self._alarms = alarms

    def facts(self) -> Facts:
        """Everything that is known now."""
        head = self._changes.head()
        members = self._roster.active()
        own = self._own_report()
        reports = self._observer.reports()
        control = self._control()
        running = {server: report.running for server, (report, _) in reports.items()}
        running[self._me] = own.running
        servers = tuple(member.id for member in members) or (self._me,)
        return Facts(
            me=self._me,
            own=own,
            own_record=self._own_record(),
            members=members,
            control=control,
            head=head,
            reports=reports,
            expected=self._expected.at(head, servers),
            behind={server: self._behind(head, commit) for server, commit in running.items()},
            pushes=self._push_errors(),
            alarms=self._alarms(),
            refusal=self._submission.refusal(),
            schema=self._roster.schema,
            too_new=self._roster.too_new(),
            pause=self._roster.settings.pause,
            newer=self._newer(control, head),
        )

    def _newer(self, control: ControlView, head: CommitId) -> str:
        """A sentence if the primary has a commit that is not in the line here."""
        peer = None if control.following is None else control.peer(control.following)
        if peer is None or peer.head is None or self._is_here(CommitId(peer.head), head):
            return ""
        return (
            f"BQN {peer.id}, the primary, has a newer commit that has not arrived here, so what "
            "runs cannot be compared with it."
        )

    def _is_here(self, commit: CommitId, head: CommitId) -> bool:
        if commit == head:
            return True
        try:
            return self._store.has(commit) and self._store.is_ancestor(commit, head)
        except ConfigRepoError:
            return False  # a push that was killed may have left it without what it grew from

    def running_on(self) -> dict[ServerId, str]:
        """The commit that each server runs now: as it said lately, and read back itself."""
        said = self._said().items()
        fresh = {s: report for s, (report, age_s) in said if age_s < STALE_S}
        return {
            s: report.running for s, report in fresh.items() if report.running and _runs(report)
        }

    def last_ran(self) -> dict[ServerId, str]:
        """The commit that each server ran when it was heard last."""
        return {s: report.running for s, (report, _) in self._said().items() if report.running}

    def _said(self) -> dict[ServerId, tuple[Report, float]]:
        return {**self._observer.reports(), self._me: (self._own_report(), 0.0)}

    def _behind(self, head: CommitId, running: str | None) -> int:
        if running is None:
            return 0
        try:
            return self._store.ahead(head, CommitId(running))
        except ConfigRepoError:
            # It runs a commit that has not arrived here: it is ahead, not behind.
            return 0


def _runs(report: Report) -> bool:
    """Whether a server runs its commit as it is, and has looked."""
    return report.result in ("applied", "waiting") and report.hash is not None
