"""Configuration, Changes from outside: what differs on which server, and what to do about it.

Restoring applies the newest commit again on that server. Adopting and keeping only make a
candidate: it is compared and committed like every change.

Edge: HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import server_words, writer_note
from bqngui.downloads import patch_answer
from bqngui.login import current_person
from bqngui.review import FileDiff, file_diffs
from bqngui.shell import desk
from configrepo.model import ServerId
from scheduler.apply_turn import Turn
from scheduler.drift_seam import DriftView, OverwrittenView, Restoring
from scheduler.views import Edited, Overview, Refused, Role

blueprint = Blueprint("drift", __name__, url_prefix="/drift")


@dataclass(frozen=True, slots=True)
class DriftPanel:
    """One drifted server: its name, what is known, and the diffs of what it may keep or not."""

    view: DriftView
    name: str
    own: tuple[FileDiff, ...]
    shared: tuple[FileDiff, ...]


@dataclass(frozen=True, slots=True)
class OverwrittenPanel:
    """What a server overwrote last; `view` is None if it never did."""

    server: ServerId
    name: str
    view: OverwrittenView | None
    files: tuple[FileDiff, ...]


@dataclass(frozen=True, slots=True)
class DriftPage:
    """Everything that the page shows; `turn` tells of a staged commit that waits here."""

    panels: tuple[DriftPanel, ...]
    turn: Turn
    has_candidate: bool
    writer_note: str | None
    servers: tuple[tuple[int, str], ...]
    overwritten: OverwrittenPanel
    refusal: str | None = None


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """Every server whose running configuration was changed from outside."""
    return _page()


@blueprint.get("/<int:server>/patch")
@needs(Role.VIEWER)
def patch(server: int) -> ResponseReturnValue:
    """All that was changed from outside on a server, as a text to save."""
    views = [view for view in desk().drift.drifts() if view.server == server]
    return patch_answer([c for view in views for c in view.changes], f"drift-{server}")


@blueprint.get("/<int:server>/overwritten/patch")
@needs(Role.VIEWER)
def overwritten_patch(server: int) -> ResponseReturnValue:
    """All that differs in what a server overwrote last, as a text to save."""
    if desk().overview().server(ServerId(server)) is None:
        abort(404, "This server is not in the cluster.")
    view = desk().drift.overwritten(ServerId(server))
    return patch_answer(view.changes if view is not None else (), f"overwritten-{server}")


@blueprint.post("/restore")
@needs(Role.OPERATOR)
def restore() -> ResponseReturnValue:
    """Apply the newest commit again on one server."""
    match desk().drift.restore(current_person(), _server()):
        case Restoring(sentence):
            flash(sentence, "success")
            return redirect(url_for(".show"), 303)
        case Refused(sentence):
            return _page(sentence), 409


@blueprint.post("/adopt")
@needs(Role.OPERATOR)
def adopt() -> ResponseReturnValue:
    """Make what runs there the candidate."""
    return _candidate(desk().drift.adopt(current_person(), _server()))


@blueprint.post("/keep")
@needs(Role.OPERATOR)
def keep() -> ResponseReturnValue:
    """Make what is that server's own the candidate."""
    return _candidate(desk().drift.keep(current_person(), _server()))


def _candidate(outcome: Edited | Refused) -> ResponseReturnValue:
    match outcome:
        case Edited(paths):
            blocks = f"{len(paths)} block{'' if len(paths) == 1 else 's'}"
            flash(f"{blocks} are in your candidate. Nothing is changed before you commit.", "info")
            return redirect(url_for("configuration.candidate.compare"), 303)
        case Refused(sentence):
            return _page(sentence), 409


def _server() -> ServerId:
    text = request.form.get("server", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        abort(400, "This server does not exist.")
    return ServerId(int(text))


def _panel(view: DriftView, overview: Overview) -> DriftPanel:
    name = server_words(overview, view.server)
    patch = url_for(".patch", server=int(view.server))
    return DriftPanel(view, name, file_diffs(view.own, patch), file_diffs(view.shared, patch))


def _overwritten(overview: Overview) -> OverwrittenPanel:
    """What the chosen server overwrote; this one's, if none is chosen."""
    asked = request.args.get("overwritten", "")
    known = {str(server.id): server.id for server in overview.servers}
    server = known.get(asked, overview.me)
    view = desk().drift.overwritten(server)
    patch = url_for(".overwritten_patch", server=int(server))
    files = file_diffs(view.changes, patch) if view is not None else ()
    return OverwrittenPanel(server, server_words(overview, server), view, files)


def _page(refusal: str | None = None) -> str:
    overview = desk().overview()
    page = DriftPage(
        panels=tuple(_panel(view, overview) for view in desk().drift.drifts()),
        turn=desk().staging.turn(),
        has_candidate=desk().candidate(current_person()) is not None,
        writer_note=writer_note(overview),
        servers=tuple((int(s.id), server_words(overview, s.id)) for s in overview.servers),
        overwritten=_overwritten(overview),
        refusal=refusal,
    )
    return render_template("drift/show.html", page=page)
