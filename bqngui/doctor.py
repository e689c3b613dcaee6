"""Administration, Connectivity: whether every server reaches every other one, and if not, why.

One button lets all servers try all others; the run goes on when the page is left, and the
page shows how far it is. What is the same is one line, and every line has the rule to add.
An address that belongs to no member yet can be tried on the same page.

Edge: HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.badges import Badge
from bqngui.login import current_person
from bqngui.shell import desk
from configrepo.model import ServerId
from scheduler import causes
from scheduler.doctor_seam import DoctorView, Line
from scheduler.findings import Finding, Pair
from scheduler.views import Reach, Refused, Role

blueprint = Blueprint("doctor", __name__, url_prefix="/doctor")

MOST_LINES = 200
_ADDRESS_LENGTH = 253
_PORTS = {"control_port": "The control port", "ssh_port": "The SSH port"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One pair of the matrix, each check as a mark; `fine` pairs show one mark for both."""

    source: ServerId
    target: ServerId
    fine: bool
    control: Badge
    ssh: Badge


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """What one server found; None where it is the server itself or was not tried."""

    source: ServerId
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class DoctorPage:
    """Everything that the page shows of a run."""

    view: DoctorView
    took: str
    lines: tuple[tuple[Badge, Line], ...]
    more: int
    matrix: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """The form for an address: what was typed, what is wrong with it, what was found."""

    typed: Mapping[str, str]
    faults: Mapping[str, str] = field(default_factory=dict)
    reaches: tuple[Reach, ...] = ()


def cause_badge(cause: str) -> Badge:
    """The mark of a cause word."""
    if cause == causes.OK:
        return Badge("check-circle-fill", cause, "good")
    if cause in causes.REACHED:
        return Badge("exclamation-triangle-fill", cause, "warn")
    return Badge("x-octagon-fill", cause, "bad")


def doctor_page(view: DoctorView, now: datetime) -> DoctorPage:
    """Lay out a run; `now` (UTC) is what the time of a running one is counted from."""
    lines = view.diagnosis.lines
    return DoctorPage(
        view=view,
        took=_took(view, now),
        lines=tuple((cause_badge(line.cause), line) for line in lines[:MOST_LINES]),
        more=max(0, len(lines) - MOST_LINES),
        matrix=_matrix(view),
    )


def _took(view: DoctorView, now: datetime) -> str:
    if view.began is None:
        return ""
    seconds = max(0.0, ((view.ended or now) - view.began).total_seconds())
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _matrix(view: DoctorView) -> tuple[MatrixRow, ...]:
    pairs = {(pair.source, pair.target): pair for pair in view.diagnosis.matrix}
    if not pairs:
        return ()
    servers = view.diagnosis.servers
    return tuple(
        MatrixRow(source, tuple(_cell(pairs.get((source, target))) for target in servers))
        for source in servers
    )


def _cell(pair: Pair | None) -> Cell | None:
    if pair is None:
        return None
    control, ssh = _mark(pair.control), _mark(pair.ssh)
    return Cell(pair.source, pair.target, pair.fine, control, ssh)


def _mark(finding: Finding) -> Badge:
    return cause_badge(finding.cause)


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The last run, or the one that goes on."""
    return _page(Trial(_untyped()))


@blueprint.get("/live")
@needs(Role.VIEWER, background=True)
def live() -> ResponseReturnValue:
    """The part of the page that changes by itself."""
    return render_template("doctor/_live.html", page=_run())


@blueprint.post("/start")
@needs(Role.OPERATOR)
def start() -> ResponseReturnValue:
    """Let every server try every other one."""
    refused = desk().doctor.start(current_person())
    if isinstance(refused, Refused):
        flash(refused.sentence, "warning")
    return redirect(url_for("doctor.show"), 303)


@blueprint.post("/cancel")
@needs(Role.OPERATOR)
def cancel() -> ResponseReturnValue:
    """End the run."""
    desk().doctor.cancel(current_person())
    return redirect(url_for("doctor.show"), 303)


@blueprint.post("/address")
@needs(Role.ADMINISTRATOR)
def address() -> ResponseReturnValue:
    """Try an address that is not a member's."""
    typed = {name: request.form.get(name, "").strip() for name in ("address", *_PORTS)}
    faults = _faults(typed)
    if faults:
        return _page(Trial(typed, faults)), 422
    found = desk().doctor.check_address(
        current_person(), typed["address"], int(typed["control_port"]), int(typed["ssh_port"])
    )
    return _page(Trial(typed, {}, found))


def _faults(typed: Mapping[str, str]) -> dict[str, str]:
    faults: dict[str, str] = {}
    where = typed["address"]
    if not where or len(where) > _ADDRESS_LENGTH or not where.isprintable() or " " in where:
        faults["address"] = "Enter the IP address or name of the other server."
    for name, called in _PORTS.items():
        text = typed[name]
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536):
            faults[name] = f"{called} is a number from 1 to 65535."
    return faults


def _untyped() -> Mapping[str, str]:
    return {"address": "", "control_port": "63501", "ssh_port": "22"}


def _run() -> DoctorPage:
    return doctor_page(desk().doctor.view(), datetime.now(UTC))


def _page(trial: Trial) -> str:
    return render_template("doctor/show.html", page=_run(), trial=trial)
