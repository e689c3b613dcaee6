"""The commit path: what turns a change into a commit, on the server that may write.

Rules:
1. Only the primary advances `cluster`; a server alone advances its own `server/<id>`.
2. A change is made against a base. What was committed meanwhile is merged by key; what
   disagrees is asked, never decided here.
3. The result must pass every check; an error names its place and forbids the commit.
4. A change needs an operator; `common/user/` and `cluster/` need an administrator,
   whichever way a change comes. Everybody may change the own password, and an operator
   may settle an open disagreement about what an operator may change.
5. The same request id is committed once.
6. Nothing is acknowledged before it is durable (`Store.move` ends with the barrier).
7. The first commit of a term, whatever it is, names the term before it and why this server
   leads; if nobody commits, `begin_term` writes one that changes no file.

It does not know who sent the change, nor how commits reach other servers.

Core: works on a store.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from configrepo.checks import check_files
from configrepo.cluster_settings import cluster_settings
from configrepo.conflicts import is_conflicts_path, needs_administrator
from configrepo.errors import DiskFull, RefMoved
from configrepo.git import merge_lines
from configrepo.healed_tree import GUARDED, is_guarded
from configrepo.layout import read_files
from configrepo.members import with_allowed_signers
from configrepo.merge import Disagreement
from configrepo.model import SCHEMA, Files, Problem, ServerId, Severity
from configrepo.remembered import Remembered
from configrepo.store import CommitId, RefUpdate, Store
from configrepo.store import Person as Author
from configrepo.unify import Answer, Invalid, RowId, Settled, StillOpen, propose, settle
from scheduler.compatibility import too_new
from scheduler.file_changes import changes_between, hints_of, servers_touched
from scheduler.views import (
    CommitOutcome,
    Committed,
    Comparison,
    Disagreed,
    FileChange,
    Person,
    Refused,
    Role,
)
from scheduler.wire import ChangeRequest

CLUSTER = "refs/heads/cluster"
TRIES = 3
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SENT_WRONG = "The form was sent in a wrong way: open the page again."
MOST_CAUSE = 300


def line_of(server: ServerId) -> str:
    """The ref of a server's own line, before it joins."""
    return f"refs/heads/server/{server}"


def term_ref(epoch: int, server: ServerId) -> str:
    """The ref of what `server` committed as primary in term `epoch`."""
    return f"refs/terms/{epoch:012d}-{server:03d}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What this server may write now: `line` is the ref that holds the configuration.

    `term` is None for a server alone. `refusal` says why nothing may be written here.
    `cause` is why this server leads the term, for the commit that begins it.
    """

    line: str
    term: int | None
    refusal: str | None = None
    cause: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Combined:
    """A change laid over the newest commit."""

    files: dict[str, str]
    disagreements: tuple[Disagreement, ...]
    problems: tuple[Problem, ...]


def lay_over(files: Files, changes: Mapping[str, str | None]) -> dict[str, str]:
    """The files with some of them replaced or (None) removed."""
    result = dict(files)
    for path, text in changes.items():
        if text is not None:
            result[path] = text
        else:
            result.pop(path, None)
    return result


def combine(
    base: Files,
    head: Files,
    changes: Mapping[str, str | None],
    choices: Mapping[RowId, Answer],
) -> Combined:
    """Merge a change made against `base` with what `head` holds now, by key.

    In `choices`, *cluster* is what was committed meanwhile and *joiner* the change.
    """
    mine = lay_over(base, changes)
    if base == head:
        return Combined(mine, (), _problems(mine))
    names = ("committed meanwhile", "this change")
    proposal = propose(base, head, mine, names, merge_lines)
    everything = frozenset(row.id for row in proposal.rows)
    match settle(proposal, choices, everything):
        case Settled(files):
            return Combined(dict(files), (), _problems(files))
        case StillOpen(row_ids):
            rows = [row for row in proposal.rows if row.id in set(row_ids)]
            open_keys = tuple(
                Disagreement(row.path, row.key, row.base, row.cluster, row.joiner) for row in rows
            )
            return Combined(dict(proposal.files), open_keys, ())
        case Invalid(problems):
            return Combined(dict(head), (), tuple(p for some in problems.values() for p in some))


_PROBLEMS: Remembered[tuple[tuple[str, str], ...], tuple[Problem, ...]] = Remembered(2**25)
"""What came of the last trees that were checked; weighed by characters.

