"""What one server found when it tried to reach another one, and how that travels.

A finding is small, because a cluster of 256 servers has 65,280 pairs with two of them
each: a cause word, the milliseconds it took, and words of the other side where it had any.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from configrepo.model import ServerId
from scheduler import causes
from scheduler.errors import RemoteRefused

MOST_WORDS = 300
_LONGEST_MS = 3_600_000
# One for all, and one for each other server.
_ADDRESSES = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """One of the two checks of a pair: a word of `scheduler.causes`, and how long it took."""

    cause: str
    ms: int = 0
    detail: str = ""

    @property
    def reached(self) -> bool:
        """Whether the other server was reached, if slowly or with a wrong clock."""
        return self.cause in causes.REACHED


@dataclass(frozen=True, slots=True)
class Pair:
    """What `source` found when it tried to reach `target`."""

    source: ServerId
    target: ServerId
    control: Finding
    ssh: Finding

    @property
    def fine(self) -> bool:
        """Whether there is nothing to say about it."""
        return self.control.cause == causes.OK and self.ssh.cause == causes.OK


@dataclass(frozen=True, slots=True)
class Standpoint:
    """What a server says of its own place in the network.

    `inside` is its address as it sees it itself. `foreign` are those of the addresses at which
    others dial it that no interface of it has: a router before it translates them.
    """

    inside: str = ""
    foreign: tuple[str, ...] = ()


Row = list[Any]


def row_of(pair: Pair) -> Row:
    """A pair as it travels and is kept; the asked server is its source."""
    control, ssh = pair.control, pair.ssh
    return [pair.target, control.cause, control.ms, control.detail, ssh.cause, ssh.ms, ssh.detail]


def pair_from_row(source: ServerId, row: object, targets: Collection[ServerId]) -> Pair:
    """The pair of a row that another server sent.

    Raises:
        RemoteRefused: it has the wrong form or is about a server that was not asked for.
    """
    match row:
        case [int(target), *findings] if target in targets and len(findings) == 6:
            return Pair(
                source,
                ServerId(target),
                _finding(findings[:3], source),
                _finding(findings[3:], source),
            )
    raise RemoteRefused(f"the results of BQN {source} cannot be read: another release?")


def _finding(values: list[Any], source: ServerId) -> Finding:
    match values:
        case [str(cause), int(ms), str(detail)] if 0 <= ms <= _LONGEST_MS:
            known = cause if cause in causes.WORDS else causes.NO_ANSWER
            return Finding(known, ms, printable(detail))
    raise RemoteRefused(f"the results of BQN {source} cannot be read: another release?")


def printable(words: str) -> str:
    """Words of another server, safe to show and not endless."""
    return "".join(c if c.isprintable() else " " for c in words[:MOST_WORDS])


def standpoint_from_json(value: Mapping[str, Any]) -> Standpoint:
    """What a server says of its place; what cannot be read counts as not said."""
    inside, foreign = value.get("inside"), value.get("foreign")
    found = foreign[:_ADDRESSES] if isinstance(foreign, list) else []
    return Standpoint(
        printable(inside)[:64] if isinstance(inside, str) else "",
        tuple(address for address in found if isinstance(address, str)),
    )
