"""What people have not committed yet: candidates, and answers of a unification.

One JSON file each in the state directory, sealed like everything else (the texts hold
sealed tokens only), written durably so that a restart loses nothing. An answer remembers
the values that the person saw: if one of them changed meanwhile, the answer is dropped
and asked again.

Edge: files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from configrepo.model import ServerId
from configrepo.unify import Answer, Proposal, RowId, UnifyRow, answers_from_json, answers_to_json
from scheduler.state_dir import read_json, write_json
from scheduler.views import Person


@dataclass(frozen=True, slots=True)
class Candidate:
    """An unfinished change: paths with their new text (None removes), made against `base`."""

    base: str
    changes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered of a unification so far."""

    answers: Mapping[RowId, Answer]
    acknowledged: frozenset[RowId]


def _name_of(person: Person) -> str:
    # A digest: the name of a person is free text and may not become a path.
    digest = hashlib.sha256(f"{person.local}\0{person.name}".encode()).hexdigest()
    return f"candidate-{digest[:32]}.json"


def _seen(row: UnifyRow) -> str:
    text = json.dumps([row.base, row.cluster, row.joiner, row.proposal])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Drafts:
    """The drafts folder of one server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def candidate(self, person: Person) -> Candidate | None:
        """The person's candidate, or None."""
        stored = read_json(self._folder / _name_of(person))
        return None if stored is None else Candidate(stored["base"], stored["changes"])

    def keep_candidate(self, person: Person, candidate: Candidate | None) -> None:
        """Keep a candidate; None (or one without changes) removes it."""
        path = self._folder / _name_of(person)
        if candidate is None or not candidate.changes:
            path.unlink(missing_ok=True)
        else:
            write_json(path, {"base": candidate.base, "changes": dict(candidate.changes)})

    def answers(self, joiner: ServerId, proposal: Proposal) -> Answers:
        """The answers that still fit what the rows say now."""
        stored = read_json(self._folder / f"unify-{joiner}.json") or {}
        seen = stored.get("seen", {})
        fits = {r.id for r in proposal.rows if r.id in seen and seen[r.id] == _seen(r)}
        answers = answers_from_json(stored.get("answers", {}))
        return Answers(
            {row: answer for row, answer in answers.items() if row in fits},
            frozenset(row for row in stored.get("acknowledged", ()) if row in fits),
        )

    def keep_answers(self, joiner: ServerId, proposal: Proposal, answers: Answers) -> None:
        """Keep the answers with what was seen; those of unknown rows are dropped."""
        rows = {row.id: row for row in proposal.rows}
        kept = {row: answer for row, answer in answers.answers.items() if row in rows}
        acknowledged = sorted(row for row in answers.acknowledged if row in rows)
        write_json(
            self._folder / f"unify-{joiner}.json",
            {
                "answers": answers_to_json(kept),
                "acknowledged": acknowledged,
                "seen": {row: _seen(rows[row]) for row in {*kept, *acknowledged}},
            },
        )

    def forget_answers(self, joiner: ServerId) -> None:
        """Drop the answers: the unification was committed or given up."""
        (self._folder / f"unify-{joiner}.json").unlink(missing_ok=True)
