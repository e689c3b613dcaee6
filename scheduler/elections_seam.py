"""What the history of elections can be asked, and the values that it answers with.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from configrepo.model import ServerId

Kind = Literal["takeover", "switchover", "step-down", "new term", "refused claim"]
KINDS: tuple[Kind, ...] = ("takeover", "switchover", "step-down", "new term", "refused claim")


@dataclass(frozen=True, slots=True)
class ElectionEvent:
    """One change of who leads, as this server saw it.

    `server` is who took the lead, gave it up, or was refused; `sentence` says why.
    `leaderless_s` is how long nobody led before, None where that is not known.
    """

    time: datetime
    kind: Kind
    server: ServerId
    term: int
    sentence: str
    leaderless_s: float | None = None


@dataclass(frozen=True, slots=True)
class IfDies:
    """What would happen if `server` died now.

    `leads` is who would lead then, None for nobody. `lost` counts the commits that only it
    has, None where that cannot be known from here; `kept_on` are the others that have
    everything. `sentence` says who leads, `replicated` what would not be replicated.
    """

    server: ServerId
    leads: ServerId | None
    sentence: str
    lost: int | None
    replicated: str
    kept_on: tuple[ServerId, ...] = ()


class ElectionsRoom(Protocol):
    """Everything that the page *Elections* may ask."""

    def events(self) -> tuple[ElectionEvent, ...]:
        """What was seen, the newest first; also after a restart."""
        ...

    def nobody_since(self) -> datetime | None:
        """Since when nobody leads; None while somebody does, or that is not known."""
        ...

    def what_if(self) -> tuple[IfDies, ...]:
        """For every server, what would happen if it died now."""
        ...
