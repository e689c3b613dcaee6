"""A desk in memory: behaves like a server as far as a page can see, and keeps its state.

A test may set `view` (what the overview says), `refusal` (every write is then refused with
that sentence), `progress` and `invited` directly, and read `audited` afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from configrepo.errors import UnreadableConfig
from configrepo.layout import effective_text, files_of, section_of, server_of
from configrepo.merge import Disagreement
from configrepo.model import Files, Loaded, ServerId
from configrepo.parser import read
from configrepo.unify import (
    Answer,
    Edit,
    RowId,
    Take,
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
    Overview,
    Person,
    Refused,
    RevisionDetail,
    RevisionView,
    Role,
    Whereabouts,
)
from tests.support import fake_history
from tests.support import fake_scenes as scenes
from tests.support.fake_auditing import FakeAuditing
from tests.support.fake_disagreements import FakeDisagreements
from tests.support.fake_doctor import FakeDoctor, FakeElections
from tests.support.fake_drift import FakeDrift, FakeMirror, FakeStaging
from tests.support.fake_history import laid_over
from tests.support.fake_joining import FakeJoining
from tests.support.fake_operations import FakeOperations
from tests.support.fake_replication import FakeReplication

ADMINISTRATOR = Person("admin", Role.ADMINISTRATOR, "192.0.2.9", local=True)


class FakeDesk(FakeJoining):
    """The whole `Desk` protocol over a list of commits in memory."""

    def __init__(self, view: Overview, files: Files, repository: Path | None = None) -> None:
        super().__init__(view, files)
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

    def has_revision(self, revision: str) -> bool:
        """Whether there is such a commit."""
        return any(one.id == revision for one in self._commits.revisions)

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


def _loaded(text: str | bytes) -> Loaded | Refused:
    try:
        return read(text)
    except UnreadableConfig as error:
        return Refused("The text cannot be read; nothing was changed.", error.problems)


def _row_id(disagreement: Disagreement) -> RowId:
    return RowId(f"{disagreement.path}|{disagreement.key or ''}")
