"""The values of the election: what is known, and what is under way.

What happens to it and what it wants done is in `scheduler.election_moves`.

All instants are monotonic seconds of this server; no wall clock exists here. What a
person is told is a `Said`: a text with instants, which the edge writes as times.

Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred, ControlRole
from scheduler.presets import Timing


@dataclass(frozen=True, slots=True)
class Beacon:
    """What a server says about itself, numbered by its start and a counter.

    `signature` (base64) proves to those who hear it through others that it is its own.
    """

    id: ServerId
    boot: int
    seq: int
    role: ControlRole
    epoch: int
    maxep: int
    following: ServerId | None = None
    head: str | None = None
    barred: Barred | None = None
    signature: str = field(default="", compare=False)

    @property
    def number(self) -> tuple[int, int]:
        """Later beacons of a server have greater numbers, also over restarts."""
        return (self.boot, self.seq)


@dataclass(frozen=True, slots=True)
class Relay:
    """The beacon of another server, made about `age_s` ago; its signature was right."""

    beacon: Beacon
    age_s: float


class PeerState(StrEnum):
    """What is known of another member. Alive, suspect and indirect ones are *known* (R2)."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    SUSPECT = "suspect"
    INDIRECT = "indirect"
    DEAD = "dead"
    LEFT = "left"
    CLONE = "clone"


_KNOWN = frozenset({PeerState.ALIVE, PeerState.SUSPECT, PeerState.INDIRECT})
NEVER = float("-inf")
_ID = attrgetter("id")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another member.

    `heard_at` is the last round trip; `gone` the number of the last beacon of one that
    was lost (at `lost_at`) or has left: only a greater number brings it back. `beacon` was
    made at about `beacon_at`. `counted` is the greatest number that was a sign of life, of
    `counted_at`; `via` the member that passed one on. `fast`: its link beats at the full
    rate. It took over from this server at `led_at`; `patience` tells how
    often it was lost soon after that, the last time at `lost_lead_at`.
    """

    id: ServerId
    state: PeerState = PeerState.UNKNOWN
    beacon: Beacon | None = None
    heard_at: float = NEVER
    changed_at: float = 0.0
    why: str = ""
    gone: tuple[int, int] = (-1, -1)
    lost_at: float = NEVER
    beacon_at: float = NEVER
    counted: tuple[int, int] = (-1, -1)
    counted_at: float = NEVER
    via: ServerId | None = None
    fast: bool = False
    led_at: float | None = None
    lost_lead_at: float | None = None
    patience: int = 1

    @property
    def known(self) -> bool:
        """Whether it counts in the election."""
        return self.state in _KNOWN

    @property
    def rank(self) -> tuple[bool, ServerId]:
        """The order in which servers lead (R14): the eligible first, then the lower ids."""
        return (self.beacon is not None and self.beacon.barred is not None, self.id)

    @property
    def leads(self) -> bool:
        """Whether it is known and says that it leads."""
        return self.known and self.beacon is not None and self.beacon.role is ControlRole.PRIMARY

    @property
    def head(self) -> str | None:
        """Its `cluster` head as it said last."""
        return self.beacon.head if self.beacon is not None else None


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a restart: written and synced before anything is done with it.

    `epoch` is the highest that this server ever claimed; an (epoch, id) is never used twice.
    `barred` says that this server shall not lead (R14).
    """

    boot: int = 0
    epoch: int = 0
    accepted: Accepted | None = None
    barred: Barred | None = None

    @property
    def maxep(self) -> int:
        """The highest epoch that is certain to exist."""
        return max(self.epoch, self.accepted.epoch if self.accepted else 0)


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence; `{0}`, `{1}` … stand for the instants of `at`."""

    text: str
    at: tuple[float, ...] = ()


# --- What is under way ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claiming:
    """The claim of a term is being written to the disk. `over` is a primary that was asked."""

    epoch: int
    over: ServerId | None


@dataclass(frozen=True, slots=True)
class Accepting:
    """The term of another server is being written to the disk."""

    accepted: Accepted


@dataclass(frozen=True, slots=True)
class Asking:
    """A higher primary was asked to hand over."""

    primary: ServerId
    until: float


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """The heads of others are being fetched before this server leads."""

    heads: frozenset[str]
    until: float
    over: ServerId | None


@dataclass(frozen=True, slots=True)
class Handing:
    """This server leads and was asked to hand over; the program finishes its commits."""

    requester: ServerId


Pending = Claiming | Accepting | Asking | CatchingUp | Handing


@dataclass(frozen=True, slots=True)
class View:
    """All that the election of one server knows.

    `peers` are sorted by id. `durable` is what is on the disk, `writing` what was told to be
    written last; `looked_at` is when all rules were applied last. A primary reaches nobody
    since `alone_at`. `witness` says whether the witness address answers; None if there is none.
    `hub` and `hubs`: see `election_known.hubs`. `former`: see `Members`.
    """

    me: ServerId
    timing: Timing
    durable: Durable
    role: ControlRole
    peers: tuple[Peer, ...]
    tick_at: float
    role_at: float
    listening_at: float
    maxep: int
    epoch: int = 0
    following: ServerId | None = None
    following_at: float = 0.0
    calm_at: float | None = None
    calm_for: ServerId | None = None
    pending: Pending | None = None
    head: str | None = None
    own_heads: tuple[str, ...] = ()
    asked: tuple[tuple[str, float], ...] = ()
    tokens: float = 5.0
    fetches: float = 5.0
    refused: Accepted | None = None
    interrupted: Said | None = None
    writing: Durable | None = None
    looked_at: float = 0.0
    alone_at: float | None = None
    witness: bool | None = None
    hub: bool = False
    hubs: frozenset[ServerId] = frozenset()
    former: int = 0

    def peer(self, server: ServerId) -> Peer | None:
        """The other member with that id."""
        at = bisect_left(self.peers, server, key=_ID)
        found = self.peers[at] if at < len(self.peers) else None
        return found if found is not None and found.id == server else None

    @property
    def known(self) -> tuple[Peer, ...]:
        """The other members that count, lowest id first."""
        return tuple(peer for peer in self.peers if peer.known)

    @property
    def rank(self) -> tuple[bool, ServerId]:
        """This server's place in the order in which servers lead (R14)."""
        return (self.durable.barred is not None, self.me)

    @property
    def lower(self) -> Peer | None:
        """The first known member that leads before this server; "lower" in the rules."""
        lower = [peer for peer in self.known if peer.rank < self.rank]
        return min(lower, key=lambda peer: peer.rank, default=None)

    @property
    def leader(self) -> Peer | None:
        """The lowest known other member that leads."""
        leaders = [peer for peer in self.peers if peer.leads]
        return min(leaders, key=lambda peer: peer.rank, default=None)

    @property
    def leadership(self) -> tuple[ControlRole, int, ServerId | None]:
        """What the program acts on at once: its role, the term, whom it follows."""
        return (self.role, self.epoch, self.following)

    @property
    def unfetched(self) -> frozenset[str]:
        """Heads of others that this server is not known to have."""
        heads = {peer.head for peer in self.known if peer.head is not None}
        return frozenset(heads - set(self.own_heads))


def adjusted(view: View, **changes: Any) -> View:
    """`replace`, but the same view if nothing changes: most ticks change nothing."""
    same = all(getattr(view, name) == value for name, value in changes.items())
    return view if same else replace(view, **changes)
