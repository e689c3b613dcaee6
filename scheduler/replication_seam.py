"""What the replication page asks: who has what, what went wrong, when it is tried next.

Times that count down are seconds from now; moments are aware (UTC) and only shown.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from configrepo.model import ServerId
from scheduler.views import Person, Refused


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """How one server stands.

    Attributes:
        id: the server.
        name: its name.
        state: in sync, behind, applying, failed, drifted, unreachable or unknown; *in sync*
            only if the hash of what it runs was compared (`scheduler.overview`).
        sentence: why.
        behind: how many commits what it runs is behind; None if not known.
        lag_s: for how long it lacks the oldest of them; None if it lacks none.
        saved: the newest commit that is known to be on its disk.
        since: since when it does not answer; None if it does.
        error: what went wrong with sending to it the last time, in words; "" if nothing.
        next_try_s: when it is tried again; None if nothing failed.
        last_success: when it acknowledged something the last time.
        here: it is the server that is asked.
    """

    id: ServerId
    name: str
    state: str
    sentence: str
    behind: int | None = None
    lag_s: float | None = None
    saved: str | None = None
    since: datetime | None = None
    error: str = ""
    next_try_s: float | None = None
    last_success: datetime | None = None
    here: bool = False


@dataclass(frozen=True, slots=True)
class RepositoryView:
    """How large the repository of this server is, and how full its disk.

    `free_share` is what is free beside the reserve; `reserved` the bytes of the reserve that
    is there now.
    """

    size: int
    loose: int
    packs: int
    packed: datetime | None
    free_share: float
    reserved: int


@dataclass(frozen=True, slots=True)
class ReplicationView:
    """Replication as this server sees it.

    `leading` tells whether this server sends; `fetching` is a sentence while it fetches by
    itself because the primary cannot push to it, else "". `ack` is the setting of this
    server: local, one or all.
    """

    me: ServerId
    leading: bool
    primary: ServerId | None
    ack: str
    head: str
    servers: tuple[ReplicaView, ...]
    repository: RepositoryView | None = None
    fetching: str = ""


class ReplicationDesk(Protocol):
    """The part of the desk for the replication page."""

    def standing(self) -> ReplicationView:
        """How every server stands now; cheap."""
        ...

    def now(self, person: Person, server: ServerId | None) -> str | Refused:
        """Do not wait: send to that server (None: to all), or fetch; says what was started."""
        ...
