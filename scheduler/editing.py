"""The candidate of a person: edit blocks, load a file, compare, commit, roll back.

Whatever comes in is read by the language, written in its canonical form and sealed
before it is kept, so that no clear secret ever reaches a draft. A text that cannot be
read changes nothing and comes back with all its problems.

A person may have two windows: a candidate is read and kept again as one step, and what was
edited while the rest was being committed stays a candidate.

Core: works on a store and the drafts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from configrepo.errors import NotFound, UnreadableConfig
from configrepo.layout import (
    document_of,
    file_text,
    files_of,
    holds_many,
    parse_block_file,
    section_of,
    server_of,
)
from configrepo.model import Document, Files, Problem, ServerId, Severity
from configrepo.parser import read
from configrepo.schema import COMMON_UNDEFINED_FILE
from configrepo.secret_hints import secret_hints
from configrepo.store import CommitId, Revision, Store
from configrepo.unify import Answer, RowId
from configrepo.writer import canonical_text
from scheduler.apply_turn import Staging
from scheduler.changes import Changes, lay_over
from scheduler.drafts import Candidate, Drafts
from scheduler.file_changes import changes_between, title_of
from scheduler.submission import Submission
from scheduler.views import (
    BlockView,
    CandidateView,
    CommitOutcome,
    Committed,
    Comparison,
    ConfigurationView,
    Edited,
    Person,
    Refused,
    RevisionDetail,
    RevisionView,
    Whereabouts,
)
from scheduler.wire import ChangeRequest

SHARED = ("common/", "servers/")
USERS = "common/user/"


class Editing:
    """Candidates and history of the configuration."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        drafts: Drafts,
        changes: Changes,
        submission: Submission,
        seal: Callable[[Document, str], Document],
        members: Callable[[], tuple[ServerId, ...]],
        running: Callable[[], Mapping[ServerId, str]],
        saved: Callable[[Sequence[str]], Mapping[str, Whereabouts]] = lambda _: {},
    ) -> None:
        self._me = me
        self._store = store
        self._drafts = drafts
        self._changes = changes
        self._submission = submission
        self._seal = seal
        self._members = members
        self._running = running
        self._saved = saved
        self._listed: tuple[str, Mapping[str, BlockView]] = ("", {})
        self._guard = threading.Lock()

    # --- looking ----------------------------------------------------------------------

    def configuration(self, person: Person) -> ConfigurationView:
        """See `Desk.configuration`."""
        head = self._changes.head()
        files = self._store.files(head)
        candidate = self._drafts.candidate(person)
        edits = candidate.changes if candidate else {}
        blocks = {**self._committed(head, files)}
        for path, text in edits.items():
            blocks.pop(path, None)
            if text is not None and _shown(path):
                blocks[path] = replace(_block(path, text), edited=True)
        removed = tuple(path for path, text in edits.items() if text is None and path in files)
        shown = sorted(blocks) if edits else blocks
        return ConfigurationView(head, tuple([blocks[path] for path in shown]), removed)

    def _committed(self, head: CommitId, files: Files) -> Mapping[str, BlockView]:
        """The blocks of a commit by path, sorted; those that the last one had are taken over."""
        known, before = self._listed
        if known == head:
            return before
        listed: dict[str, BlockView] = {}
        for path in sorted(files):
            if _shown(path):
                old, text = before.get(path), files[path]
                listed[path] = old if old and old.text == text else _block(path, text)
        self._listed = (head, listed)
        return listed

    def saved_text(self, server: ServerId, revision: str | None) -> str:
        """See `Desk.saved_text`. Raises NotFound."""
        commit = self._changes.head() if revision is None else self._known(revision)
        return canonical_text(document_of(self._store.files(commit), str(server)))

    # --- the candidate ----------------------------------------------------------------

    def candidate(self, person: Person) -> CandidateView | None:
        """See `Desk.candidate`."""
        candidate = self._drafts.candidate(person)
        return (
            None
            if candidate is None
            else CandidateView(candidate.base, tuple(sorted(candidate.changes)))
        )

    def edit(self, person: Person, path: str | None, text: str) -> Edited | Refused:
        """See `Desk.edit`."""
        if path is not None and not path.startswith(SHARED):
            return Refused(f"{path} is written by the program itself.")
        server = str(self._me) if path is None else server_of(path) or str(self._me)
        try:
            loaded = read(text)
            common = self._common_undefined(person)
            written = files_of(self._seal(loaded.document, server), server, common)
        except UnreadableConfig as error:
            return Refused("The text cannot be read; nothing was changed.", error.problems)
        told = _told(loaded.problems) + secret_hints(loaded.document, server)
        with self._guard:
            return self._placed(person, path, written, told)

    def _placed(
        self, person: Person, path: str | None, written: Files, warnings: tuple[Problem, ...]
    ) -> Edited | Refused:
        current = self._current(person)
        changes: dict[str, str | None]
        if path is None:
            clash = [p for p in written if p in current and not holds_many(p)]
            if clash:
                title = title_of(clash[0], current[clash[0]])
                return Refused(f"There is a block {title!r} already: edit that one.")
            if not written:
                return Refused("The text holds no block.")
            try:
                changes = {p: _appended(current.get(p), added) for p, added in written.items()}
            except UnreadableConfig as error:
                return Refused("The text does not fit what is there.", error.problems)
        else:
            stray = [p for p in written if p != path]
            if stray:
                return Refused(
                    f"This text belongs to {stray[0]}, not to {path}: keep the first line of the "
                    f"block as it is, and add another block with 'New block'."
                )
            changes = {path: written.get(path)}
        self._keep(person, changes)
        return Edited(tuple(changes), warnings)

    def load(self, person: Person, data: bytes, server: ServerId) -> Edited | Refused:
        """See `Desk.load`."""
        try:
            loaded = read(data)
            common = self._common_undefined(person)
            written = files_of(self._seal(loaded.document, str(server)), str(server), common)
        except UnreadableConfig as error:
            return Refused("The file cannot be read; nothing was loaded.", error.problems)
        with self._guard:
            current = self._current(person)
            scope = ("common/", f"servers/{server}/")
            changes: dict[str, str | None] = {
                path: written.get(path)
                for path in {*written, *(p for p in current if p.startswith(scope))}
                if written.get(path) != current.get(path)
            }
            self._keep(person, changes)
        told = secret_hints(loaded.document, str(server)) + _told(loaded.problems)
        return Edited(tuple(sorted(changes)), told)

    def discard(self, person: Person, path: str | None) -> None:
        """See `Desk.discard`."""
        with self._guard:
            candidate = self._drafts.candidate(person)
            if candidate is None or path is None:
                self._drafts.keep_candidate(person, None)
                return
            left = {p: text for p, text in candidate.changes.items() if p != path}
            self._drafts.keep_candidate(person, Candidate(candidate.base, left))

    def _common_undefined(self, person: Person) -> frozenset[str]:
        """The undefined blocks that an operator marked common stay common."""
        text = self._current(person).get(COMMON_UNDEFINED_FILE)
        if text is None:
            return frozenset()
        return frozenset(block.text for block in parse_block_file(COMMON_UNDEFINED_FILE, text))

    def _current(self, person: Person) -> Files:
        candidate = self._drafts.candidate(person)
        files = self._store.files(self._changes.head())
        return lay_over(files, candidate.changes) if candidate else files

    def _keep(self, person: Person, changes: Mapping[str, str | None]) -> None:
        candidate = self._drafts.candidate(person)
        base = candidate.base if candidate else self._changes.head()
        before = self._store.files(CommitId(base))
        merged = {**(candidate.changes if candidate else {}), **changes}
        real = {p: text for p, text in merged.items() if text != before.get(p)}
        self._drafts.keep_candidate(person, Candidate(base, real))

    def compare(self, person: Person) -> Comparison | None:
        """See `Desk.compare`."""
        candidate = self._drafts.candidate(person)
        if candidate is None:
            return None
        return self._changes.compare(candidate.base, candidate.changes, {}, self._members())

    def propose(
        self, person: Person, base: str, changes: Mapping[str, str | None]
    ) -> Edited | Refused:
        """Make changes against a commit the person's candidate; never over another one."""
        with self._guard:
            if self._drafts.candidate(person) is not None:
                return Refused("You have a candidate already: commit or discard it first.")
            if not self._store.has(CommitId(base)):
                return Refused(f"Revision {base[:10]} is not on this server yet: try again.")
            self._drafts.keep_candidate(person, Candidate(base, changes))
        return Edited(tuple(sorted(changes)))

    def commit(
        self,
        person: Person,
        message: str,
        request_id: str,
        choices: Mapping[RowId, Answer],
        staging: Staging | None = None,
    ) -> CommitOutcome:
        """See `Desk.commit`."""
        candidate = self._drafts.candidate(person)
        if candidate is None:
            repeated = self._repeated(request_id)
            return repeated or Refused("There is no candidate to commit.")
        request = ChangeRequest(
            candidate.base,
            candidate.changes,
            message,
            request_id,
            choices,
            {} if staging is None else staging.trailers,
        )
        outcome = self._submission.submit(request, person)
        if isinstance(outcome, Committed):
            with self._guard:
                self._forget(person, candidate, CommitId(outcome.revision))
        return outcome

    def _forget(self, person: Person, committed: Candidate, revision: CommitId) -> None:
        """Drop what was committed; what was edited meanwhile in another window stays."""
        now = self._drafts.candidate(person)
        if now is None:
            return
        left = {
            path: text
            for path, text in now.changes.items()
            if path not in committed.changes or committed.changes[path] != text
        }
        base = revision if self._stands_on(revision, now.base, committed, left) else now.base
        self._drafts.keep_candidate(person, Candidate(base, left))

    def _stands_on(
        self, revision: CommitId, base: str, committed: Candidate, left: Mapping[str, str | None]
    ) -> bool:
        """Whether what is left was edited on the texts that a commit has.

        If not, somebody else's change of the same blocks came with it: from the older base
        the two are merged or asked, from the newer one that change would be lost.
        """
        if not self._store.has(revision):
            return False
        edited_on = {**self._store.files(CommitId(base)), **committed.changes}
        files = self._store.files(revision)
        return all(files.get(path) == edited_on.get(path) for path in left)

    def _repeated(self, request_id: str) -> Committed | None:
        done = self._store.find_trailer("Request-Id", request_id, self._changes.head())
        return (
            None if done is None else Committed(done.id, self._me, "This was already saved.", True)
        )

    # --- history ----------------------------------------------------------------------

    def history(self, limit: int, skip: int, path: str | None) -> tuple[RevisionView, ...]:
        """See `Desk.history`."""
        running = self._running()
        log = self._store.log(self._changes.head(), limit=limit, skip=skip, path=path)
        saved = self._saved([revision.id for revision in log])
        return tuple(_view(revision, running, saved) for revision in log)

    def revision(self, revision: str) -> RevisionDetail:
        """See `Desk.revision`."""
        found = self._store.revision(self._known(revision))
        before = self._store.files(CommitId(found.parents[0])) if found.parents else {}
        changes = changes_between(before, self._store.files(CommitId(found.id)))
        return RevisionDetail(_view(found, self._running(), self._saved([found.id])), changes)

    def has_revision(self, revision: str) -> bool:
        """See `Desk.has_revision`."""
        commit = CommitId(revision)
        return self._store.has(commit) and self._store.is_ancestor(commit, self._changes.head())

    def _known(self, revision: str) -> CommitId:
        if not self.has_revision(revision):
            raise NotFound(f"there is no revision {revision[:40]!r} in the history")
        return CommitId(revision)

    def compare_rollback(self, revision: str) -> Comparison:
        """See `Desk.compare_rollback`."""
        head = self._changes.head()
        return self._changes.compare(head, self._back_to(revision, head), {}, self._members())

    def rollback(
        self, person: Person, revision: str, message: str, request_id: str, base: str
    ) -> CommitOutcome:
        """See `Desk.rollback`."""
        if self._changes.head() != base:
            return self._repeated(request_id) or Refused(
                "Somebody committed meanwhile: look at what the rollback would change now."
            )
        changes = self._back_to(revision, CommitId(base))
        request = ChangeRequest(
            base, changes, message, request_id, trailers={"Reverts-To": revision}
        )
        return self._submission.submit(request, person)

    def _back_to(self, revision: str, head: CommitId) -> dict[str, str | None]:
        target = self._store.files(self._known(revision))
        now = self._store.files(head)
        # A server that was not part of that revision keeps what it has; and a revoked token
        # or an old password must not come back with an old rate policy.
        there = {path.split("/")[1] for path in target if path.startswith("servers/")}
        scope = ("common/", *(f"servers/{server}/" for server in sorted(there)))
        both = {*target, *now}
        paths = {p for p in both if p.startswith(scope) and not p.startswith(USERS)}
        return {p: target.get(p) for p in paths if target.get(p) != now.get(p)}


