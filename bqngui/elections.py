"""Statistics, Elections: who led when and why, and what would happen if a server died now.

Edge: HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.badges import Badge, Tone
from bqngui.shell import desk
from configrepo.model import ServerId
from scheduler.elections_seam import KINDS, ElectionEvent, IfDies, Kind
from scheduler.views import Role

blueprint = Blueprint("elections", __name__, url_prefix="/elections")

PAGE_EVENTS = 50
_MARKS: dict[Kind, tuple[str, Tone]] = {
    "takeover": ("exclamation-triangle-fill", "warn"),
    "switchover": ("arrow-left-right", "info"),
    "step-down": ("arrow-down-circle", "quiet"),
    "new term": ("plus-circle", "quiet"),
    "refused claim": ("x-octagon-fill", "bad"),
}


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event with its mark and how long nobody led, in words."""

    event: ElectionEvent
    mark: Badge
    gap: str


@dataclass(frozen=True, slots=True)
class ElectionsPage:
    """Everything that the page shows; `kind` and `server` are the filter, "" for all."""

    rows: tuple[EventRow, ...]
    kind: str
    server: str
    servers: tuple[ServerId, ...]
    page: int
    more: bool
    nobody_since: datetime | None
    deaths: tuple[tuple[Badge, IfDies], ...]


def gap_words(seconds: float | None) -> str:
    """How long nobody led."""
    if seconds is None:
        return "not known"
    if seconds == 0:
        return "no gap"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def loss_badge(death: IfDies) -> Badge:
    """Whether something would be lost with a server."""
    if death.lost is None:
        return Badge("question-circle-fill", "not known", "warn")
    if death.lost:
        return Badge("exclamation-triangle-fill", f"{death.lost} not replicated", "warn")
    return Badge("check-circle-fill", "nothing lost", "good")


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """What was seen, newest first, and what if."""
    room = desk().elections
    kind, server = request.args.get("kind", ""), request.args.get("server", "")
    number = max(1, request.args.get("page", 1, type=int))
    events = room.events()
    found = [event for event in events if _wanted(event, kind, server)]
    skip = (number - 1) * PAGE_EVENTS
    page = ElectionsPage(
        rows=tuple(_row(event) for event in found[skip : skip + PAGE_EVENTS]),
        kind=kind,
        server=server,
        servers=tuple(sorted({event.server for event in events})),
        page=number,
        more=len(found) > skip + PAGE_EVENTS,
        nobody_since=room.nobody_since(),
        deaths=tuple((loss_badge(death), death) for death in room.what_if()),
    )
    return render_template("elections/show.html", page=page, kinds=KINDS)


def _wanted(event: ElectionEvent, kind: str, server: str) -> bool:
    return kind in ("", event.kind) and server in ("", str(event.server))


def _row(event: ElectionEvent) -> EventRow:
    icon, tone = _MARKS[event.kind]
    gap = "" if event.kind in ("step-down", "refused claim") else gap_words(event.leaderless_s)
    return EventRow(event, Badge(icon, event.kind, tone), gap)
