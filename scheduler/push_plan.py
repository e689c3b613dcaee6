"""What a server still has to be sent, and when the next attempt is due.

There is no queue: what to send is the difference between the refs here and the refs
there, so a lost answer, a second delivery or a crash does no harm. Rules:

- A server is sent `cluster`, the terms and the lines of the others; never its own lines,
  which only it writes. A line is relayed only if its writer is (or was) a member.
- What runs where, and since when, is sent as well, but after the rest and not at once
  (`split`): with many servers these refs move often, and nobody waits for them.
- A ref is sent only if it grows there. Where the other end has more than this server, or
  something else, that ref is left alone; for `cluster` this must be merged first. Lines
  are always given: each has one writer, so they cannot conflict.
- After a failure the pause grows from 1 s to 60 s while the network is to blame; a wrong
  key, a refusal or a full disk is not mended by trying often.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from configrepo.admission import CLUSTER
from configrepo.model import ServerId
from configrepo.revision import CommitId

TERMS: Final = "refs/terms/"
LINES: Final = (CLUSTER, "refs/heads/server/", TERMS)
"""What makes the configuration; an entry that ends with `/` stands for all refs below it."""

RUNS: Final = ("refs/bqn/running/", "refs/notes/")
"""What ran where: for auditors. `refs/bqn/running/<id>` alone may also move back."""

EXCHANGED: Final = (*LINES, *RUNS)
"""Everything that servers exchange."""

RUNS_EVERY_S: Final = 10.0
"""How often at most what ran where is sent to a server that needs nothing else."""

_OWN: Final = re.compile(
    r"refs/heads/server/([0-9]+)|refs/terms/[0-9]{12}-([0-9]{3})"
    r"|refs/bqn/running/([0-9]+)|refs/notes/apply-([0-9]+)"
)
_LONGEST_S: Final = 60.0
_JITTER: Final = 0.2


class ErrorClass(StrEnum):
    """Whose fault it is that a push failed."""

    NETWORK = "network"
    AUTH = "auth"
    REFUSED = "refused"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class PushState:
    """How sending to one server stands.

    `head` is the newest `cluster` commit that the server said is on its disk; `next_try`
    is on the monotonic clock, None if nothing failed; `sentence` is what people are shown.
    """

    server: ServerId
    ok: bool = True
    head: CommitId | None = None
    sentence: str = "nothing was sent yet"
    error_class: ErrorClass | None = None
    failures: int = 0
    next_try: float | None = None
    last_success: datetime | None = None


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What to send to one server. `ahead` are refs of which it has more or something else."""

    updates: Mapping[str, CommitId] = field(default_factory=dict)
    ahead: Mapping[str, CommitId] = field(default_factory=dict)


def wanted_at(server: ServerId, here: Mapping[str, CommitId]) -> dict[str, CommitId]:
    """The refs of this server that another one should have."""
    return {
        ref: commit
        for ref, commit in here.items()
        if ref == CLUSTER or writer_of(ref) not in (None, server)
    }


def relayed(here: Mapping[str, CommitId], writers: Container[ServerId]) -> dict[str, CommitId]:
    """The refs that are passed on: `cluster` and the lines of these writers."""
    return {ref: at for ref, at in here.items() if ref == CLUSTER or writer_of(ref) in writers}


def lines_of(writers: Iterable[ServerId]) -> tuple[str, ...]:
    """What is asked of the primary by a server that fetches: lines of these writers only."""
    known = sorted(writers)
    lines = [f"refs/heads/server/{server}" for server in known]
    runs = [ref for server in known for ref in own_runs(server)]
    return (CLUSTER, TERMS, *lines, *runs)


def own_runs(server: ServerId) -> tuple[str, str]:
    """The refs in which a server says what it runs, and what it applied when."""
    return f"refs/bqn/running/{server}", f"refs/notes/apply-{server}"


def split(
    updates: Mapping[str, CommitId],
) -> tuple[dict[str, CommitId], dict[str, CommitId]]:
    """What must be sent at once, and what may wait."""
    later = {ref: commit for ref, commit in updates.items() if ref.startswith(RUNS)}
    return {ref: at for ref, at in updates.items() if ref not in later}, later


def writer_of(ref: str) -> ServerId | None:
    """The one server that writes a line; None for `cluster` and what is no line."""
    match = _OWN.fullmatch(ref)
    return None if match is None else ServerId(int(next(filter(None, match.groups()))))


def plan_push(
    server: ServerId,
    here: Mapping[str, CommitId],
    there: Mapping[str, CommitId],
    grows: Callable[[CommitId, CommitId], bool],
) -> PushPlan:
    """Compare the refs of two servers.

    Args:
        server: the receiving server.
        here: refs of this server.
        there: refs of the receiving server.
        grows: whether the second commit is, or grew from, the first.
    """
    updates: dict[str, CommitId] = {}
    ahead: dict[str, CommitId] = {}
    for ref, commit in sorted(wanted_at(server, here).items()):
        other = there.get(ref)
        back = ref.startswith(RUNS[0])
        if other is None or (other != commit and (back or grows(other, commit))):
            updates[ref] = commit
        elif other != commit:
            ahead[ref] = other
    return PushPlan(updates, ahead)


def pause_s(error_class: ErrorClass, failures: int, jitter: float) -> float:
    """How long to wait after the `failures`-th failure in a row; `jitter` from -1 to 1."""
    pause = _LONGEST_S
    if error_class is ErrorClass.NETWORK:
        pause = min(2.0 ** min(failures - 1, 10), _LONGEST_S)
    return pause * (1.0 + _JITTER * jitter)


def without_room(states: Iterable[PushState]) -> frozenset[ServerId]:
    """Whose disk was full, and who is not tried again yet: nobody needs to wait for them."""
    return frozenset(
        state.server
        for state in states
        if state.error_class is ErrorClass.DISK and state.next_try is not None
    )


def is_due(state: PushState, now: float) -> bool:
    """Whether the pause after the last failure is over."""
    return state.next_try is None or now >= state.next_try
