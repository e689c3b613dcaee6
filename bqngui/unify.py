"""Administration, Unify: settle the differences of a joining server, look at the effect, commit.

The answers are kept by the desk: they survive a reload, a restart and a colleague. One form
holds all rows; with JavaScript it is saved on every change (static/unify.js), without it
by a button. Nothing is committed while a row is open: the desk refuses, not the page.

Edge: HTTP.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import tell_committed
from bqngui.downloads import patch_answer
from bqngui.login import current_person
from bqngui.problem_list import ShownProblem, has_error, shown_problems
from bqngui.review import FileDiff, file_diffs
from bqngui.shell import desk
from bqngui.unify_rows import (
    Group,
    Names,
    Said,
    answer_open_rows,
    groups_of,
    names_of,
    read_answers,
    worth_telling,
)
from configrepo.model import Problem
from scheduler.views import Committed, Comparison, Disagreed, Refused, Role, Unification

blueprint = Blueprint("unify", __name__, url_prefix="/unify")

MOST_REQUEST_ID = 64
MOST_MESSAGE = 10_000


@dataclass(frozen=True, slots=True)
class UnifyPage:
    """The rows and how far the answers are; `refused` is why the last save failed."""

    waiting: Unification
    names: Names
    groups: tuple[Group, ...]
    problem_rows: tuple[int, ...]
    refused: str = ""

    @property
    def open_count(self) -> int:
        """How many rows still want an answer."""
        return len(self.waiting.open_rows)

    @property
    def asked(self) -> int:
        """How many rows want an answer at all."""
        return sum(len(group.rows) for group in self.groups if not group.settled)

    @property
    def first_open(self) -> int | None:
        """The number of the first open row."""
        return next((r.number for g in self.groups for r in g.rows if r.open), None)

    @property
    def general(self) -> tuple[Problem, ...]:
        """Problems of the result that belong to no row."""
        return worth_telling(self.waiting.problems.get("", ()))


@dataclass(frozen=True, slots=True)
class EffectPage:
    """What the unification would change on the servers that run now, and the commit form.

    `added` are blocks without effect on them: the joiner's own part and its membership.
    """

    waiting: Unification
    names: Names
    comparison: Comparison | None
    files: tuple[FileDiff, ...]
    added: tuple[FileDiff, ...]
    message: str
    request_id: str
    servers: tuple[str, ...] = ()
    problems: tuple[ShownProblem, ...] = ()
    read_only_reason: str | None = None
    refused: str = ""

    @property
    def committable(self) -> bool:
        """Whether the form is offered; the desk decides again when it is sent."""
        return self.comparison is not None and not has_error(self.comparison.problems)


def unify_page(waiting: Unification, refused: str = "") -> UnifyPage:
    """Lay out a unification."""
    groups = groups_of(waiting)
    rows = [row for group in groups for row in group.rows]
    faulty = tuple(row.number for row in rows if row.problems)
    return UnifyPage(waiting, names_of(waiting), groups, faulty, refused)


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The rows, or a word on what this page is for when nothing waits."""
    waiting = desk().unification()
    if waiting is None:
        return render_template("unify/nothing.html")
    return render_template("unify/index.html", page=unify_page(waiting))


@blueprint.post("")
@needs(Role.ADMINISTRATOR)
def save() -> ResponseReturnValue:
    """Keep the answers of the whole form; then stay, or go on to the effect."""
    waiting = desk().unification()
    if waiting is None:
        return render_template("unify/nothing.html"), 409
    said = read_answers(waiting.proposal.rows, request.form)
    action = request.form.get("action", "save")
    if action.startswith("open-rows-"):
        said = answer_open_rows(waiting, said, action.removeprefix("open-rows-"))
    match desk().answer(current_person(), said.answers, said.acknowledged):
        case Refused(sentence=sentence):
            page = unify_page(_with(waiting, said), sentence)
            return render_template("unify/index.html", page=page), 422
        case Unification() as kept if action == "compare" and kept.open_rows:
            sentence = _still_open(len(kept.open_rows))
            return render_template("unify/index.html", page=unify_page(kept, sentence)), 422
        case kept if faulty := _faulty_rows(kept):
            page = unify_page(kept, f"Your answers are kept. {faulty} to correct.")
            return render_template("unify/index.html", page=page), 422
        case _:
            target = "unify.compare" if action == "compare" else "unify.show"
            return redirect(url_for(target), 303)


