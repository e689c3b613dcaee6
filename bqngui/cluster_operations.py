"""Administration, Cluster, one server: remove or replace it, its id, its address, who leads.

Every operation is shown before it is done: what will happen in sentences, which secrets
it concerns, and the diff of what is committed. What was shown travels with the button, so
that nothing is done that was not seen.

Edge: HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import commit_told, new_request_id, scope_words, tell_committed
from bqngui.dashboard import Box, dashboard_page
from bqngui.login import current_person
from bqngui.moves import Move, moves_of
from bqngui.operation_forms import Faulty, read_operation
from bqngui.review import FileDiff, file_diffs
from bqngui.shell import desk
from configrepo.cluster_settings import Pause
from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.errors import RemoteRefused
from scheduler.operations_seam import Operation, Preview, Remove
from scheduler.operations_wire import operation_from_json, operation_to_json
from scheduler.views import Committed, Overview, Refused, Role

blueprint = Blueprint("cluster_operations", __name__, url_prefix="/cluster")


@dataclass(frozen=True, slots=True)
class ServerPage:
    """A server with everything that can be done to it.

    `record` is None for a server alone; `others` are the members that may dial it in their
    own way; `refused` says why the last form was not taken, `typed` what it held.
    """

    overview: Overview
    box: Box | None
    name: str
    server: ServerId
    record: Member | None
    others: tuple[Member, ...]
    refused: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)

    @property
    def here(self) -> bool:
        """Whether it is the server that one is logged in at."""
        return self.server == self.overview.me

    @property
    def leads(self) -> bool:
        """Whether it leads now."""
        return self.overview.primary == self.server


@dataclass(frozen=True, slots=True)
class MaintenancePage:
    """Who may lead, and the pause of automation."""

    overview: Overview
    members: tuple[Member, ...]
    pause: Pause | None
    remind: str
    refused: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)

    @property
    def excluded(self) -> tuple[Member, ...]:
        """The members that are not to lead."""
        return tuple(member for member in self.members if member.ineligible is not None)


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """What an operation will do, and the form that does it."""

    overview: Overview
    preview: Preview
    label: str
    danger: bool
    files: tuple[FileDiff, ...]
    moves: tuple[Move, ...]
    servers: tuple[str, ...]
    operation: str
    request_id: str
    back: str
    back_title: str
    refused: str = ""


@blueprint.get("/servers/<int:server_id>")
@needs(Role.VIEWER)
def show(server_id: int) -> ResponseReturnValue:
    """One server: its record, and what can be done to it."""
    return render_template("cluster_operations/server.html", page=_server_page(server_id))


@blueprint.get("/maintenance")
@needs(Role.VIEWER)
def maintenance() -> ResponseReturnValue:
    """Who may lead, and whether automation is paused."""
    return render_template("cluster_operations/maintenance.html", page=_maintenance_page())


@blueprint.post("/operations/preview")
@needs(Role.ADMINISTRATOR)
def preview() -> ResponseReturnValue:
    """Show what an operation will do; nothing is done yet."""
    operation = read_operation(request.form)
    if isinstance(operation, Faulty):
        return _again(operation.sentence)
    match desk().operations.preview(current_person(), operation):
        case Refused(sentence=sentence):
            return _again(sentence)
        case Preview() as shown:
            page = _preview_page(shown, new_request_id(), "")
            return render_template("cluster_operations/preview.html", page=page)


@blueprint.post("/operations/carry-out")
@needs(Role.ADMINISTRATOR)
def carry_out() -> ResponseReturnValue:
    """Do what was shown."""
    operation = _posted()
    base, request_id = request.form.get("base", ""), request.form.get("request_id", "")
    outcome = desk().operations.carry_out(current_person(), operation, base, request_id[:64])
    if isinstance(outcome, Committed):
        tell_committed(outcome)
        return redirect(url_for("cluster.show"), 303)
    told = commit_told(outcome) or ""
    match desk().operations.preview(current_person(), operation):
        case Preview() as shown:
            page = _preview_page(shown, new_request_id(), told)
            return render_template("cluster_operations/preview.html", page=page), 409
        case Refused():
            flash(told, "danger")
            return redirect(url_for("cluster.show"), 303)


def _posted() -> Operation:
    try:
        stored = json.loads(request.form.get("operation", ""))
        json.dumps(stored, ensure_ascii=False).encode()  # half a character can be written nowhere
        return operation_from_json(stored)
    except (ValueError, RecursionError, RemoteRefused):
        abort(400, "This form does not say what is to be done. Open the page of the server again.")


def _again(sentence: str) -> ResponseReturnValue:
    """The page that the form is on, with what was typed and why it was not taken."""
    typed = {key: value for key, value in request.form.items() if key != "csrf_token"}
    server = typed.get("server", "")
    if server.isascii() and server.isdigit() and len(server) <= 3:
        one = _server_page(int(server), sentence, typed)
        return render_template("cluster_operations/server.html", page=one), 422
    page = _maintenance_page(sentence, typed)
    return render_template("cluster_operations/maintenance.html", page=page), 422


def _server_page(
    server_id: int, refused: str = "", typed: Mapping[str, str] | None = None
) -> ServerPage:
    overview = desk().overview()
    members = desk().operations.members()
    record = next((m for m in members if m.id == server_id), None)
    boxes = dashboard_page(overview, datetime.now(UTC)).boxes
    box = next((box for box in boxes if box.server.id == server_id), None)
    if record is None and box is None:
        abort(404, f"There is no BQN {server_id} in this cluster.")
    return ServerPage(
        overview=overview,
        box=box,
        name=record.name if record else overview.name,
        server=ServerId(server_id),
        record=record,
        others=tuple(m for m in members if m.id != server_id and m.state == "active"),
        refused=refused,
        typed=typed or {},
    )


def _maintenance_page(refused: str = "", typed: Mapping[str, str] | None = None) -> MaintenancePage:
    operations = desk().operations
    return MaintenancePage(
        overview=desk().overview(),
        members=tuple(m for m in operations.members() if m.state == "active"),
        pause=operations.pause(),
        remind=(datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
        refused=refused,
        typed=typed or {},
    )


def _preview_page(shown: Preview, request_id: str, refused: str) -> PreviewPage:
    overview = desk().overview()
    leaves = isinstance(shown.operation, Remove) and shown.operation.server == overview.me
    server = operation_to_json(shown.operation).get("server")
    moves, changes = moves_of(shown.comparison.changes)
    return PreviewPage(
        overview=overview,
        preview=shown,
        label="Leave the cluster" if leaves else shown.title,
        danger=isinstance(shown.operation, Remove),
        files=file_diffs(changes),
        moves=moves,
        servers=scope_words(overview, shown.comparison.servers),
        operation=json.dumps(operation_to_json(shown.operation)),
        request_id=request_id,
        back=(url_for(".maintenance") if server is None else url_for(".show", server_id=server)),
        back_title="Maintenance" if server is None else f"BQN {server}",
        refused=refused,
    )
