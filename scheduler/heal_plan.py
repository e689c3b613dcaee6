"""Which lines of other terms the primary takes in by itself, and which wait for people.

Each primary commits to the line of its own term, so a cut leaves two lines that grew
apart. The primary joins every line that its `cluster` does not contain (R10):

1. A line that grew from `cluster` is a fast-forward; any other one is merged.
2. Newest term first: an older term is often contained in a newer one. One step at a
   time, because after it everything is looked at anew; a second look finds nothing to do.
3. A line is held, with a sentence, if it does not contain what its server had confirmed
   to have: a server that lost contact goes on from what it had, so such a line did not
   begin when contact was lost. A line of a server that is no member is held, too, and one
   that cannot be read. A line that an administrator accepted at exactly this head is not.
4. Merges take a token (R12): at most `BURST` at once, then one in each `dead`.

Signatures were checked when the commits came in (`configrepo.authorship`).

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from configrepo.model import ServerId
from configrepo.revision import CommitId

BURST: Final = 5
TERMS: Final = "refs/terms/"

_TERM_REF = re.compile(r"refs/terms/(?P<epoch>[0-9]{12})-(?P<id>[0-9]{3})")
_TRAILER = re.compile(r"(?P<epoch>0|[1-9][0-9]{0,11})-(?P<id>0|[1-9][0-9]{0,2})")


@dataclass(frozen=True, slots=True)
class Term:
    """The time that one server led, numbered."""

    epoch: int
    server: ServerId

    @property
    def ref(self) -> str:
        """Its line."""
        return f"{TERMS}{self.epoch:012d}-{self.server:03d}"

    @property
    def words(self) -> str:
        """What people call it."""
        return f"term {self.epoch} of BQN {self.server}"


def term_of_ref(ref: str) -> Term | None:
    """The term of a line; None for another ref."""
    return _term(_TERM_REF.fullmatch(ref))


def term_of_trailers(trailers: Mapping[str, str]) -> Term | None:
    """The term that a commit says it was made in; None for one that was made in none."""
    return _term(_TRAILER.fullmatch(trailers.get("Term", "")))


def _term(match: re.Match[str] | None) -> Term | None:
    return None if match is None else Term(int(match["epoch"]), ServerId(int(match["id"])))


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A line of which `cluster` lacks commits.

    Attributes:
        term: whose line it is.
        head: its newest commit.
        grew: whether it grew from `cluster`.
        member: whether its server is an active member.
        confirmed: whether it contains what its server confirmed last; True if nothing is
            known of that.
        unreadable: why it cannot be merged; None if it can.
        accepted: whether an administrator accepted it at this head.
    """

    term: Term
    head: CommitId
    grew: bool
    member: bool = True
    confirmed: bool = True
    unreadable: str | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class HeldLine:
    """A line that waits for people, and why."""

    line: OpenLine
    sentence: str


@dataclass(frozen=True, slots=True)
class FastForward:
    """`cluster` moves to the head of the line."""

    line: OpenLine


@dataclass(frozen=True, slots=True)
class Merge:
    """The line is merged into `cluster`."""

    line: OpenLine


@dataclass(frozen=True, slots=True)
class HealPlan:
    """The next step, if there is one, and the lines that wait for people."""

    step: FastForward | Merge | None
    held: tuple[HeldLine, ...] = ()


def plan_healing(me: ServerId, lines: tuple[OpenLine, ...]) -> HealPlan:
    """Decide about all open lines; the same lines in any order give the same plan."""
    ordered = sorted(lines, key=lambda line: (-line.term.epoch, line.term.server))
    held: list[HeldLine] = []
    step: FastForward | Merge | None = None
    for line in ordered:
        sentence = why_held(me, line)
        if sentence is not None:
            held.append(HeldLine(line, sentence))
        elif step is None:
            step = FastForward(line) if line.grew else Merge(line)
    return HealPlan(step, tuple(held))


def why_held(me: ServerId, line: OpenLine) -> str | None:
    """Why a line is not taken in without an administrator; None if it is."""
    if line.unreadable is not None:
        return f"What BQN {line.term.server} committed cannot be merged: {line.unreadable}"
    if line.accepted or line.term.server == me:
        return None
    if not line.member:
        return f"BQN {line.term.server} is not a member of the cluster."
    if not line.confirmed:
        return (
            f"BQN {line.term.server} had confirmed newer commits before: this line did not begin "
            f"when contact to it was lost."
        )
    return None


def lower_first(a: tuple[Term | None, CommitId], b: tuple[Term | None, CommitId]) -> bool:
    """Whether `a` is the lower line of two: the lower id, then the earlier term.

    A head that was made in no term counts as the highest; of two such, and of two heads of
    one term, the commit id decides, so that every server sees it alike.
    """
    return _rank(*a) <= _rank(*b)


def _rank(term: Term | None, head: CommitId) -> tuple[int, int, str]:
    return (256, 0, head) if term is None else (term.server, term.epoch, head)