@blueprint.post("/answers")
@needs(Role.ADMINISTRATOR)
def keep() -> ResponseReturnValue:
    """The same for a script: keeps the answers and tells which rows are open or faulty."""
    waiting = desk().unification()
    if waiting is None:
        return jsonify(refused="No unification is waiting any more. Load the page again."), 409
    said = read_answers(waiting.proposal.rows, request.form)
    match desk().answer(current_person(), said.answers, said.acknowledged):
        case Refused(sentence=sentence):
            return jsonify(refused=sentence), 422
        case kept:
            page = unify_page(kept)
    rows = [row for group in page.groups for row in group.rows]
    return jsonify(
        status=render_template("unify/_status.html", page=page),
        open=[row.number for row in rows if row.open],
        problems={
            row.number: render_template("unify/_problems.html", problems=row.problems)
            for row in rows
            if row.problems
        },
    )


@blueprint.get("/compare")
@needs(Role.VIEWER)
def compare() -> ResponseReturnValue:
    """What the unification would change, and the form that commits it."""
    waiting = desk().unification()
    if waiting is None:
        return render_template("unify/nothing.html")
    message = f"Unify BQN {waiting.joiner} ({waiting.joiner_name}) with {waiting.cluster_name}"
    return _effect(waiting, message, secrets.token_hex(16))


@blueprint.get("/compare/patch")
@needs(Role.VIEWER)
def patch() -> ResponseReturnValue:
    """All that the settled result would change, as a text to save."""
    found = desk().compare_unification()
    return patch_answer(found.changes if isinstance(found, Comparison) else (), "unification")


@blueprint.post("/commit")
@needs(Role.ADMINISTRATOR)
def commit() -> ResponseReturnValue:
    """Make the merge commit; the same request sent twice is committed once."""
    message = request.form.get("message", "").replace("\r\n", "\n").strip()[:MOST_MESSAGE]
    request_id = request.form.get("request_id", "")[:MOST_REQUEST_ID]
    refused = _unusable(message, request_id)
    if not refused:
        match desk().commit_unification(current_person(), message, request_id):
            case Committed() as committed:
                tell_committed(committed)
                return redirect(url_for("cluster.show"), 303)
            case Refused(sentence=sentence):
                refused = sentence
            case Disagreed():
                refused = (
                    "The cluster was changed meanwhile. The rows were made anew: "
                    "go back, look at the open ones and commit again."
                )
    waiting = desk().unification()
    if waiting is None:
        return render_template("unify/nothing.html", refused=refused), 409
    return _effect(waiting, message, request_id or secrets.token_hex(16), refused)


def _unusable(message: str, request_id: str) -> str:
    if not message:
        return "Write a message: it is what the history shows."
    if not request_id:
        return "The form was incomplete. Look at the changes again and commit."
    return ""


def _effect(
    waiting: Unification, message: str, request_id: str, refused: str = ""
) -> ResponseReturnValue:
    found = desk().compare_unification()
    if isinstance(found, Refused):
        refused = refused or found.sentence
    comparison = found if isinstance(found, Comparison) else None
    changes = comparison.changes if comparison else ()
    common = [change for change in changes if change.path.startswith("common/")]
    added = [change for change in changes if not change.path.startswith("common/")]
    overview = desk().overview()
    page = EffectPage(
        waiting=waiting,
        names=names_of(waiting),
        comparison=comparison,
        files=file_diffs(common, url_for(".patch")),
        added=file_diffs(added, url_for(".patch")),
        message=message,
        request_id=request_id,
        servers=tuple(f"BQN {s}" for s in comparison.servers) if comparison else (),
        problems=tuple(shown_problems(worth_telling(comparison.problems))) if comparison else (),
        read_only_reason=overview.read_only_reason,
        refused=refused,
    )
    return render_template("unify/compare.html", page=page), 422 if refused else 200


def _with(waiting: Unification, said: Said) -> Unification:
    return replace(waiting, answers=said.answers, acknowledged=said.acknowledged)


def _faulty_rows(waiting: Unification) -> str:
    """How many answers cannot be used, in words; "" if all can."""
    count = sum(
        row.id in waiting.answers and has_error(waiting.problems.get(row.id, ()))
        for row in waiting.proposal.rows
    )
    return "" if count == 0 else f"{count} row{' has' if count == 1 else 's have'} an error"


def _still_open(count: int) -> str:
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return f"{rows} still open. Answer them first; nothing was committed."
