"""What was committed: the list, one revision with its diff, and the way back to it.

A rollback shows what it would change before it is made, and is a commit of its own; nothing
of the history is ever taken away.

Edge: HTTP.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import (
    CommitForm,
    commit_form,
    commit_told,
    new_request_id,
    objection,
    scope_words,
    server_words,
    to_commit,
    writer_note,
)
from bqngui.downloads import patch_answer
from bqngui.login import current_person
from bqngui.problem_list import has_error, shown_problems
from bqngui.replica_groups import ranges, running_words, saved_words
from bqngui.review import block_count, file_diffs
from bqngui.server_choice import is_revision
from bqngui.shell import desk
from configrepo.errors import NotFound
from configrepo.model import ServerId
from scheduler.views import Committed, Overview, RevisionDetail, RevisionView, Role

PAGE_REVISIONS = 40
_TRAILER = re.compile(r"([A-Z][A-Za-z-]*): (.+)")

blueprint = Blueprint("history", __name__, url_prefix="/history")


@blueprint.app_template_filter("utc")
def utc_words(time: datetime, form: str) -> str:
    """A moment in UTC, in the given form."""
    return time.astimezone(UTC).strftime(form)


@blueprint.app_template_filter("commit_view")
def commit_view(revision: str) -> RevisionView | None:
    """A commit as it stands now; None where this server does not have it (any more)."""
    try:
        return desk().revision(revision).revision
    except NotFound:
        return None


blueprint.add_app_template_filter(saved_words, "saved_words")
blueprint.add_app_template_filter(running_words, "running_words")
blueprint.add_app_template_filter(ranges, "id_ranges")
blueprint.add_app_template_filter(block_count, "block_count")


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The commits, newest first; those of one block if `path` is given."""
    path = request.args.get("path", "").strip()
    page = max(1, request.args.get("page", 1, type=int))
    skip = (page - 1) * PAGE_REVISIONS
    found = desk().history(PAGE_REVISIONS + 1, skip, path or None)
    overview = desk().overview()
    return render_template(
        "history/show.html",
        revisions=found[:PAGE_REVISIONS],
        more=len(found) > PAGE_REVISIONS,
        page=page,
        path=path,
        names=_names(overview),
        newest=page == 1 and not path,
    )


@blueprint.get("/<revision>")
@needs(Role.VIEWER)
def revision(revision: str) -> ResponseReturnValue:
    """One commit: who, when, why, what it changed, and who runs it."""
    detail = _detail(revision)
    view = detail.revision
    text, trailers = split_trailers(view.body.removeprefix(view.subject))
    overview = desk().overview()
    return render_template(
        "history/revision.html",
        revision=view,
        files=file_diffs(detail.changes, url_for(".patch", revision=view.id)),
        text=text,
        trailers=trailers,
        names=_names(overview),
        servers=overview.servers,
    )


@blueprint.get("/<revision>/mark")
@needs(Role.VIEWER, background=True)
def mark(revision: str) -> ResponseReturnValue:
    """Who has a commit and who runs it: the part of a page that changes by itself."""
    return render_template("history/_mark.html", revision=_detail(revision).revision)


@blueprint.get("/<revision>/patch")
@needs(Role.VIEWER)
def patch(revision: str) -> ResponseReturnValue:
    """All that one commit changed, as a text to save."""
    detail = _detail(revision)
    return patch_answer(detail.changes, f"revision-{detail.revision.id[:10]}")


@blueprint.get("/<revision>/rollback/patch")
@needs(Role.OPERATOR)
def rollback_patch(revision: str) -> ResponseReturnValue:
    """All that going back to a revision would change, as a text to save."""
    view = _detail(revision).revision
    return patch_answer(desk().compare_rollback(view.id).changes, f"rollback-{view.id[:10]}")


@blueprint.get("/<revision>/rollback")
@needs(Role.OPERATOR)
def rollback_form(revision: str) -> ResponseReturnValue:
    """What going back to a revision would change, and the form that does it."""
    view = _detail(revision).revision
    message = f"Roll back to {view.id[:10]}: {view.subject}"
    return _rollback_page(view, CommitForm(new_request_id(), message))


@blueprint.post("/<revision>/rollback")
@needs(Role.OPERATOR)
def rollback(revision: str) -> ResponseReturnValue:
    """Go back to a revision by a new commit."""
    view = _detail(revision).revision
    form = commit_form()
    complaint = objection(form)
    if complaint is None:
        outcome = desk().rollback(
            current_person(), view.id, form.message, form.request_id, request.form.get("base", "")
        )
        if isinstance(outcome, Committed):
            return to_commit(outcome)
        complaint = commit_told(outcome)
    kept = CommitForm(form.request_id, form.message, form.choices, complaint)
    return _rollback_page(view, kept), 422 if objection(form) else 409


def split_trailers(body: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Part a commit's body into its text and the trailers of its last paragraph."""
    text, _, last = ("\n\n" + body.strip()).rpartition("\n\n")
    found = [_TRAILER.fullmatch(line) for line in last.splitlines()]
    trailers = tuple((m[1], m[2]) for m in found if m is not None)
    if not trailers or len(trailers) != len(found):
        return body.strip(), ()
    return text.strip(), trailers


def _detail(revision: str) -> RevisionDetail:
    if not is_revision(revision):
        abort(404, "A revision has 40 hexadecimal digits.")
    return desk().revision(revision)


def _names(overview: Overview) -> dict[str, str]:
    """Server ids in digits, as commits write them, to the words that pages show."""
    return {str(s.id): server_words(overview, ServerId(s.id)) for s in overview.servers}


def _rollback_page(view: RevisionView, form: CommitForm) -> str:
    overview = desk().overview()
    comparison = desk().compare_rollback(view.id)
    return render_template(
        "history/rollback.html",
        revision=view,
        form=form,
        comparison=comparison,
        files=file_diffs(comparison.changes, url_for(".rollback_patch", revision=view.id)),
        problems=shown_problems(comparison.problems),
        forbidden=has_error(comparison.problems),
        servers=scope_words(overview, comparison.servers),
        writer_note=writer_note(overview),
        read_only_reason=overview.read_only_reason,
    )
