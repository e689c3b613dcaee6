"""Administration, Disagreements: what a merge after a cut left open, and lines that are held.

Each value is settled by itself: a commit that puts the chosen value there and removes the
entry. Nothing is chosen beforehand. A refusal stands at its value and keeps what was typed.

Edge: HTTP.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import tell_committed
from bqngui.downloads import patch_answer
from bqngui.login import current_person
from bqngui.review import FileDiff, file_diffs
from bqngui.shell import desk
from configrepo.conflicts import Origin
from configrepo.model import Problem
from scheduler.disagreements_seam import Choice, HeldTerm, OpenDisagreement
from scheduler.views import CommitOutcome, Committed, Disagreed, Refused, Role

blueprint = Blueprint("disagreements", __name__, url_prefix="/disagreements")

MOST_REQUEST_ID = 64
MOST_TEXT = 1_000_000
MOST_SHOWN = 100
_NO_CHOICE = "Choose a value first."
_MEANWHILE = "Somebody changed it meanwhile: look at the values again and choose."


@dataclass(frozen=True, slots=True)
class Failed:
    """Why settling one value was refused, and what the person had chosen."""

    entry: str
    sentence: str
    side: str = ""
    text: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One value that can be taken: what to call it, its lines, and who gave it when."""

    value: Literal["keep", "other"]
    label: str
    lines: tuple[str, ...] | None
    origin: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One open value as the page shows it."""

    number: int
    disagreement: OpenDisagreement
    why: str
    base: tuple[str, ...] | None
    sides: tuple[Side, ...]
    text: str
    editing: bool
    request_id: str
    locked: bool
    failed: Failed | None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the text that was typed."""
        return self.failed.problems if self.failed else ()


@dataclass(frozen=True, slots=True)
class HeldPanel:
    """A held line with what it would change."""

    held: HeldTerm
    files: tuple[FileDiff, ...]


@dataclass(frozen=True, slots=True)
class DisagreementsPage:
    """Everything that the page shows; `refused` is why a decision on a held line failed.

    `rows` are the first of `count` open values.
    """

    rows: tuple[Row, ...]
    count: int
    held: tuple[HeldPanel, ...]
    leads: bool
    read_only_reason: str | None
    refused: str = ""


def row_of(number: int, one: OpenDisagreement, role: Role, failed: Failed | None) -> Row:
    """Lay out one open value."""
    mine = failed if failed is not None and failed.entry == one.id else None
    side = mine.side if mine else ""
    entry = one.entry
    needed = Role.ADMINISTRATOR if one.administrator else Role.OPERATOR
    return Row(
        number=number,
        disagreement=one,
        why=why(one),
        base=_lines(entry.base),
        sides=(
            Side("keep", "Keep what is applied now", _lines(one.now), _kept(one), side == "keep"),
            Side(
                "other",
                f"Take what BQN {entry.other_by.server} had",
                _lines(entry.other),
                origin_words(entry.other_by),
                side == "other",
            ),
        ),
        text=mine.text if mine else (entry.other or entry.applied or ""),
        editing=side == "edit",
        request_id=secrets.token_hex(16),
        locked=not role.includes(needed),
        failed=mine,
    )


def why(one: OpenDisagreement) -> str:
    """Why the other value waits, in one sentence."""
    entry = one.entry
    lower, higher = entry.applied_by.server, entry.other_by.server
    match entry.reason:
        case "guarded":
            return (
                f"BQN {higher} changed it while the servers were cut apart; users and members "
                "wait for an administrator."
            )
        case "check":
            return (
                f"With the value of BQN {higher} the merged configuration had an error, so that "
                f"of BQN {lower} is applied."
            )
        case "disagreement":
            return (
                f"BQN {lower} and BQN {higher} changed it in different ways while the servers "
                "were cut apart."
            )


def _kept(one: OpenDisagreement) -> str:
    """Where the value comes from that is applied now."""
    if one.now != one.entry.applied:
        return "changed since the merge"
    if one.entry.applied == one.entry.base:
        return "as it was before the cut"
    return origin_words(one.entry.applied_by)


def origin_words(origin: Origin) -> str:
    """Who gave a value, where and when."""
    time = origin.time.replace("T", " ").replace("Z", " UTC")
    return f"{origin.author}, on BQN {origin.server}, {time}"


def _lines(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value.split("\n"))


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """What is open and what is held."""
    return _page()


@blueprint.get("/held/<head>/patch")
@needs(Role.VIEWER)
def patch(head: str) -> ResponseReturnValue:
    """All that a held line would change, as a text to save."""
    held = next((one for one in desk().disagreements.listed().held if one.head == head), None)
    if held is None:
        abort(404, "This line is not held any more.")
    return patch_answer(held.changes, f"held-{held.head[:10]}")


@blueprint.post("/settle")
@needs(Role.OPERATOR)
def settle() -> ResponseReturnValue:
    """Settle one value."""
    form = request.form
    entry, side = form.get("entry", ""), form.get("side", "")
    text = form.get("text", "").replace("\r\n", "\n")[:MOST_TEXT]
    choice = _choice(side, text)
    if choice is None:
        return _page(Failed(entry, _NO_CHOICE, side, text)), 422
    request_id = form.get("request_id", "")[:MOST_REQUEST_ID]
    outcome = desk().disagreements.settle(current_person(), entry, choice, request_id)
    match outcome:
        case Committed() as committed:
            tell_committed(committed)
            return redirect(url_for(".show"), 303)
        case Refused(sentence=sentence, problems=problems):
            return _page(Failed(entry, sentence, side, text, problems)), 422
        case Disagreed():
            return _page(Failed(entry, _MEANWHILE, side, text)), 422


def _choice(side: str, text: str) -> Choice | None:
    match side:
        case "keep" | "other":
            return Choice(side)
        case "edit":
            return Choice("edit", text)
        case _:
            return None


@blueprint.post("/accept")
@needs(Role.ADMINISTRATOR)
def accept() -> ResponseReturnValue:
    """Take in a held line."""
    return _decided(desk().disagreements.accept(current_person(), request.form.get("head", "")))


@blueprint.post("/keep")
@needs(Role.ADMINISTRATOR)
def keep() -> ResponseReturnValue:
    """Leave a held line as it is."""
    head = request.form.get("head", "")
    refused = desk().disagreements.keep_held(current_person(), head)
    if refused is not None:
        return _page(refused=refused.sentence), 409
    flash("The line stays held; its alarm is silent.", "success")
    return redirect(url_for(".show"), 303)


def _decided(outcome: CommitOutcome) -> ResponseReturnValue:
    match outcome:
        case Committed() as committed:
            tell_committed(committed)
            return redirect(url_for(".show"), 303)
        case Refused(sentence=sentence):
            return _page(refused=sentence), 409
        case Disagreed():
            return _page(refused=_MEANWHILE), 409


def _panel(held: HeldTerm) -> HeldPanel:
    return HeldPanel(held, file_diffs(held.changes, url_for(".patch", head=held.head)))


def _page(failed: Failed | None = None, refused: str = "") -> str:
    found, role = desk().disagreements.listed(), current_person().role
    shown = found.open[:MOST_SHOWN]
    rows = tuple(row_of(n, one, role, failed) for n, one in enumerate(shown, 1))
    if failed is not None and all(row.failed is None for row in rows):
        refused = failed.sentence
    page = DisagreementsPage(
        rows=rows,
        count=len(found.open),
        held=tuple(_panel(held) for held in found.held),
        leads=found.leads,
        read_only_reason=desk().overview().read_only_reason,
        refused=refused,
    )
    return render_template("disagreements/index.html", page=page)