A tree is checked when it is compared, and once more when it is committed.
"""


def _problems(files: Files) -> tuple[Problem, ...]:
    key = tuple(files.items())
    known = _PROBLEMS.get(key)
    if known is not None:
        return known
    unreadable = read_files(files)
    found = unreadable if has_error(unreadable) else check_files(files)
    weight = sum([len(path) + len(text) for path, text in key]) + 100 * len(found)
    return _PROBLEMS.keep(key, found, weight)


def has_error(problems: tuple[Problem, ...]) -> bool:
    """Whether one of the problems forbids a commit."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def guarded_paths(before: Files, after: Files) -> tuple[str, ...]:
    """The changed paths that need an administrator."""
    return tuple(c.path for c in changes_between(before, after) if _guards(c))


def _guards(change: FileChange) -> bool:
    if is_conflicts_path(change.path):
        return needs_administrator(change.path, change.before, change.after, GUARDED)
    return is_guarded(change.path)


class Changes:
    """Makes commits in one store; one at a time."""

    def __init__(
        self,
        store: Store,
        me: ServerId,
        standing: Callable[[], Standing],
        seal: Callable[[Files], dict[str, str]],
        on_commit: Callable[[CommitId], None],
        reads: int = SCHEMA,
    ) -> None:
        """`reads` is the newest schema of the configuration that this release reads."""
        self._store = store
        self._me = me
        self._standing = standing
        self._seal = seal
        self._on_commit = on_commit
        self._reads = reads
        self._one_at_a_time = threading.Lock()
        self._held: str | None = None

    def hold(self, sentence: str) -> CommitId:
        """Make no more commits; one under way is finished first. Returns the last head."""
        with self._one_at_a_time:
            self._held = sentence
            return self.head()

    def release(self) -> None:
        """Commits may be made again, as far as this server's standing allows."""
        self._held = None

    def head(self) -> CommitId:
        """The newest commit of the configuration."""
        head = self._store.ref(self._standing().line)
        assert head is not None, "every server has a line from its first start"
        return head

    def prepare(self) -> CommitId:
        """Work out ahead what the next commit wants to know of the newest commit; returns it.

        What is read and checked here is kept by its text, so that the first person who
        commits after a start does not wait for it.
        """
        head = self.head()
        files = self._store.files(head)
        if not has_error(_problems(files)):
            self._seal(files)
        return head

    def compare(
        self,
        base: str,
        changes: Mapping[str, str | None],
        choices: Mapping[RowId, Answer],
        members: tuple[ServerId, ...],
    ) -> Comparison:
        """What a change would do if it were committed now."""
        head = self.head()
        before = self._store.files(head)
        combined = combine(self._store.files(CommitId(base)), before, changes, choices)
        found = changes_between(before, combined.files)
        return Comparison(
            base=base,
            head=head,
            changes=found,
            servers=servers_touched(found, members),
            problems=combined.problems + hints_of(found),
            disagreements=combined.disagreements,
        )

    def commit(
        self, request: ChangeRequest, person: Person, own_password: bool = False
    ) -> CommitOutcome:
        """Commit a change, or say why not; nothing is changed unless it is `Committed`.

        Args:
            request: the change.
            person: who asks, with the role that this server knows.
            own_password: the change replaces nothing but the person's own password.
        """
        with self._one_at_a_time:
            for _ in range(TRIES):
                try:
                    return self._attempt(request, person, own_password)
                except RefMoved:
                    continue
                except DiskFull as error:
                    return Refused(f"Nothing was saved: {error}. Free some space and try again.")
        return Refused("Others are committing at the same moment; try again.")

    def _attempt(self, request: ChangeRequest, person: Person, own_password: bool) -> CommitOutcome:
        standing = self._standing()
        if refusal := self._refusal(standing, request):
            return Refused(refusal)
        head = self.head()
        done = self._store.find_trailer("Request-Id", request.request_id, head)
        if done is not None:
            return Committed(done.id, self._me, "This was already saved.", repeated=True)
        if not self._store.has(CommitId(request.base)):
            return Refused("The change was made against a revision that this server does not have.")
        before = self._store.files(head)
        base = self._store.files(CommitId(request.base))
        combined = combine(base, before, request.changes, request.choices)
        if combined.disagreements:
            return Disagreed(combined.disagreements)
        if has_error(combined.problems):
            return Refused("The result has errors; nothing was saved.", combined.problems)
        after = with_allowed_signers(self._seal(combined.files))
        if after == before:
            return Refused("Nothing would change: the configuration already is like this.")
        if not own_password and (sentence := _not_allowed(person, guarded_paths(before, after))):
            return Refused(sentence)
        return self._write(standing, (head,), after, request, person)

    def schema_refusal(self, after: Files) -> str | None:
        """Why these files must not become the newest: a schema that nobody could go back from."""
        before = cluster_settings(self._store.files(self.head())).format
        now = cluster_settings(after).format
        if now < before:
            return f"schema {before} of the configuration cannot go back to {now}"
        return too_new(now, self._reads)

    def _refusal(self, standing: Standing, request: ChangeRequest) -> str | None:
        if not REQUEST_ID.fullmatch(request.request_id):
            return SENT_WRONG
        return self._held or standing.refusal

    def write_merge(
        self,
        standing: Standing,
        parents: tuple[CommitId, ...],
        files: Files,
        request: ChangeRequest,
        person: Person,
    ) -> CommitOutcome:
        """Commit the files of a settled unification to the line of `standing`.

        The first parent is the head of that line, or (at the first join) of the own line.
        """
        with self._one_at_a_time:
            if refusal := self._refusal(standing, request):
                return Refused(refusal)
            done = self._store.find_trailer("Request-Id", request.request_id, self.head())
            if done is not None:
                return Committed(done.id, self._me, "This was already saved.", repeated=True)
            after = with_allowed_signers(self._seal(files))
            problems = _problems(after)
            if has_error(problems):
                return Refused("The result has errors; nothing was saved.", problems)
            try:
                return self._write(standing, parents, after, request, person)
            except RefMoved:
                return Refused("Somebody committed meanwhile: look at the rows again.")
            except DiskFull as error:
                return Refused(f"Nothing was saved: {error}. Free some space and try again.")

    def forward(self, head: CommitId, target: CommitId) -> bool:
        """Move `cluster` from `head` to a commit that grew from it; False if not now.

        Raises:
            DiskFull: nothing was changed.
        """
        with self._one_at_a_time:
            standing = self._standing()
            if self._held or standing.refusal or standing.term is None:
                return False
            try:
                self._store.move((RefUpdate(CLUSTER, head, target),), "fast-forward")
            except RefMoved:
                return False
            self._on_commit(target)
            return True

    def write_healed(
        self,
        head: CommitId,
        parents: tuple[CommitId, ...],
        files: Files,
        author: Author,
        message: str,
        trailers: Mapping[str, str],
    ) -> CommitId | None:
        """Commit the merge of two lines; `files` are sealed and checked.

        Returns:
            The commit; None if this server may not commit now, or `head` is not the newest
            commit any more: then the merge is made anew from what is true then.

        Raises:
            DiskFull: nothing was changed.
        """
        with self._one_at_a_time:
            standing = self._standing()
            if self._held or standing.refusal or standing.term is None or self.head() != head:
                return None
            said = {
                "Server": str(self._me),
                **trailers,
                "Term": f"{standing.term}-{self._me}",
                **self._beginning(standing, head),
            }
            commit = self._store.write_commit(parents, files, author, message, said)
            term = term_ref(standing.term, self._me)
            updates = (
                RefUpdate(term, self._store.ref(term), commit),
                RefUpdate(CLUSTER, head, commit),
            )
            try:
                self._store.move(updates, message.partition("\n")[0])
            except RefMoved:
                return None
            self._on_commit(commit)
            return commit

    def begin_term(self) -> CommitId | None:
        """Write the first commit of the term that this server leads; it changes no file.

        Returns:
            The commit; None if the term has one already, or nothing may be written now.

        Raises:
            DiskFull: nothing was changed.
        """
        with self._one_at_a_time:
            standing = self._standing()
            head = self._store.ref(CLUSTER)
            if self._held or standing.refusal or standing.term is None or head is None:
                return None
            beginning = self._beginning(standing, head)
            if not beginning:
                return None
            term = term_ref(standing.term, self._me)
            message = (
                f"Begin term {standing.term}: BQN {self._me} leads because {beginning['Cause']}"
            )
            trailers = {
                "Server": str(self._me),
                "Term": f"{standing.term}-{self._me}",
                **beginning,
            }
            author = Author(f"BQN {self._me}", f"server@bqn-{self._me}.invalid")
            files = self._store.files(head)
            commit = self._store.write_commit((head,), files, author, message, trailers)
            try:
                self._store.move(
                    (RefUpdate(term, None, commit), RefUpdate(CLUSTER, head, commit)),
                    f"begin term {standing.term}",
                )
            except RefMoved:
                return None
            self._on_commit(commit)
            return commit

    def _beginning(self, standing: Standing, head: CommitId) -> dict[str, str]:
        """What the first commit of a term says beyond others; nothing if there is one."""
        assert standing.term is not None, "a server alone has no term"
        if self._store.ref(term_ref(standing.term, self._me)) is not None:
            return {}
        before = self._store.revision(head).trailers.get("Term", "")
        epoch, _, server = before.partition("-")
        known = epoch.isdecimal() and server.isdecimal()
        cause = " ".join(standing.cause.split())[:MOST_CAUSE].rstrip(" .")
        return {
            "Predecessor": term_ref(int(epoch), ServerId(int(server))) if known else "none",
            "Cause": cause or "the election chose it",
        }

    def _write(
        self,
        standing: Standing,
        parents: tuple[CommitId, ...],
        files: Files,
        request: ChangeRequest,
        person: Person,
    ) -> Committed | Refused:
        if (sentence := self.schema_refusal(files)) is not None:
            return Refused(f"Nothing was saved: {sentence}.")
        # What the request says comes first: it may not speak for this server.
        trailers = {
            **request.trailers,
            "Server": str(self._me),
            "Request-Id": request.request_id,
        }
        if standing.term is not None:
            trailers["Term"] = f"{standing.term}-{self._me}"
            trailers |= self._beginning(standing, parents[0])
        commit = self._store.write_commit(
            parents, files, _author(person, self._me), request.message, trailers
        )
        updates = [RefUpdate(standing.line, self._store.ref(standing.line), commit)]
        if standing.line == CLUSTER and updates[0].old not in (None, parents[0]):
            raise RefMoved(CLUSTER)
        if standing.term is not None:
            term = term_ref(standing.term, self._me)
            updates.insert(0, RefUpdate(term, self._store.ref(term), commit))
        self._store.move(updates, request.message.partition("\n")[0])
        self._on_commit(commit)
        return Committed(commit, self._me, f"Saved on BQN {self._me}.")


def _not_allowed(person: Person, guarded: tuple[str, ...]) -> str | None:
    if not person.role.includes(Role.OPERATOR):
        return f"{person.name} may look, but not change the configuration."
    if guarded and not person.role.includes(Role.ADMINISTRATOR):
        return f"Only an administrator may change {guarded[0]}."
    return None


def _author(person: Person, me: ServerId) -> Author:
    local = f"local administrator of BQN {me}" if person.local else person.name
    return Author(local, f"{'admin' if person.local else person.name}@bqn-{me}.invalid")
