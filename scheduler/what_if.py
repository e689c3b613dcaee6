"""What would happen if a server died now: who would lead, and what only it has.

Rules:

1. The next to lead is the first of the servers that answer and may lead; if none of them
   may, the first of those that answer (R14 of the election).
2. A commit is lost with a server only if no other server that answers has it: who leads
   next fetches the newest head of the others first (R10).
3. What a server keeps outside the commits (candidates, answers of a unification) is on
   that server alone.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from configrepo.model import ServerId
from scheduler.elections_seam import IfDies


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of a server: whether it answers and may lead, and its newest commit."""

    id: ServerId
    answers: bool
    eligible: bool
    head: str | None


@dataclass(frozen=True, slots=True)
class WhatIfFacts:
    """Everything that the answer is made of.

    `primary` leads now. `drafts` counts the unfinished changes on this server, `me`.
    `missing(a, b)` counts the commits of head `a` that `b` does not have, None where that
    cannot be known here.
    """

    me: ServerId
    primary: ServerId | None
    servers: tuple[ServerFacts, ...]
    drafts: int
    missing: Callable[[str, str], int | None]


def what_if(facts: WhatIfFacts) -> tuple[IfDies, ...]:
    """The answer for every server, by id."""
    return tuple(_if_dies(facts, server) for server in facts.servers)


def _if_dies(facts: WhatIfFacts, server: ServerFacts) -> IfDies:
    others = [other for other in facts.servers if other.id != server.id and other.answers]
    leads = _next(facts, server, others)
    lost = _lost(facts, server, others)
    kept = tuple(
        other.id
        for other in others
        if server.head and other.head and facts.missing(server.head, other.head) == 0
    )
    return IfDies(
        server=server.id,
        leads=leads,
        sentence=_sentence(facts, server, leads),
        lost=lost,
        replicated=_replicated(facts, server, lost, kept),
        kept_on=kept,
    )


def _next(facts: WhatIfFacts, server: ServerFacts, others: list[ServerFacts]) -> ServerId | None:
    if facts.primary is not None and facts.primary != server.id:
        return facts.primary
    eligible = [other.id for other in others if other.eligible]
    return min(eligible or [other.id for other in others], default=None)


def _lost(facts: WhatIfFacts, server: ServerFacts, others: list[ServerFacts]) -> int | None:
    if server.head is None or not server.answers:
        return None
    counts = [facts.missing(server.head, other.head) for other in others if other.head]
    known = [count for count in counts if count is not None]
    return min(known, default=None)


def _sentence(facts: WhatIfFacts, server: ServerFacts, leads: ServerId | None) -> str:
    if not server.answers:
        return f"BQN {server.id} does not answer already."
    if leads is None:
        return "Nobody would lead: no other server answers."
    if leads == facts.primary:
        return f"BQN {leads} goes on leading."
    by_name = {other.id: other for other in facts.servers}
    second = "" if by_name[leads].eligible else ", although it shall not, because no other can"
    return f"BQN {leads} would lead, as the first of those that answer{second}."


def _replicated(
    facts: WhatIfFacts, server: ServerFacts, lost: int | None, kept: tuple[ServerId, ...]
) -> str:
    drafts = ""
    if server.id == facts.me and facts.drafts:
        plural = "s" if facts.drafts != 1 else ""
        drafts = f" {facts.drafts} unfinished change{plural} or answers are kept only here."
    if not server.answers:
        return "What it committed since it was heard last is not known here."
    if lost is None and not any(s.answers for s in facts.servers if s.id != server.id):
        return f"No other server answers, so it is not known what they have.{drafts}"
    if lost is None:
        return f"It is not known whether another server has its newest commit.{drafts}"
    if lost == 0:
        on = f" ({len(kept)} of the others have all of them)" if kept else ""
        return f"Every commit is on another server too{on}.{drafts}"
    return f"{lost} commit{'s' if lost != 1 else ''} would not be replicated yet.{drafts}"
