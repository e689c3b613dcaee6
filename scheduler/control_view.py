"""What the control room tells: who leads, who follows, who answers, and why.

Times are aware (UTC) and are taken when the thing happens; they are for people only.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from configrepo.model import ServerId


class ControlRole(StrEnum):
    """What this server is in its cluster now. `joining` listens first after a start."""

    ALONE = "alone"
    JOINING = "joining"
    SECONDARY = "secondary"
    CANDIDATE = "candidate"
    PRIMARY = "primary"


@dataclass(frozen=True, slots=True, order=True)
class Accepted:
    """A term that was accepted: its epoch and the server that leads in it."""

    epoch: int
    id: ServerId


@dataclass(frozen=True, slots=True)
class Barred:
    """Why a server shall not lead, and until when (Unix time; None: until it is taken back)."""

    reason: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class PeerView:
    """Another member as this server sees it.

    `state` is one of unknown, alive, suspect, indirect, dead, left, conflict, clone,
    incompatible; `sentence` says it in words with the cause. `role`, `epoch`, `head` and
    `barred` are what it said last. `schema` is the newest that it reads; 0: not known yet.
    `via` is the server that passes on what an indirect one says.
    """

    id: ServerId
    state: str
    sentence: str
    role: str = ""
    epoch: int = 0
    head: str | None = None
    version: str = ""
    rtt_ms: float | None = None
    last_contact: datetime | None = None
    barred: Barred | None = None
    schema: int = 0
    via: ServerId | None = None

    @property
    def eligible(self) -> bool:
        """Whether it may lead while another one can."""
        return self.barred is None


@dataclass(frozen=True, slots=True)
class ControlView:
    """The state of the control room.

    `epoch` is the term that this server leads or follows (0: none yet). Pushes of the
    `cluster` head are taken from `following` only, and only in the term `accepted`, which
    is on the disk before it is shown here. `running` is False while the control process
    is being started again; then nothing is led and nothing followed. A primary reaches no
    other member since `alone_since`.
    """

    id: ServerId
    role: ControlRole
    epoch: int
    since: datetime
    sentence: str
    following: ServerId | None = None
    accepted: Accepted | None = None
    peers: tuple[PeerView, ...] = ()
    running: bool = True
    barred: Barred | None = None
    alone_since: datetime | None = None

    @property
    def eligible(self) -> bool:
        """Whether this server may lead while another one can."""
        return self.barred is None

    def peer(self, server_id: ServerId) -> PeerView | None:
        """The other member with that id."""
        return next((peer for peer in self.peers if peer.id == server_id), None)


def view_to_json(view: ControlView) -> dict[str, Any]:
    """The view as a JSON object."""
    return {
        "id": view.id,
        "role": view.role.value,
        "epoch": view.epoch,
        "since": view.since.timestamp(),
        "sentence": view.sentence,
        "following": view.following,
        "accepted": [view.accepted.epoch, view.accepted.id] if view.accepted else None,
        "peers": [_peer_to_json(peer) for peer in view.peers],
        "barred": barred_to_json(view.barred),
        "alone_since": None if view.alone_since is None else view.alone_since.timestamp(),
    }


def barred_to_json(barred: Barred | None) -> list[Any] | None:
    """The reason and the time, or nothing."""
    return None if barred is None else [barred.reason, barred.until]


def barred_from_json(value: Any) -> Barred | None:
    """The inverse of `barred_to_json`. Raises TypeError, ValueError."""
    if value is None:
        return None
    reason, until = value
    return Barred(str(reason), None if until is None else float(until))


def _peer_to_json(peer: PeerView) -> dict[str, Any]:
    contact = peer.last_contact
    return {
        "id": peer.id,
        "state": peer.state,
        "sentence": peer.sentence,
        "role": peer.role,
        "epoch": peer.epoch,
        "head": peer.head,
        "version": peer.version,
        "rtt_ms": peer.rtt_ms,
        "last_contact": contact.timestamp() if contact else None,
        "barred": barred_to_json(peer.barred),
        "schema": peer.schema,
        "via": peer.via,
    }


def view_from_json(value: Mapping[str, Any]) -> ControlView:
    """The view that `view_to_json` made."""
    accepted, alone = value["accepted"], value["alone_since"]
    return ControlView(
        id=ServerId(value["id"]),
        role=ControlRole(value["role"]),
        epoch=value["epoch"],
        since=datetime.fromtimestamp(value["since"], UTC),
        sentence=value["sentence"],
        following=value["following"],
        accepted=Accepted(accepted[0], ServerId(accepted[1])) if accepted else None,
        peers=tuple(_peer_from_json(peer) for peer in value["peers"]),
        alone_since=None if alone is None else datetime.fromtimestamp(alone, UTC),
        barred=barred_from_json(value["barred"]),
    )


def _peer_from_json(value: Mapping[str, Any]) -> PeerView:
    contact = value["last_contact"]
    return PeerView(
        id=ServerId(value["id"]),
        state=value["state"],
        sentence=value["sentence"],
        role=value["role"],
        epoch=value["epoch"],
        head=value["head"],
        version=value["version"],
        rtt_ms=value["rtt_ms"],
        last_contact=None if contact is None else datetime.fromtimestamp(contact, UTC),
        barred=barred_from_json(value["barred"]),
        schema=value["schema"],
        via=value["via"],
    )