def _view(
    revision: Revision, running: Mapping[ServerId, str], saved: Mapping[str, Whereabouts]
) -> RevisionView:
    return RevisionView(
        id=revision.id,
        parents=tuple(revision.parents),
        author=revision.author_name,
        committer=revision.committer,
        time=revision.time,
        subject=revision.subject,
        body=_with_trailers(revision),
        term=revision.trailers.get("Term", ""),
        server=revision.trailers.get("Server", ""),
        running_on=tuple(server for server, commit in running.items() if commit == revision.id),
        begins_term="Predecessor" in revision.trailers,
        saved=saved.get(revision.id, Whereabouts()),
    )


def _with_trailers(revision: Revision) -> str:
    lines = [f"{key}: {value}" for key, value in revision.trailers.items()]
    return "\n\n".join(part for part in (revision.message, "\n".join(lines)) if part)


def _shown(path: str) -> bool:
    return path.startswith(SHARED) and not path.endswith("/comments.conf")


def _block(path: str, text: str) -> BlockView:
    return BlockView(path, title_of(path, text), section_of(path), _owner(path), text)


def _owner(path: str) -> ServerId | None:
    server = server_of(path)
    return None if server is None else ServerId(int(server))


def _appended(present: str | None, added: str) -> str:
    # Wires and routes share one file: a new line joins those that are there.
    if present is None:
        return added
    return file_text(read(present + added).document.blocks)


def _told(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(problem for problem in problems if problem.severity is not Severity.ERROR)
