"""The home page: every server of the cluster at a glance, and each server's own home page.

The pages refresh a fragment of themselves every two seconds (static/dashboard.js); without
JavaScript they are as new as the last load. Everything shown comes from `Desk.overview`.

Edge: HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from bqngui.ages import age_words
from bqngui.authorization import needs
from bqngui.badges import (
    Badge,
    Tone,
    role_badge,
    state_badge,
    status_badge,
    sync_badge,
    worst,
)
from bqngui.shell import desk
from bqngui.sparkline import Sparkline, newest_total, rate_words, sparkline
from configrepo.model import ServerId
from scheduler.views import Overview, Role, ServerView

blueprint = Blueprint("dashboard", __name__)


@dataclass(frozen=True, slots=True)
class Box:
    """One server as a box of the dashboard, or as the head of its home page."""

    server: ServerView
    here: bool
    role: Badge
    state: Badge
    sync: Badge
    tone: Tone
    downlink: str
    uplink: str
    graph: Sparkline | None
    peak: str
    contact: str
    sentence: str


@dataclass(frozen=True, slots=True)
class DashboardPage:
    """Everything that the dashboard shows."""

    overview: Overview
    state: Badge
    status: Badge
    boxes: tuple[Box, ...]
    downlink: str
    uplink: str
    counted: int


def dashboard_page(overview: Overview, now: datetime) -> DashboardPage:
    """Lay out the overview; `now` (UTC) is what ages are counted from."""
    newest = [s.newest for s in overview.servers]
    total = newest_total(newest)
    return DashboardPage(
        overview=overview,
        state=state_badge(overview.state),
        status=status_badge(overview.status),
        boxes=tuple(server_box(s, overview.me, now) for s in overview.servers),
        downlink=rate_words(total.downlink_kbps if total else None),
        uplink=rate_words(total.uplink_kbps if total else None),
        counted=sum(sample is not None for sample in newest),
    )


def server_box(server: ServerView, me: ServerId, now: datetime) -> Box:
    """Lay out one server; `me` is the server that the person is logged in at."""
    newest, graph = server.newest, sparkline(server.samples)
    state, sync = state_badge(server.state, server.state_detail), sync_badge(server)
    return Box(
        server=server,
        here=server.id == me,
        role=role_badge(server.role),
        state=state,
        sync=sync,
        tone=worst((state.tone, sync.tone)),
        downlink=rate_words(newest.downlink_kbps if newest else None),
        uplink=rate_words(newest.uplink_kbps if newest else None),
        graph=graph,
        peak=rate_words(graph.peak_kbps if graph else None),
        contact=_contact(server, me, now),
        sentence=server.sync_sentence if server.state == "ready" else server.state_sentence,
    )


def _contact(server: ServerView, me: ServerId, now: datetime) -> str:
    if server.id == me:
        return "this server"
    if server.last_contact is None:
        return "never"
    return age_words((now - server.last_contact).total_seconds())


@blueprint.get("/")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The dashboard."""
    return render_template("dashboard/index.html", page=_page())


@blueprint.get("/dashboard/live")
@needs(Role.VIEWER, background=True)
def live() -> ResponseReturnValue:
    """The part of the dashboard that changes by itself."""
    return render_template("dashboard/_live.html", page=_page())


@blueprint.get("/server/<int:server_id>/")
@needs(Role.VIEWER)
def server(server_id: int) -> ResponseReturnValue:
    """The home page of one server, inside the GUI of this one."""
    return render_template("dashboard/server.html", page=_page(), box=_box(server_id))


@blueprint.get("/server/<int:server_id>/live")
@needs(Role.VIEWER, background=True)
def server_live(server_id: int) -> ResponseReturnValue:
    """The part of a server's home page that changes by itself."""
    return render_template("dashboard/_server_live.html", page=_page(), box=_box(server_id))


def _page() -> DashboardPage:
    return dashboard_page(desk().overview(), datetime.now(UTC))


def _box(server_id: int) -> Box:
    overview = desk().overview()
    found = overview.server(ServerId(server_id))
    if found is None:
        abort(404)
    return server_box(found, overview.me, datetime.now(UTC))
