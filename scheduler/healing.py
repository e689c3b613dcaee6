"""Joins the lines of terms that grew apart: after a cut, after a crash, after a return.

The primary looks at all term lines that its `cluster` does not contain, asks
`scheduler.heal_plan` and does one step after the other until nothing is left: a
fast-forward, or a merge whose tree is a function of the two heads
(`scheduler.merged_heads`). The merge commit has both heads as parents, so every server
accepts it as a fast-forward; what waits for people is in `cluster/conflicts/` within it.
There is no queue: the refs are the to-do list, so a second run finds nothing to do, and a
run that was cut short is simply repeated.

Core: works on the store.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from configrepo import git
from configrepo.cluster_settings import PATH as CLUSTER_SETTINGS
from configrepo.errors import RefMoved, UnreadableConfig
from configrepo.layout import read_files
from configrepo.model import Files, Problem, ServerId, Severity
from configrepo.store import CommitId, Person, RefUpdate, Store
from scheduler.changes import CLUSTER, Changes, has_error
from scheduler.heal_plan import (
    BURST,
    TERMS,
    FastForward,
    HealPlan,
    HeldLine,
    Merge,
    OpenLine,
    Term,
    plan_healing,
    term_of_ref,
    term_of_trailers,
)
from scheduler.merged_heads import merged_heads
from scheduler.roster import Roster
from scheduler.state_dir import read_json, write_json
from scheduler.token_bucket import TokenBuckets

_MOST_STEPS = 64
_log = logging.getLogger(__name__)
_NAME = "healing.json"


@dataclass(frozen=True, slots=True)
class HealSeams:
    """What healing asks of the program around it.

    Attributes:
        leading: whether this server is the primary.
        confirmed: the newest `cluster` that each server said to have on its disk.
        reseal: the files with every secret sealed by the current key.
        monotonic: seconds.
        dead_s: after how long a silent server counts as dead (one more merge in each).
    """

    leading: Callable[[], bool]
    confirmed: Callable[[], Mapping[ServerId, CommitId]]
    reseal: Callable[[Files], dict[str, str]]
    monotonic: Callable[[], float]
    dead_s: float


class Healing:
    """Joins lines in the store of one server."""

    def __init__(
        self,
        me: ServerId,
        state: Path,
        store: Store,
        changes: Changes,
        roster: Roster,
        seams: HealSeams,
    ) -> None:
        self._me = me
        self._record = state / _NAME
        self._store = store
        self._changes = changes
        self._roster = roster
        self._seams = seams
        self._guard = threading.RLock()
        self._tokens = TokenBuckets(1.0 / seams.dead_s, BURST)
        self._unreadable: dict[CommitId, str] = {}
        self._accepted: dict[CommitId, Person] = {}
        self._nothing_open: tuple[CommitId, dict[str, CommitId]] | None = None
        self._held: tuple[HeldLine, ...] = ()
        kept = read_json(self._record) or {}
        self._confirmed = {ServerId(int(k)): CommitId(v) for k, v in kept.get("had", {}).items()}
        self._kept: frozenset[str] = frozenset(kept.get("kept", ()))

    # --- what is known ------------------------------------------------------------------

    def seen(self, head: CommitId) -> None:
        """Another server has this commit; it is here. Its terms become lines here, too.

        Lines have one writer and only grow, so that taking them loses nothing.
        """
        with self._guard:
            cluster = self._store.ref(CLUSTER)
            known = [] if cluster is None else [cluster]
            newest: dict[Term, CommitId] = {}
            for commit in git.rev_list(self._store.path, [head], not_from=known):
                term = term_of_trailers(self._store.revision(commit).trailers)
                if term is not None:
                    newest.setdefault(term, commit)
            updates = [
                RefUpdate(term.ref, self._store.ref(term.ref), commit)
                for term, commit in newest.items()
            ]
            grown = [
                one
                for one in updates
                if one.new is not None
                and one.old != one.new
                and (one.old is None or self._store.is_ancestor(one.old, one.new))
            ]
            if grown:
                try:
                    self._store.move(grown, "seen at another server")
                except RefMoved:
                    # A push brought the same line at the same moment; it is looked at again.
                    return

    def joined(self, head: CommitId) -> bool:
        """Whether `cluster` contains this commit."""
        cluster = self._store.ref(CLUSTER)
        return (
            cluster is not None and self._store.has(head) and self._store.is_ancestor(head, cluster)
        )

    def leads(self) -> bool:
        """Whether this server decides about held lines now."""
        return self._seams.leading()

    def held(self) -> tuple[HeldLine, ...]:
        """The lines that wait for people, as the last run found them."""
        return self._held if self._seams.leading() else ()

    def is_kept(self, line: OpenLine) -> bool:
        """Whether people decided to leave the line as it is; its alarm is silent."""
        return line.head in self._kept

    # --- what people decide ---------------------------------------------------------------

    def accept(self, head: CommitId, person: Person) -> CommitId | None:
        """Take in a held line at exactly this head; None if that was not possible now."""
        with self._guard:
            self._accepted[head] = person
            self.run()
            return self._store.ref(CLUSTER) if self.joined(head) else None

    def keep(self, head: CommitId) -> None:
        """Leave a held line as it is."""
        with self._guard:
            self._kept |= {head}
            self._remember()

    # --- the run ----------------------------------------------------------------------------

    def run(self) -> str:
        """Join whatever is open, if this server leads; says what was done."""
        with self._guard:
            if not self._seams.leading():
                return "this server does not lead: nothing is joined"
            self._note_confirmed()
            done: list[str] = []
            for _ in range(_MOST_STEPS):
                plan = self._plan()
                self._held = plan.held
                if plan.step is None:
                    break
                sentence = self._take(plan.step)
                if sentence is None:
                    break
                done.append(sentence)
            held = f"{len(self._held)} lines are held" if self._held else "nothing is held"
            return "; ".join([*done, held])

    def _plan(self) -> HealPlan:
        cluster = self._store.ref(CLUSTER)
        if cluster is None:
            return HealPlan(None)
        heads = self._store.refs(TERMS)
        if not heads or self._nothing_open == (cluster, heads):
            return HealPlan(None)
        missing = set(git.rev_list(self._store.path, sorted({*heads.values()}), not_from=[cluster]))
        lines = tuple(
            self._line(term, head, cluster)
            for ref, head in sorted(heads.items())
            if head in missing and (term := term_of_ref(ref)) is not None
        )
        self._nothing_open = None if lines else (cluster, heads)
        return plan_healing(self._me, lines)

    def _line(self, term: Term, head: CommitId, cluster: CommitId) -> OpenLine:
        confirmed = self._confirmed.get(term.server)
        known = confirmed is not None and self._store.has(confirmed)
        return OpenLine(
            term=term,
            head=head,
            grew=self._store.is_ancestor(cluster, head),
            member=self._roster.member(term.server) is not None,
            confirmed=not known or confirmed is None or self._store.is_ancestor(confirmed, head),
            unreadable=self._unreadable.get(head),
            accepted=head in self._accepted,
        )

    def _take(self, step: FastForward | Merge) -> str | None:
        """Do one step; None if it has to wait."""
        line = step.line
        try:
            match step:
                case FastForward():
                    done = self._forward(line)
                case Merge():
                    done = self._merge(line)
        except UnreadableConfig as error:
            self._unreadable[line.head] = str(error)
            return f"{line.term.words} cannot be read"
        return done

    def _forward(self, line: OpenLine) -> str | None:
        cluster = self._store.ref(CLUSTER)
        files = self._store.files(line.head)
        unreadable = read_files(files)
        if has_error(unreadable):
            raise UnreadableConfig(unreadable)
        if (refused := self._changes.schema_refusal(files)) is not None:
            raise UnreadableConfig((Problem(Severity.ERROR, 0, 0, refused, CLUSTER_SETTINGS),))
        if cluster is None or not self._changes.forward(cluster, line.head):
            return None
        return f"{line.term.words} was ahead and is taken over"

    def _merge(self, line: OpenLine) -> str | None:
        cluster = self._store.ref(CLUSTER)
        if cluster is None or not self._tokens.take("merge", self._seams.monotonic()):
            return None
        merged = merged_heads(self._store, cluster, line.head, self._seams.reseal)
        author = self._accepted.get(line.head) or _author(self._me)
        trailers = {
            "Merge-Of": line.term.ref.removeprefix("refs/"),
            "Open-Conflicts": str(merged.waiting),
        }
        message = (
            f"Merge what BQN {line.term.server} committed in term {line.term.epoch}\n\n"
            "Two servers led at the same time. What only one of them changed is kept; where\n"
            "both changed a value, that of the lower id is applied and the other one waits\n"
            "in cluster/conflicts/."
        )
        parents = (cluster, line.head)
        commit = self._changes.write_healed(
            cluster, parents, merged.files, author, message, trailers
        )
        if commit is None:
            return None
        return f"{line.term.words} was merged, {merged.waiting} values wait"

    # --- what is remembered ---------------------------------------------------------------

    def _note_confirmed(self) -> None:
        now = {**self._confirmed, **self._seams.confirmed()}
        if now == self._confirmed:
            return
        self._confirmed = now
        try:
            self._remember()
        except OSError as error:
            # Known until the next start; a full disk must not keep lines apart.
            _log.warning("what the others confirmed could not be written: %s", error)

    def _remember(self) -> None:
        had = {str(server): head for server, head in self._confirmed.items()}
        write_json(self._record, {"had": had, "kept": sorted(self._kept)})


def _author(me: ServerId) -> Person:
    return Person(f"BQN {me}", f"bqn-{me}@bqn-{me}.invalid")
