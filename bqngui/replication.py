"""Administration, Replication: who has what, what went wrong, and sending now.

Edge: HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.ages import age_words
from bqngui.authorization import needs
from bqngui.login import current_person
from bqngui.replica_groups import Line, lines_of, size_words
from bqngui.shell import desk
from configrepo.model import ServerId
from scheduler.replication_seam import ReplicationView
from scheduler.views import Refused, Role

blueprint = Blueprint("replication", __name__, url_prefix="/replication")

ACK_MEANINGS = {
    "local": "A commit counts as saved when it is on the disk of the primary.",
    "one": "A commit counts as saved when it is on the disks of the primary and of one more "
    "server; after a time limit it is told where it is.",
    "all": "A commit counts as saved when it is on the disks of all servers that answer; after "
    "a time limit it is told where it is.",
}


@dataclass(frozen=True, slots=True)
class ReplicationPage:
    """Everything that the page shows."""

    view: ReplicationView
    lines: tuple[Line, ...]
    size: str
    packed: str
    last_success: dict[int, str]
    ack_meaning: str


def page_of(view: ReplicationView, now: datetime) -> ReplicationPage:
    """The page of a view, with the ages as of now."""
    repository = view.repository
    return ReplicationPage(
        view=view,
        lines=lines_of(view),
        size=size_words(repository.size) if repository else "",
        packed=_age(repository.packed, now) if repository else "",
        last_success={int(one.id): _age(one.last_success, now) for one in view.servers},
        ack_meaning=ACK_MEANINGS[view.ack],
    )


def _age(moment: datetime | None, now: datetime) -> str:
    return "" if moment is None else age_words((now - moment).total_seconds())


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """How every server stands."""
    return render_template("replication/show.html", page=_page(), mirror=desk().mirror.state())


@blueprint.get("/live")
@needs(Role.VIEWER, background=True)
def live() -> ResponseReturnValue:
    """The part of the page that changes by itself."""
    return render_template("replication/_live.html", page=_page(), mirror=desk().mirror.state())


@blueprint.post("/now")
@needs(Role.OPERATOR)
def now() -> ResponseReturnValue:
    """Send (or fetch) now, to one server or to all."""
    text = request.form.get("server", "")
    server = ServerId(int(text)) if text.isascii() and text.isdigit() and len(text) < 4 else None
    match desk().replication.now(current_person(), server):
        case Refused(sentence):
            flash(sentence, "warning")
        case sentence:
            flash(sentence, "success")
    return redirect(url_for(".show"), 303)


def _page() -> ReplicationPage:
    return page_of(desk().replication.standing(), datetime.now(UTC))
