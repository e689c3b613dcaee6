"""What happens to the election, and what it wants to be done: what `election.step` takes and gives.

All instants are monotonic seconds of this server; a caller carries the events to `step` and
does the actions in their order.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from configrepo.model import ServerId
from scheduler.control_view import Barred
from scheduler.election_values import Beacon, Durable, Relay

# --- Events -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Members:
    """Who else belongs to the cluster.

    `founding` says that this server just made it, `former` how many servers had its id before
    (R6).
    """

    others: tuple[ServerId, ...]
    founding: bool = False
    former: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """A beacon arrived, with those that its sender passes on.

    `round_trip` says that it answers a question of this server of `took_s` ago.
    """

    beacon: Beacon
    round_trip: bool
    relays: tuple[Relay, ...] = ()
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection ended without good-bye, and new ones were refused (R2)."""

    server: ServerId
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """A server said good-bye."""

    server: ServerId
    boot: int


@dataclass(frozen=True, slots=True)
class Disputed:
    """Two servers run with the key of this member (R11), or that is settled (None)."""

    server: ServerId
    why: str | None


@dataclass(frozen=True, slots=True)
class Witness:
    """Whether the witness address answers (R13); None: there is none."""

    answers: bool | None


@dataclass(frozen=True, slots=True)
class Persisted:
    """What was to be written is on the disk."""

    durable: Durable


@dataclass(frozen=True, slots=True)
class HandoverAsked:
    """Another server asks this one to hand over."""

    requester: ServerId


@dataclass(frozen=True, slots=True)
class HandoverDone:
    """The program stopped accepting commits; this is its head."""

    head: str | None


@dataclass(frozen=True, slots=True)
class HandoverGranted:
    """The primary that was asked has stopped leading."""

    server: ServerId
    epoch: int
    head: str | None


@dataclass(frozen=True, slots=True)
class HandoverRefused:
    """The server that was asked does not hand over."""

    server: ServerId
    why: str


@dataclass(frozen=True, slots=True)
class HeadMoved:
    """This server's `cluster` head moved."""

    head: str | None


@dataclass(frozen=True, slots=True)
class Bar:
    """This server shall not lead from now on (R14), or may again."""

    barred: Barred | None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """This server's line contains a head that it was to fetch."""

    head: str


@dataclass(frozen=True, slots=True)
class Stalled:
    """The program does not react: what it would have to do as a primary is not done."""

    why: str


Event = (
    Tick
    | Members
    | Heard
    | Lost
    | Left
    | Disputed
    | Witness
    | Persisted
    | HandoverAsked
    | HandoverDone
    | HandoverGranted
    | HandoverRefused
    | HeadMoved
    | Bar
    | CaughtUp
    | Stalled
)


# --- Actions ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Persist:
    """Write and sync this, then say `Persisted`."""

    durable: Durable


@dataclass(frozen=True, slots=True)
class AskHandover:
    """Send HANDREQ to the primary."""

    to: ServerId


@dataclass(frozen=True, slots=True)
class GrantHandover:
    """Send HANDOK."""

    to: ServerId
    epoch: int
    head: str | None


@dataclass(frozen=True, slots=True)
class RefuseHandover:
    """Send HANDNO."""

    to: ServerId
    why: str


@dataclass(frozen=True, slots=True)
class StopCommits:
    """Let the program finish and stop accepting commits, then say `HandoverDone`."""

    requester: ServerId


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Let the program fetch a head, then say `CaughtUp`."""

    source: ServerId
    head: str


@dataclass(frozen=True, slots=True)
class Redial:
    """Try a second, fresh connection to a suspect."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell all others now, without waiting for the next heartbeat."""


Action = (
    Persist
    | AskHandover
    | GrantHandover
    | RefuseHandover
    | StopCommits
    | CatchUp
    | Redial
    | Announce
)
