"""Unifying a joiner with the primary's line: the proposal, the answers, the merge commit.

The proposal is a function of two commits and is computed anew each time, so a change
that is committed meanwhile is in it at once; answers whose row changed are dropped and
asked again. The commit has two parents: the cluster (at the first join the primary's own
line) and the joiner's line.

Core: works on the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from configrepo.checks import check_files
from configrepo.errors import UnreadableConfig
from configrepo.git import merge_lines
from configrepo.layout import read_files
from configrepo.members import Member, member_file, members_of, with_allowed_signers
from configrepo.model import Document, Files, Problem, ServerId
from configrepo.parser import read
from configrepo.store import CommitId, Store
from configrepo.unify import (
    Answer,
    Edit,
    Invalid,
    Proposal,
    RowId,
    Settled,
    StillOpen,
    Take,
    UnifyRow,
    answers_with,
    problems_by_row,
    propose,
    settle,
)
from configrepo.writer import block_text
from scheduler.changes import CLUSTER, Changes, Standing, has_error, line_of
from scheduler.drafts import Answers, Drafts
from scheduler.file_changes import changes_between, hints_of, servers_touched
from scheduler.member_plan import secrets_known_to, successor, told_secrets, with_sealing_key
from scheduler.submission import Acknowledge
from scheduler.views import CommitOutcome, Committed, Comparison, Person, Refused, Unification
from scheduler.wire import ChangeRequest

_GONE = "No unification is waiting any more; nothing was kept."


class Unifying:
    """The unification that waits at this server, if a joiner was let in."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        changes: Changes,
        drafts: Drafts,
        reseal: Callable[[Files], dict[str, str]],
        seal: Callable[[Document, str], Document],
        admitted: Callable[[], Member | None],
        own_record: Callable[[], Member],
        standing: Callable[[], Standing],
        expected: Callable[[], tuple[str | None, bool]] = lambda: (None, False),
        acknowledged: Acknowledge = lambda outcome, _also: outcome,
        new_key: Callable[[ServerId], str] | None = None,
    ) -> None:
        """Wire it.

        Args:
            me: this server.
            store: its repository.
            changes: the commit path.
            drafts: where answers are kept.
            reseal: seals tokens anew with the current key.
            seal: seals what was typed in clear.
            admitted: the server that was let in.
            own_record: this server's own record.
            standing: what may be written, for the commit.
            expected: where the joiner's line ended when it entered, and whether it takes a
                place.
            acknowledged: waits until a commit is where it should be.
            new_key: makes a key and gives it to all but one server; returns its id. None:
                the key stays where a place is taken.
        """
        self._new_key = new_key
        self._me = me
        self._store = store
        self._changes = changes
        self._drafts = drafts
        self._reseal = reseal
        self._seal = seal
        self._admitted = admitted
        self._own_record = own_record
        self._standing = standing
        self._expected = expected
        self._acknowledged = acknowledged
        self._guard = threading.Lock()
        self._answering = threading.Lock()
        self._last: tuple[tuple[str, str], Proposal] | None = None

    def joiner(self) -> Member | None:
        """The server that was let in, once its line arrived here."""
        joiner = self._admitted()
        head = None if joiner is None else self._store.ref(line_of(joiner.id))
        if joiner is None or head is None:
            return None
        line, _ = self._expected()
        if line and not (self._store.has(CommitId(line)) and self._grew(CommitId(line), head)):
            return None
        return joiner

    def _grew(self, older: CommitId, newer: CommitId) -> bool:
        return self._store.is_ancestor(older, newer)

    def current(self) -> Unification | None:
        """See `Desk.unification`."""
        joiner = self.joiner()
        if joiner is None:
            return None
        proposal = self._proposal(joiner)
        kept = self._drafts.answers(joiner.id, proposal)
        problems, open_rows = self._judge(proposal, kept, joiner)
        head = self._store.files(self._changes.head())
        members = tuple(m.id for m in members_of(head) if m.state == "active") or (self._me,)
        return Unification(
            replaces=self._replaces,
            secrets=self._secrets(joiner),
            joiner=joiner.id,
            joiner_name=joiner.name,
            cluster_name=self._names(joiner)[0],
            servers=members,
            proposal=proposal,
            answers=kept.answers,
            acknowledged=kept.acknowledged,
            problems=problems,
            open_rows=open_rows,
        )

    @property
    def _replaces(self) -> bool:
        return self._expected()[1]

    def _secrets(self, joiner: Member) -> tuple[tuple[str, str], ...]:
        """What the hardware knew whose place is taken."""
        if not self._replaces:
            return ()
        return secrets_known_to(self._store.files(self._changes.head()), joiner.id)

    def _names(self, joiner: Member) -> tuple[str, str]:
        alone = self._store.ref(CLUSTER) is None
        return (f"BQN {self._me}" if alone else "the cluster", f"BQN {joiner.id}")

    def _proposal(self, joiner: Member) -> Proposal:
        ours, theirs = self._changes.head(), self._joiner_head(joiner)
        with self._guard:
            if self._last is None or self._last[0] != (ours, theirs):
                base = self._store.merge_base(ours, theirs)
                proposal = propose(
                    self._reseal(_shared(self._store.files(base) if base else {})),
                    self._reseal(_shared(self._store.files(ours))),
                    self._reseal(_shared(self._store.files(theirs))),
                    self._names(joiner),
                    merge_lines,
                )
                specific = self._specific(joiner, theirs)
                self._last = ((ours, theirs), replace(proposal, server_specific=specific))
            return self._last[1]

    def _joiner_head(self, joiner: Member) -> CommitId:
        head = self._store.ref(line_of(joiner.id))
        assert head is not None, "asked only when the line was fetched"
        return head

    def _specific(self, joiner: Member, theirs: CommitId) -> dict[str, str]:
        files = self._store.files(theirs)
        own = {p: text for p, text in files.items() if p.startswith(f"servers/{joiner.id}/")}
        return self._reseal(own)

    def _judge(
        self, proposal: Proposal, kept: Answers, joiner: Member
    ) -> tuple[Mapping[str, tuple[Problem, ...]], tuple[RowId, ...]]:
        """The problems of the result as it stands, per row, and the rows that are open."""
        match settle(proposal, kept.answers, kept.acknowledged):
            case StillOpen(row_ids):
                # What is answered is judged now, with the cluster's values for the rest.
                filled = {**{row: Take("cluster") for row in row_ids}, **kept.answers}
                everything = frozenset(row.id for row in proposal.rows)
                settled = settle(proposal, filled, everything)
            case settled:
                row_ids = ()
        match settled:
            case Settled(files):
                problems = self._problems(self._whole(files, joiner))
                return problems_by_row(proposal, problems), row_ids
            case Invalid(unread):
                return unread, row_ids
            case StillOpen():
                return {}, row_ids

    def _whole(self, settled: Files, joiner: Member) -> dict[str, str]:
        """The tree of the merge commit: common parts as settled, the rest side by side."""
        ours = self._store.files(self._changes.head())
        kept = {path: text for path, text in ours.items() if not path.startswith("common/")}
        theirs = self._specific(joiner, self._joiner_head(joiner))
        if self._replaces and any(p.startswith(f"servers/{joiner.id}/") for p in kept):
            theirs = {}  # it takes a place: what the cluster keeps for it counts
        old = next((member for member in members_of(ours) if member.id == joiner.id), None)
        record = successor(old, joiner, datetime.now(UTC))
        members = dict([member_file(self._own_record()), member_file(record)])
        common = {path: text for path, text in settled.items() if path.startswith("common/")}
        return with_allowed_signers({**kept, **theirs, **common, **members})

    def _problems(self, files: Files) -> tuple[Problem, ...]:
        unreadable = read_files(files)
        return unreadable if has_error(unreadable) else check_files(files)

    def answer(
        self, answers: Mapping[RowId, Answer | None], acknowledged: frozenset[RowId]
    ) -> Unification | Refused:
        """See `Desk.answer`."""
        joiner = self.joiner()
        if joiner is None:
            return Refused(_GONE)
        proposal = self._proposal(joiner)
        titles = {row.id: row for row in proposal.rows}
        said = {
            row: None if answer is None else self._sealed(titles[row], answer)
            for row, answer in answers.items()
            if row in titles
        }
        with self._answering:
            before = self._drafts.answers(joiner.id, proposal)
            kept = Answers(
                answers_with(before.answers, said),
                (before.acknowledged - said.keys()) | acknowledged,
            )
            self._drafts.keep_answers(joiner.id, proposal, kept)
        return self.current() or Refused(_GONE)

    def _sealed(self, row: UnifyRow, answer: Answer) -> Answer:
        """The answer with a secret that was typed sealed: drafts hold none in clear."""
        if not isinstance(answer, Edit):
            return answer
        lines = answer.text.strip().splitlines()
        block = "\n ".join(lines if row.key is None else [row.title, *lines])
        try:
            sealed = self._seal(read(block).document, str(self._me))
        except UnreadableConfig:
            return answer  # said at its row; it cannot be committed
        if sealed == read(block).document or len(sealed.blocks) != 1:
            return answer
        texts = [line.strip() for line in block_text(sealed.blocks[0]).splitlines()]
        return Edit("\n".join(texts if row.key is None else texts[1:]))

    def _settled(self, joiner: Member) -> dict[str, str] | Refused:
        proposal = self._proposal(joiner)
        kept = self._drafts.answers(joiner.id, proposal)
        match settle(proposal, kept.answers, kept.acknowledged):
            case Settled(files):
                return self._whole(files, joiner)
            case StillOpen(row_ids, sentences):
                count = f"{len(row_ids)} row{'s are' if len(row_ids) != 1 else ' is'} still open"
                return Refused(f"{count}: {'; '.join(sentences[:3])}")
            case Invalid(problems):
                found = tuple(problem for some in problems.values() for problem in some)
                return Refused("Some answers cannot be taken; nothing was saved.", found)

    def compare(self) -> Comparison | Refused:
        """See `Desk.compare_unification`."""
        joiner = self.joiner()
        if joiner is None:
            return Refused("No unification is waiting.")
        files = self._settled(joiner)
        if isinstance(files, Refused):
            return files
        head = self._changes.head()
        before = self._store.files(head)
        changes = changes_between(before, files)
        members = tuple(m.id for m in members_of(before)) or (self._me,)
        touched = servers_touched(changes, members)
        problems = self._problems(files) + hints_of(changes)
        return Comparison(head, head, changes, (*touched, joiner.id), problems)

    def commit(self, person: Person, message: str, request_id: str) -> CommitOutcome:
        """See `Desk.commit_unification`."""
        joiner = self.joiner()
        if joiner is None:
            done = self._store.find_trailer("Request-Id", request_id, self._changes.head())
            if done is not None:
                return Committed(done.id, self._me, "This was already saved.", repeated=True)
            return Refused("No unification is waiting.")
        # Read first: whoever saves from here on makes this commit fail, and is not overwritten.
        head = self._changes.head()
        files = self._settled(joiner)
        if isinstance(files, Refused):
            return files
        if self._replaces and self._new_key is not None:
            # Like a server that is removed, the old hardware is in nobody's hands any more.
            message = "\n".join([message, *told_secrets(self._secrets(joiner))])
            changed = with_sealing_key(files, self._new_key(joiner.id))
            files |= {path: text for path, text in changed.items() if text is not None}
        request = ChangeRequest(
            base=head,
            changes={},
            message=message,
            request_id=request_id,
            trailers={"Merge-Of": f"server/{joiner.id}"},
        )
        parents = (CommitId(request.base), self._joiner_head(joiner))
        outcome = self._changes.write_merge(self._standing(), parents, files, request, person)
        if isinstance(outcome, Committed) and not outcome.repeated:
            self._drafts.forget_answers(joiner.id)
        return self._acknowledged(outcome, (joiner.id,))


def _shared(files: Files) -> dict[str, str]:
    return {path: text for path, text in files.items() if path.startswith("common/")}
