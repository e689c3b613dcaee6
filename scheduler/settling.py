"""What a merge left open, and how people settle it.

To settle is a commit like any other: it goes to the primary, is merged with what was
committed meanwhile, checked, and removes the entry from `cluster/conflicts/`. What an
operator may change an operator may settle; the rest needs an administrator, which the
primary decides on the paths of the commit.

Core: works on the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from configrepo import git
from configrepo.conflicts import OpenEntry, open_entries, without
from configrepo.errors import UnreadableConfig
from configrepo.healed_tree import is_guarded
from configrepo.model import Files, ServerId
from configrepo.placing import put_value, value_at
from configrepo.store import CommitId, Store
from configrepo.store import Person as Author
from scheduler.changes import Changes
from scheduler.disagreements_seam import Choice, Disagreements, HeldTerm, OpenDisagreement
from scheduler.file_changes import changes_between, title_of
from scheduler.heal_plan import HeldLine
from scheduler.healing import Healing
from scheduler.submission import Submission
from scheduler.views import CommitOutcome, Committed, Person, Refused, Role
from scheduler.wire import ChangeRequest

_SUBJECTS = 20
_GONE = "This was settled meanwhile; look at the page again."


class Settling:
    """Implements `scheduler.disagreements_seam.DisagreementsDesk`."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        changes: Changes,
        submission: Submission,
        healing: Healing,
        seal: Callable[[Files], dict[str, str]],
        audit: Callable[[Person, str, str], None],
    ) -> None:
        self._me = me
        self._store = store
        self._changes = changes
        self._submission = submission
        self._healing = healing
        self._seal = seal
        self._audit = audit
        self._open: tuple[CommitId | None, tuple[OpenEntry, ...]] = (None, ())

    def alarms(self) -> tuple[str, ...]:
        """What people must look at, a sentence each."""
        waiting = len(self._entries(self._changes.head()))
        found: list[str] = []
        if waiting:
            many = (
                f"{waiting} values of a merge wait" if waiting > 1 else "A value of a merge waits"
            )
            found.append(f"{many} to be settled: Administration → Disagreements.")
        found += [
            f"What BQN {one.line.term.server} committed in term {one.line.term.epoch} is held: "
            f"{one.sentence} Decide in Administration → Disagreements."
            for one in self._healing.held()
            if not self._healing.is_kept(one.line)
        ]
        return tuple(found)

    def listed(self) -> Disagreements:
        """See `DisagreementsDesk`."""
        head = self._changes.head()
        files = self._store.files(head)
        return Disagreements(
            open=tuple(_shown(one, files) for one in self._entries(head)),
            held=tuple(self._held(one) for one in self._healing.held()),
            leads=self._healing.leads(),
        )

    def _entries(self, head: CommitId) -> tuple[OpenEntry, ...]:
        if self._open[0] != head:
            self._open = (head, open_entries(self._store.files(head)))
        return self._open[1]

    def _held(self, held: HeldLine) -> HeldTerm:
        line, cluster = held.line, self._changes.head()
        lacking = git.rev_list(self._store.path, [line.head], not_from=[cluster])
        base = self._store.merge_base(cluster, line.head)
        before = {} if base is None else self._store.files(base)
        return HeldTerm(
            server=line.term.server,
            epoch=line.term.epoch,
            head=line.head,
            sentence=held.sentence,
            commits=len(lacking),
            subjects=tuple(self._store.revision(one).subject for one in lacking[:_SUBJECTS]),
            changes=changes_between(before, self._store.files(line.head)),
            kept=self._healing.is_kept(line),
        )

    def settle(self, person: Person, entry: str, choice: Choice, request_id: str) -> CommitOutcome:
        """See `DisagreementsDesk`."""
        head = self._changes.head()
        found = next((one for one in self._entries(head) if one.id == entry), None)
        if found is None:
            done = self._store.find_trailer("Request-Id", request_id, head)
            if done is None:
                return Refused(_GONE)
            return Committed(done.id, self._me, "This was already saved.", repeated=True)
        try:
            changes = self._changes_for(self._store.files(head), found, choice)
        except UnreadableConfig as error:
            return Refused("This value cannot be taken; nothing was saved.", error.problems)
        request = ChangeRequest(head, changes, _message(found, choice), request_id)
        outcome = self._submission.submit(request, person)
        self._audit(person, f"settle {found.entry.path}", _result(outcome))
        return outcome

    def _changes_for(
        self, files: Files, found: OpenEntry, choice: Choice
    ) -> Mapping[str, str | None]:
        path = found.entry.path
        after = dict(files)
        if choice.side != "keep":
            text = choice.text.strip("\n") or None
            value = found.entry.other if choice.side == "other" else text
            put_value(after, path, found.entry.key, value)
        result = after.get(path)
        sealed = None if result is None else self._seal({path: result})[path]
        changes: dict[str, str | None] = {found.file: without(files, found)}
        if sealed != files.get(path):
            changes[path] = sealed
        return changes

    def accept(self, person: Person, head: str) -> CommitOutcome:
        """See `DisagreementsDesk`."""
        held = next((one for one in self._healing.held() if one.line.head == head), None)
        refused = self._refusal(person, held)
        if refused is not None or held is None:
            return refused or Refused(_GONE)
        author = Author(person.name, f"{person.name}@bqn-{self._me}.invalid")
        commit = self._healing.accept(held.line.head, author)
        words = f"accept {held.line.term.words}"
        if commit is None:
            self._audit(person, words, "not merged")
            return Refused(
                "It could not be merged now: it cannot be read, or the lead changes. Try again."
            )
        self._audit(person, words, f"revision {commit}")
        return Committed(commit, self._me, f"The {held.line.term.words} was taken in.")

    def keep_held(self, person: Person, head: str) -> Refused | None:
        """See `DisagreementsDesk`."""
        held = next((one for one in self._healing.held() if one.line.head == head), None)
        refused = self._refusal(person, held)
        if refused is not None or held is None:
            return refused or Refused(_GONE)
        try:
            self._healing.keep(held.line.head)
        except OSError as error:
            return Refused(f"It could not be written: {error.strerror}. Free some space.")
        self._audit(person, f"keep held: {held.line.term.words}", "done")
        return None

    def _refusal(self, person: Person, held: HeldLine | None) -> Refused | None:
        if not person.role.includes(Role.ADMINISTRATOR):
            return Refused("Only an administrator decides about a held line.")
        if not self._healing.leads():
            return Refused("Held lines are decided at the primary; log in there.")
        return Refused(_GONE) if held is None else None


def _shown(found: OpenEntry, files: Files) -> OpenDisagreement:
    entry = found.entry
    text = files.get(entry.path)
    lines = (entry.applied or entry.other or entry.base or "").splitlines()
    opener = lines[0] if entry.key is None and lines else entry.path
    return OpenDisagreement(
        id=found.id,
        title=opener if text is None else title_of(entry.path, text),
        entry=entry,
        now=value_at(files, entry.path, entry.key),
        administrator=is_guarded(entry.path),
    )


def _message(found: OpenEntry, choice: Choice) -> str:
    entry = found.entry
    where = entry.path if entry.key is None else f"{entry.key} of {entry.path}"
    match choice.side:
        case "keep":
            how = "Keep what is applied"
        case "other":
            how = f"Take the value of BQN {entry.other_by.server}"
        case "edit":
            how = "Settle with another value"
    return f"{how}: {where}"


def _result(outcome: CommitOutcome) -> str:
    match outcome:
        case Committed(revision=revision):
            return f"revision {revision}"
        case Refused(sentence=sentence):
            return sentence
        case _:
            return "somebody changed it meanwhile"
