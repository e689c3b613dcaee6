"""When a server fetches from its primary, because the primary cannot push to it.

Rules:

1. The primary pushes; a server fetches only if the primary carries a newer commit and says
   that it cannot reach this server, or nothing has arrived for `PATIENCE_S`.
2. After a failure the pause doubles from 1 s to 60 s; a person may ask at once.

Times are on the monotonic clock. It does not know how anything is fetched.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from configrepo.model import ServerId

PATIENCE_S: Final = 10.0
_LONGEST_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PullFacts:
    """What is known: what the primary says it has, and whether it says it cannot push here."""

    primary: ServerId | None
    head: str | None
    have: str | None
    unreached: bool


@dataclass(frozen=True, slots=True)
class PullState:
    """How fetching stands. `waiting_for` is the commit that has not arrived since `since`."""

    waiting_for: str | None = None
    since: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    sentence: str = ""


def observed(state: PullState, facts: PullFacts, now: float) -> PullState:
    """The state after looking: since when this server waits for what the primary has."""
    if facts.primary is None or facts.head is None or facts.head == facts.have:
        return replace(state, waiting_for=None, failures=0, not_before=0.0)
    if state.waiting_for is None:
        return replace(state, waiting_for=facts.head, since=now)
    return replace(state, waiting_for=facts.head)


def must_pull(state: PullState, facts: PullFacts, now: float) -> bool:
    """Whether to fetch now."""
    if state.waiting_for is None or now < state.not_before:
        return False
    return facts.unreached or now - state.since >= PATIENCE_S


def failed(state: PullState, sentence: str, now: float) -> PullState:
    """The state after a failure."""
    pause_s = min(2.0 ** min(state.failures, 10), _LONGEST_S)
    return replace(state, failures=state.failures + 1, not_before=now + pause_s, sentence=sentence)
