"""A desk in memory: behaves like a server as far as a page can see, and keeps its state.

A test may set `view` (what the overview says), `refusal` (every write is then refused with
that sentence), `progress` and `invited` directly, and read `audited` afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from configrepo.checks import check_files
from configrepo.errors import UnreadableConfig
from configrepo.layout import effective_text, files_of, section_of, server_of
from configrepo.merge import Disagreement
from configrepo.model import Files, Loaded, Problem, ServerId
from configrepo.parser import read
from configrepo.unify import (
    Answer,
    Edit,
    Invalid,
    RowId,
    Settled,
    StillOpen,
    Take,
    problems_by_row,
    propose,
    settle,
)
from scheduler.apply_turn import Staging
from scheduler.views import (
    AddForm,
    AuditEntry,
    BlockView,
    CandidateView,
    CommitOutcome,
    Comparison,
    ConfigurationView,
    Disagreed,
    Edited,
    Invitation,
    JoinProgress,
    Knock,
    Overview,
    Person,
    Refused,
    RevisionDetail,
    RevisionView,
    Role,
    Unification,
    Whereabouts,
)
from tests.support import fake_history
from tests.support import fake_scenes as scenes
from tests.support.fake_auditing import FakeAuditing
from tests.support.fake_disagreements import FakeDisagreements
from tests.support.fake_doctor import FakeDoctor, FakeElections
from tests.support.fake_drift import FakeDrift, FakeMirror, FakeStaging
from tests.support.fake_history import laid_over
from tests.support.fake_operations import FakeOperations
from tests.support.fake_replication import FakeReplication
from tests.support.fake_users import FakeUsers

ADMINISTRATOR = Person("admin", Role.ADMINISTRATOR, "192.0.2.9", local=True)


class FakeDesk(FakeUsers):
    """The whole `Desk` protocol over a list of commits in memory."""

    def __init__(self, view: Overview, files: Files, repository: Path | None = None) -> None:
        super().__init__(view, files)
        self.invited: Invitation | None = None
        self.progress = JoinProgress("none", "This server is not joining a cluster.")
        self.unifying_now: Unification | None = None
        self.audited: list[AuditEntry] = []
        self.auditing = FakeAuditing(self)
        self.drift = FakeDrift(self._propose)
        self.staging = FakeStaging()
        self.mirror = FakeMirror()
        self.replication = FakeReplication(self.overview)
        self.staged: Staging | None = None
        self.operations = FakeOperations(self)
        self.doctor = FakeDoctor(tuple(server.id for server in view.servers), view.me)
        self.elections = FakeElections()
        self.disagreements = FakeDisagreements()
        self._repository = repository or Path("/nonexistent/config.git")
        self._candidates: dict[str, tuple[str, dict[str, str | None]]] = {}

    # --- scenes ---------------------------------------------------------------------

    @classmethod
    def alone(cls) -> FakeDesk:
        """BQN 0 of the examples, not in a cluster."""
        return cls(scenes.overview_alone(), scenes.cluster_files((0,)))

    @classmethod
    def cluster_of_three(cls, me: int = 0) -> FakeDesk:
        """A healthy cluster of BQN 0, 1 and 2, seen from `me`."""
        return cls(scenes.overview_of([0, 1, 2], me), scenes.cluster_files((0, 1, 2)))

    @classmethod
    def unifying_two(cls) -> FakeDesk:
        """BQN 0 works alone, BQN 1 was accepted: the vendor's own example."""
        return cls.alone()._with_accepted(1)

    @classmethod
    def unifying(cls) -> FakeDesk:
        """BQN 0 and 1 are a cluster, BQN 2 was accepted and waits to be unified."""
        desk = cls(scenes.overview_of([0, 1]), scenes.cluster_files((0, 1)))
        return desk._with_accepted(2)

    def _with_accepted(self, other: int) -> FakeDesk:
        form = AddForm(ServerId(other), f"192.168.56.{111 + other}", "192.168.56.111")
        self.invite(ADMINISTRATOR, form)
        self.knock()
        self.accept(ADMINISTRATOR)
        return self

    def knock(self) -> None:
        """Let the invited server present the code."""
        assert self.invited is not None
        form = self.invited.form
        me, other = int(self.view.me), int(form.other_id)
        self.invited = replace(
            self.invited,
            stage="knocking",
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

    # --- what is seen -----------------------------------------------------------------

    def overview(self) -> Overview:
        """What the scene says, with the newest commit as everybody's head."""
        head = self._commits.head
        servers = tuple(
            replace(s, head=head, running=head) if s.sync == "in sync" else s
            for s in self.view.servers
        )
        return replace(self.view, servers=servers)

    # --- configuration and candidate -----------------------------------------------------

    def configuration(self, person: Person) -> ConfigurationView:
        """All blocks with the person's candidate laid over them."""
        base, overlay = self._candidates.get(person.name, (self._commits.head, {}))
        tree = self._commits.tree()
        blocks = tuple(
            BlockView(
                path=path,
                title=fake_history.title(path, text),
                section=section_of(path),
                server=fake_history.server_id(path),
                text=text,
                edited=path in overlay,
            )
            for path, text in sorted(laid_over(tree, overlay).items())
        )
        removed = tuple(sorted(p for p, text in overlay.items() if text is None))
        return ConfigurationView(base, blocks, removed)

    def saved_text(self, server: ServerId, revision: str | None = None) -> str:
        """The server's effective text at a revision."""
        return effective_text(self._commits.tree(revision), str(int(server)))

    def candidate(self, person: Person) -> CandidateView | None:
        """The person's overlay, if there is one."""
        kept = self._candidates.get(person.name)
        return CandidateView(kept[0], tuple(sorted(kept[1]))) if kept else None

    def edit(self, person: Person, path: str | None, text: str) -> Edited | Refused:
        """Put one block into the person's overlay."""
        if self.refusal:
            return Refused(self.refusal)
        if text.strip():
            server = (server_of(path) if path else None) or str(int(self.view.me))
            loaded = _loaded(text)
            if isinstance(loaded, Refused):
                return loaded
            found = files_of(loaded.document, server)
            if len(found) != 1 or (path is not None and path not in found):
                names = ", ".join(sorted(found)) or "no block"
                return Refused(f"The text is {names}; give the one block of {path or 'it'}.")
            self._overlay(person).update(found)
            return Edited(tuple(found), loaded.problems)
        if path is None:
            return Refused("There is nothing to add: the text is empty.")
        self._overlay(person)[path] = None
        return Edited((path,))

    def discard(self, person: Person, path: str | None = None) -> None:
        """Drop one path of the overlay, or all of it."""
        kept = self._candidates.get(person.name)
        if path is not None and kept is not None:
            kept[1].pop(path, None)
        if path is None or (kept is not None and not kept[1]):
            self._candidates.pop(person.name, None)

    def load(self, person: Person, data: bytes, server: ServerId) -> Edited | Refused:
        """Make the overlay equal to a saved file."""
        if self.refusal:
            return Refused(self.refusal)
        loaded = _loaded(data)
        if isinstance(loaded, Refused):
            return loaded
        new = files_of(loaded.document, str(int(server)))
        roots = ("common/", f"servers/{int(server)}/")
        now = {p: t for p, t in self._commits.tree().items() if p.startswith(roots)}
        overlay: dict[str, str | None] = {p: t for p, t in new.items() if now.get(p) != t}
        overlay |= dict.fromkeys(now.keys() - new.keys())
        self._candidates[person.name] = (self._commits.head, overlay)
        return Edited(tuple(sorted(overlay)), loaded.problems)

    def compare(self, person: Person) -> Comparison | None:
        """The overlay against the newest commit."""
        kept = self._candidates.get(person.name)
        if kept is None:
            return None
        base, overlay = kept
        after = laid_over(self._commits.tree(), overlay)
        return self._comparison(base, after, self._conflicts(base, overlay))

    def _propose(self, person: Person, changes: Mapping[str, str | None]) -> Edited | Refused:
        """A candidate of what was changed from outside."""
        if person.name in self._candidates:
            return Refused("You have a candidate already: commit or discard it first.")
        self._candidates[person.name] = (self._commits.head, dict(changes))
        return Edited(tuple(sorted(changes)))

    def commit(
        self,
        person: Person,
        message: str,
        request_id: str,
        choices: Mapping[RowId, Answer],
        staging: Staging | None = None,
    ) -> CommitOutcome:
        """Commit the overlay; what somebody else changed meanwhile must be chosen."""
        self.staged = staging
        kept = self._candidates.get(person.name)
        if request_id in self._requests or self.refusal or kept is None:
            return self._repeated(request_id, "There is nothing to commit.")
        base, overlay = kept
        still = tuple(d for d in self._conflicts(base, overlay) if _row_id(d) not in choices)
        if still:
            return Disagreed(still)
        for disagreement in self._conflicts(base, overlay):
            match choices[_row_id(disagreement)]:
                case Take(side="cluster"):
                    overlay.pop(disagreement.path)
                case Edit(text=text):
                    overlay[disagreement.path] = text
                case Take():
                    pass
        del self._candidates[person.name]
        tree = laid_over(self._commits.tree(), overlay)
        return self._commit(person, tree, message, request_id)

    # --- history ----------------------------------------------------------------------

    def history(
        self, limit: int = 50, skip: int = 0, path: str | None = None
    ) -> tuple[RevisionView, ...]:
        """Commits, newest first."""
        newest_first = [self._with_running(r) for r in reversed(self._commits.revisions)]
        found = [r for r in newest_first if path is None or self._commits.touched(r.id, path)]
        return tuple(found[skip : skip + limit])

    def revision(self, revision: str) -> RevisionDetail:
        """One commit and its changes."""
        detail = self._commits.detail(revision)
        return replace(detail, revision=self._with_running(detail.revision))

    def compare_rollback(self, revision: str) -> Comparison:
        """What going back would change."""
        return self._comparison(self._commits.head, self._commits.tree(revision), ())

    def rollback(
        self, person: Person, revision: str, message: str, request_id: str, base: str
    ) -> CommitOutcome:
        """A new commit with the tree of an old one."""
        if request_id in self._requests or self.refusal or base != self._commits.head:
            return self._repeated(request_id, "Somebody committed since. Look at the diff again.")
        return self._commit(person, dict(self._commits.tree(revision)), message, request_id)

    # --- membership -------------------------------------------------------------------

    def invite(self, person: Person, form: AddForm) -> Invitation | Refused:
        """Open an invitation."""
        if self.refusal:
            return Refused(self.refusal)
        if self.view.server(form.other_id) is not None:
            return Refused(f"BQN {form.other_id} is already a member. Choose another id.")
        reaches = scenes.reaches(int(self.view.me), int(form.other_id), ssh_ok=False)
        code = "BQN1-" + "-".join(["ABCDE", "FGHIJ", "KLMNP", "QRSTU"] * 5)
        self.invited = Invitation(form, code, 900, "waiting", reaches)
        return self.invited

    def invitation(self) -> Invitation | None:
        """The open invitation."""
        return self.invited

    def withdraw(self, person: Person) -> None:
        """Close the invitation."""
        self.invited = None

    def accept(self, person: Person) -> Unification | Refused:
        """Accept who knocks and lay out the unification."""
        knocking = self.invited.knock if self.invited else None
        if self.refusal or self.invited is None or knocking is None:
            return Refused(self.refusal or "No server is waiting to be accepted.")
        self.invited = replace(self.invited, stage="accepted")
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
        self, person: Person, answers: Mapping[RowId, Answer], acknowledged: frozenset[RowId]
    ) -> Unification | Refused:
        """Keep the answers."""
        if self.refusal or self.unifying_now is None:
            return Refused(self.refusal or "No unification is waiting.")
        self.unifying_now = _counted(
            replace(self.unifying_now, answers=dict(answers), acknowledged=acknowledged)
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

    # --- the rest ---------------------------------------------------------------------

    def repository(self) -> Path:
        """Where the repository is (if a test gave one)."""
        return self._repository

    def audit(self, person: Person, action: str, result: str) -> None:
        """Remember an audit line."""
        entry = AuditEntry(datetime.now(UTC), person.name, person.address, action, result)
        self.audited.append(entry)

    def audit_log(self, limit: int = 200) -> tuple[AuditEntry, ...]:
        """The audit lines, newest first."""
        return tuple(reversed(self.audited))[:limit]

    # --- the list of commits -------------------------------------------------------------

    def _with_running(self, revision: RevisionView) -> RevisionView:
        running = tuple(s.id for s in self.overview().servers if s.running == revision.id)
        everybody = tuple(server.id for server in self.view.servers)
        saved = Whereabouts(everybody, len(everybody))
        return replace(revision, running_on=running, saved=saved)

    def _overlay(self, person: Person) -> dict[str, str | None]:
        return self._candidates.setdefault(person.name, (self._commits.head, {}))[1]

    def _conflicts(self, base: str, overlay: Mapping[str, str | None]) -> tuple[Disagreement, ...]:
        before, now = self._commits.tree(base), self._commits.tree()
        return tuple(
            Disagreement(p, None, before.get(p), now.get(p), mine)
            for p, mine in sorted(overlay.items())
            if now.get(p) != before.get(p) and now.get(p) != mine
        )

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


def _loaded(text: str | bytes) -> Loaded | Refused:
    try:
        return read(text)
    except UnreadableConfig as error:
        return Refused("The text cannot be read; nothing was changed.", error.problems)


def _row_id(disagreement: Disagreement) -> RowId:
    return RowId(f"{disagreement.path}|{disagreement.key or ''}")


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
