"""The part of the desk in memory that brings a server into a cluster: invite, join, unify.

A test may set `progress`, `invited` and `unifying_now` directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from configrepo.checks import check_files
from configrepo.merge import Disagreement
from configrepo.model import Files, Problem, ServerId
from configrepo.unify import (
    Answer,
    Invalid,
    RowId,
    Settled,
    StillOpen,
    Take,
    answers_with,
    problems_by_row,
    propose,
    settle,
)
from scheduler.views import (
    AddForm,
    CommitOutcome,
    Comparison,
    Invitation,
    JoinProgress,
    Knock,
    Meeting,
    Overview,
    Person,
    Refused,
    Shown,
    Unification,
)
from tests.support import fake_history
from tests.support import fake_scenes as scenes
from tests.support.fake_users import FakeUsers

MEETING = Meeting(
    Shown(ServerId(0), scenes.fingerprint(0), scenes.fingerprint(10)),
    Shown(ServerId(1), scenes.fingerprint(1), scenes.fingerprint(11)),
    "01234 56789 31415 92653 58979 32384",
)


class FakeJoining(FakeUsers):
    """Membership and unification of the `Desk` protocol, over the commits of `FakeUsers`."""

    def __init__(self, view: Overview, files: Files) -> None:
        super().__init__(view, files)
        self.invited: Invitation | None = None
        self.progress = JoinProgress("none", "This server is not joining a cluster.")
        self.unifying_now: Unification | None = None

    def knock(self) -> None:
        """Let the invited server present the code."""
        assert self.invited is not None
        form = self.invited.form
        me, other = int(self.view.me), int(form.other_id)
        self.invited = replace(
            self.invited,
            stage="knocking",
            meeting=MEETING if form.by_hand else None,
            knock=Knock(
                id=form.other_id,
                name=f"bqn{other}",
                address=form.other_address,
                ssh_port=form.other_ssh_port,
                control_port=form.other_control_port or 63500 + other,
                fingerprint=scenes.fingerprint(other),
                reaches=scenes.reaches(me, other) + scenes.reaches(other, me),
            ),
        )

    # --- membership -------------------------------------------------------------------

    def invite(self, person: Person, form: AddForm) -> Invitation | Refused:
        """Open an invitation."""
        if self.refusal:
            return Refused(self.refusal)
        if self.view.server(form.other_id) is not None:
            return Refused(f"BQN {form.other_id} is already a member. Choose another id.")
        reaches = scenes.reaches(int(self.view.me), int(form.other_id), ssh_ok=False)
        code = "BQN1-" + "-".join(["ABCDE", "FGHIJ", "KLMNP", "QRSTU"] * 5)
        code = "" if form.by_hand else code
        self.invited = Invitation(form, code, 900, "waiting", reaches)
        return self.invited

    def invitation(self) -> Invitation | None:
        """The open invitation."""
        return self.invited

    def withdraw(self, person: Person) -> None:
        """Close the invitation."""
        self.invited = None

    def accept(self, person: Person, compared: str = "") -> Unification | Invitation | Refused:
        """Accept who knocks and lay out the unification."""
        knocking = self.invited.knock if self.invited else None
        if self.refusal or self.invited is None or knocking is None:
            return Refused(self.refusal or "No server is waiting to be accepted.")
        met = self.invited.meeting
        if met is not None and compared != met.compared:
            return Refused("Nothing was changed: this is not what you saw.")
        self.invited = replace(self.invited, stage="accepted")
        if met is not None and not self.invited.confirmed_there:
            return self.invited
        cluster_name = "the cluster" if self.view.clustered else f"BQN {self.view.me}"
        joiner = scenes.example_files(int(knocking.id))
        proposal = propose(
            scenes.factory_files(),
            scenes.common_part(self._commits.tree()),
            scenes.common_part(joiner),
            (cluster_name, f"BQN {knocking.id}"),
        )
        own = {path: text for path, text in joiner.items() if path.startswith("servers/")}
        self.unifying_now = _counted(
            Unification(
                joiner=knocking.id,
                joiner_name=knocking.name,
                cluster_name=cluster_name,
                servers=tuple(s.id for s in self.view.servers),
                proposal=replace(proposal, server_specific=own),
                answers={},
                acknowledged=frozenset(),
                problems={},
                open_rows=(),
            )
        )
        return self.unifying_now

    def join(
        self, person: Person, code: str, form: AddForm | None, own_address: str, own_ssh_port: int
    ) -> JoinProgress:
        """Present a code; only codes of this fake begin with BQN1-."""
        if self.refusal:
            self.progress = JoinProgress("failed", self.refusal)
        elif form is not None and form.by_hand:
            met = replace(MEETING, own=MEETING.other, other=MEETING.own)
            self.progress = JoinProgress(
                "comparing",
                f"BQN {form.other_id} answers at {form.other_address}.",
                scenes.reaches(int(self.view.me), int(form.other_id)),
                form.other_id,
                meeting=met,
            )
        elif not code.strip().startswith("BQN1-"):
            self.progress = JoinProgress("failed", "This is not a join code. Copy all of it.")
        else:
            me = int(self.view.me)
            other = int(form.other_id) if form else 0
            self.progress = JoinProgress(
                "waiting",
                f"BQN {other} knows this server. Compare the fingerprint there with the one "
                f"of this server, and accept it there (Administration → Cluster).",
                scenes.reaches(me, other),
                ServerId(other),
                scenes.fingerprint(me),
            )
        return self.progress

    def confirm(self, person: Person, compared: str) -> JoinProgress | Refused:
        """Go on with the server that was met."""
        met = self.progress.meeting
        if met is None or compared != met.compared:
            return Refused("Nothing was changed: this is not what you saw.")
        self.progress = replace(self.progress, stage="waiting", sentence="Confirmed here.")
        return self.progress

    def join_progress(self) -> JoinProgress:
        """How far the joining is."""
        return self.progress

    def give_up_joining(self, person: Person) -> None:
        """Forget the joining."""
        self.progress = JoinProgress("none", "This server is not joining a cluster.")

    # --- unification ------------------------------------------------------------------

    def unification(self) -> Unification | None:
        """The unification that waits."""
        return self.unifying_now

    def answer(
        self,
        person: Person,
        answers: Mapping[RowId, Answer | None],
        acknowledged: frozenset[RowId],
    ) -> Unification | Refused:
        """Keep what is said of these rows."""
        if self.refusal or self.unifying_now is None:
            return Refused(self.refusal or "No unification is waiting.")
        before = self.unifying_now
        self.unifying_now = _counted(
            replace(
                before,
                answers=answers_with(before.answers, answers),
                acknowledged=(before.acknowledged - answers.keys()) | acknowledged,
            )
        )
        return self.unifying_now

    def compare_unification(self) -> Comparison | Refused:
        """What the answers so far would change."""
        if self.unifying_now is None:
            return Refused("No unification is waiting.")
        match _settled(self.unifying_now):
            case Settled(files):
                return self._comparison(
                    self._commits.head, self._whole(files), (), check_files(files)
                )
            case StillOpen(row_ids):
                return Refused(f"{len(row_ids)} rows are still open. Answer them first.")
            case Invalid():
                return Refused("Some answers cannot be read. Correct them first.")

    def commit_unification(self, person: Person, message: str, request_id: str) -> CommitOutcome:
        """Make the merge commit; refused while a row is open."""
        waiting = self.unifying_now
        if request_id in self._requests or self.refusal or waiting is None:
            return self._repeated(request_id, "No unification is waiting.")
        match _settled(waiting):
            case Settled(files):
                outcome = self._commit(person, self._whole(files), message, request_id)
            case StillOpen(row_ids):
                return Refused(f"{len(row_ids)} rows are still open. Answer them first.")
            case Invalid():
                return Refused("Some answers cannot be read. Correct them first.")
        members = [int(s) for s in waiting.servers] + [int(waiting.joiner)]
        self.view = scenes.overview_of(sorted(members), int(self.view.me))
        self.unifying_now, self.invited = None, None
        return outcome

    def _whole(self, settled: dict[str, str]) -> dict[str, str]:
        """The tree of the merge commit: the common part as settled, everybody's own part."""
        assert self.unifying_now is not None
        proposal = self.unifying_now.proposal
        removed = {row.path for row in proposal.rows} - settled.keys()
        now = {p: text for p, text in self._commits.tree().items() if p not in removed}
        return now | dict(proposal.server_specific) | settled

    def _comparison(
        self,
        base: str,
        after: dict[str, str],
        conflicts: tuple[Disagreement, ...],
        problems: tuple[Problem, ...] = (),
    ) -> Comparison:
        changes = fake_history.changes(self._commits.tree(), after)
        own = {fake_history.server_id(c.path) for c in changes}
        every = tuple(s.id for s in self.view.servers)
        touched = every if None in own else tuple(s for s in every if s in own)
        return Comparison(base, self._commits.head, changes, touched, problems, conflicts)


def _settled(waiting: Unification) -> Settled | StillOpen | Invalid:
    return settle(waiting.proposal, waiting.answers, waiting.acknowledged)


def _counted(waiting: Unification) -> Unification:
    """The same with open rows and problems worked out, as if open rows kept the cluster's."""
    match _settled(waiting):
        case StillOpen(row_ids):
            still = row_ids
        case _:
            still = ()
    answers = {row_id: Take("cluster") for row_id in still} | dict(waiting.answers)
    rows = frozenset(row.id for row in waiting.proposal.rows)
    match settle(waiting.proposal, answers, rows):
        case Settled(files):
            problems = problems_by_row(waiting.proposal, check_files(files))
        case Invalid(found):
            problems = found
        case StillOpen():
            raise AssertionError("every row is answered or acknowledged")
    return replace(waiting, open_rows=still, problems=problems)
