"""Administration, Unify: settle the differences of a joining server, look at the effect, commit.

The answers are kept by the desk: they survive a reload, a restart and a colleague. One form
holds the rows of a page; with JavaScript it is saved on every change (static/unify.js),
without it by the buttons, those that lead to the other pages included. Nothing is committed
while a row is open: the desk refuses, not the page.

Edge: HTTP.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import scope_words, tell_committed
from bqngui.downloads import patch_answer
from bqngui.login import current_person
from bqngui.problem_list import ShownProblem, has_error, shown_problems
from bqngui.review import FileDiff, file_diffs, fingerprint
from bqngui.shell import desk
from bqngui.unify_rows import (
    PAGE_ROWS,
    Group,
    Names,
    Places,
    Said,
    answer_open_rows,
    groups_of,
    names_of,
    places_of,
    read_answers,
    title_of,
    worth_telling,
)
from configrepo.model import Problem
from configrepo.unify import RowId, answers_with
from scheduler.views import Committed, Comparison, Disagreed, Refused, Role, Unification

blueprint = Blueprint("unify", __name__, url_prefix="/unify")

MOST_REQUEST_ID = 64
MOST_MESSAGE = 10_000


@dataclass(frozen=True, slots=True)
class Link:
    """Where a row is: its page and its number."""

    page: int
    number: int


@dataclass(frozen=True, slots=True)
class Kind:
    """A group of the whole unification, and the page on which it begins."""

    name: str
    title: str
    count: int
    page: int


@dataclass(frozen=True, slots=True)
class UnifyPage:
    """The rows of a page and how far the answers are; `refused` is why the last save failed.

    `problem_rows` are the rows with problems, on whichever page they are.
    """

    waiting: Unification
    names: Names
    groups: tuple[Group, ...]
    places: Places
    page: int
    problem_rows: tuple[RowId, ...]
    refused: str = ""

    @property
    def pages(self) -> int:
        """How many pages of rows there are."""
        return self.places.pages

    @property
    def open_count(self) -> int:
        """How many rows still want an answer."""
        return len(self.waiting.open_rows)

    @property
    def asked(self) -> int:
        """How many rows want an answer at all."""
        return self.places.asked

    @property
    def first_open(self) -> Link | None:
        """The first open row, if there is one of this page."""
        return self._first(self.waiting.open_rows)

    @property
    def first_problem(self) -> Link | None:
        """The same for rows with problems."""
        return self._first(self.problem_rows)

    def _first(self, rows: Sequence[RowId]) -> Link | None:
        links = [Link(self.places.page_of(row), self.places.numbers[row]) for row in rows]
        return min(links, key=lambda link: (link.page != self.page, link.number), default=None)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All groups, wherever they are."""
        return tuple(
            Kind(name, title_of(name, self.waiting), count, 1 + (first - 1) // PAGE_ROWS)
            for name, first, count in self.places.groups()
        )

    @property
    def general(self) -> tuple[Problem, ...]:
        """Problems of the result that belong to no row."""
        return worth_telling(self.waiting.problems.get("", ()))

    @property
    def own_files(self) -> tuple[tuple[str, str], ...]:
        """The server-specific files; they stand behind the last row."""
        return tuple(sorted(self.waiting.proposal.server_specific.items()))


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
    shown: str = ""

    @property
    def committable(self) -> bool:
        """Whether the form is offered; the desk decides again when it is sent."""
        return self.comparison is not None and not has_error(self.comparison.problems)


def unify_page(waiting: Unification, page: int, refused: str = "") -> UnifyPage:
    """Lay out a page of a unification; one that does not exist is the last one."""
    places = places_of(waiting.proposal.rows)
    page = min(max(1, page), places.pages)
    faulty = tuple(row.id for row in places.rows if worth_telling(waiting.problems.get(row.id, ())))
    groups = groups_of(waiting, places, page)
    return UnifyPage(waiting, names_of(waiting), groups, places, page, faulty, refused)


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The rows, or a word on what this page is for when nothing waits."""
    waiting = desk().unification()
    if waiting is None:
        return render_template("unify/nothing.html")
    page = unify_page(waiting, request.args.get("page", 1, type=int))
    return render_template("unify/index.html", page=page)


@blueprint.post("")
@needs(Role.ADMINISTRATOR)
def save() -> ResponseReturnValue:
    """Keep the answers of the form; then stay, go to another page, or on to the effect."""
    waiting = desk().unification()
    if waiting is None:
        return render_template("unify/nothing.html"), 409
    said, here = read_answers(waiting, request.form), _page_posted()
    action = request.form.get("action", "save")
    turns = action.startswith("page-")
    if action.startswith("open-rows-"):
        said = answer_open_rows(waiting, said, action.removeprefix("open-rows-"))
    match desk().answer(current_person(), said.answers, said.acknowledged):
        case Refused(sentence=sentence):
            page = unify_page(_with(waiting, said), here, sentence)
            return render_template("unify/index.html", page=page), 422
        case Unification() as kept if action == "compare" and kept.open_rows:
            sentence = _still_open(len(kept.open_rows))
            page = unify_page(kept, _page_of(kept, kept.open_rows, here), sentence)
            return render_template("unify/index.html", page=page), 422
        case Unification() as kept if not turns and (faulty := _faulty(kept)):
            sentence = f"Your answers are kept. {_rows_have(len(faulty))} to correct."
            page = unify_page(kept, _page_of(kept, faulty, here), sentence)
            return render_template("unify/index.html", page=page), 422
        case _ if action == "compare":
            return redirect(url_for("unify.compare"), 303)
        case kept:
            flash(_kept_words(kept), "success")
            target = _number(action.removeprefix("page-"), here)
            return redirect(url_for("unify.show", page=target if target > 1 else None), 303)


@blueprint.post("/answers")
@needs(Role.ADMINISTRATOR)
def keep() -> ResponseReturnValue:
    """The same for a script: keeps the answers and tells which rows are open or faulty."""
    waiting = desk().unification()
    if waiting is None:
        return jsonify(refused="No unification is waiting any more. Load the page again."), 409
    said = read_answers(waiting, request.form)
    match desk().answer(current_person(), said.answers, said.acknowledged):
        case Refused(sentence=sentence):
            return jsonify(refused=sentence), 422
        case kept:
            page = unify_page(kept, _page_posted())
    rows = [row for group in page.groups for row in group.rows]
    return jsonify(
        status=render_template("unify/_status.html", page=page),
        general=render_template("unify/_general.html", page=page),
        open=[row.number for row in rows if row.open],
        problems={
            row.number: render_template("unify/_problems.html", problems=row.problems)
            for row in rows
            if row.problems
        },
    )


def _page_posted() -> int:
    """The page that the form is on."""
    return _number(request.form.get("page", ""), 1)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else otherwise


def _page_of(waiting: Unification, rows: Sequence[RowId], here: int) -> int:
    """The page to correct something on: this one if one of these rows is on it."""
    places = places_of(waiting.proposal.rows)
    pages = {places.page_of(row) for row in rows}
    return here if here in pages else min(pages)


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
    refused = _unusable(message, request_id) or _not_seen()
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


def _not_seen() -> str:
    """A sentence if what would be committed is not what the page showed when it was sent."""
    found = desk().compare_unification()
    if not isinstance(found, Comparison) or request.form.get("shown") == _shown(found):
        return ""
    if not _blocks(found).changes:  # it was committed just now: the desk knows the request
        return ""
    return (
        "The effect is not what this page showed: an answer was changed in another window, or"
        " somebody committed meanwhile. Nothing was committed. Look at it again."
    )


def _shown(comparison: Comparison) -> str:
    return fingerprint(_blocks(comparison))


def _blocks(comparison: Comparison) -> Comparison:
    """Without the records of members: that of a replaced one says when, which passes on."""
    blocks = [change for change in comparison.changes if not change.path.startswith("cluster/")]
    return replace(comparison, changes=tuple(blocks))


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
        servers=scope_words(overview, comparison.servers) if comparison else (),
        problems=tuple(shown_problems(worth_telling(comparison.problems))) if comparison else (),
        read_only_reason=overview.read_only_reason,
        refused=refused,
        shown=_shown(comparison) if comparison else "",
    )
    return render_template("unify/compare.html", page=page), 422 if refused else 200


def _with(waiting: Unification, said: Said) -> Unification:
    return replace(
        waiting,
        answers=answers_with(waiting.answers, said.answers),
        acknowledged=(waiting.acknowledged - said.answers.keys()) | said.acknowledged,
    )


def _faulty(waiting: Unification) -> tuple[RowId, ...]:
    """The rows whose answers cannot be used."""
    return tuple(
        row.id
        for row in waiting.proposal.rows
        if row.id in waiting.answers and has_error(waiting.problems.get(row.id, ()))
    )


def _rows_have(count: int) -> str:
    return f"{count} row{' has' if count == 1 else 's have'} an error"


def _kept_words(waiting: Unification) -> str:
    left = len(waiting.open_rows)
    rows = "1 row is" if left == 1 else f"{left} rows are"
    return f"Your answers are saved. {f'{rows} still open.' if left else 'No row is open.'}"


def _still_open(count: int) -> str:
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return f"{rows} still open. Answer them first; nothing was committed."
