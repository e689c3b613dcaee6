"""The configuration as text: the list of blocks, one block in an editor, a server's whole file.

Every edit goes into the person's candidate (see `candidate`); nothing here commits. A text
that cannot be read is shown again as it was typed, each problem with line and column.

Edge: HTTP.
"""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui import candidate
from bqngui.authorization import needs
from bqngui.block_tree import Filter, block_tree, server_title
from bqngui.candidate import candidate_bar
from bqngui.language_help import help_for
from bqngui.login import current_person
from bqngui.problem_list import ShownProblem, shown_problems
from bqngui.server_choice import chosen_server, revision_asked
from bqngui.shell import desk
from configrepo.model import Problem
from scheduler.views import BlockView, Edited, Overview, Refused, Role

blueprint = Blueprint("configuration", __name__)
blueprint.register_blueprint(candidate.blueprint)

PAGE_LINES = 10_000


@blueprint.get("/configuration")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The blocks, grouped and filtered."""
    overview = desk().overview()
    view = desk().configuration(current_person())
    wanted = Filter(
        text=request.args.get("q", "")[:200],
        section=request.args.get("section", ""),
        server=request.args.get("server", ""),
        page=request.args.get("page", 1, type=int),
    )
    return render_template(
        "configuration/show.html",
        bar=candidate_bar(overview),
        tree=block_tree(view, wanted),
        wanted=wanted,
        removed=view.removed,
        owner=_owner(overview),
    )


@blueprint.get("/configuration/block")
@needs(Role.VIEWER)
def block() -> ResponseReturnValue:
    """One block in the editor."""
    found = _block(request.args.get("path", ""))
    return _editor(found, found.text)


@blueprint.post("/configuration/block")
@needs(Role.OPERATOR)
def edit() -> ResponseReturnValue:
    """Take the text of a block into the candidate."""
    path, text = request.form.get("path", ""), _posted_text()
    match desk().edit(current_person(), path, text):
        case Edited(paths, warnings):
            _tell_warnings(warnings)
            if not text.strip():
                return _removed(path)
            _tell_kept(paths)
            return redirect(url_for(".block", path=paths[0] if paths else path), 303)
        case Refused(sentence, problems):
            return _editor(_block(path), text, sentence, shown_problems(problems, text)), 422


@blueprint.get("/configuration/new")
@needs(Role.OPERATOR)
def new() -> ResponseReturnValue:
    """An empty editor for a block that does not exist yet."""
    return _editor(None, "")


@blueprint.post("/configuration/new")
@needs(Role.OPERATOR)
def add() -> ResponseReturnValue:
    """Take a new block into the candidate; its opener says what it is."""
    text = _posted_text()
    match desk().edit(current_person(), None, text):
        case Edited(paths, warnings):
            _tell_warnings(warnings)
            flash("The new block is in your candidate. It is not committed yet.", "success")
            if len(paths) != 1:
                return redirect(url_for(".show"), 303)
            return redirect(url_for(".block", path=paths[0]), 303)
        case Refused(sentence, problems):
            return _editor(None, text, sentence, shown_problems(problems, text)), 422


@blueprint.post("/configuration/remove")
@needs(Role.OPERATOR)
def remove() -> ResponseReturnValue:
    """Take the removal of a block into the candidate."""
    path = request.form.get("path", "")
    match desk().edit(current_person(), path, ""):
        case Edited(warnings=warnings):
            _tell_warnings(warnings)
            return _removed(path)
        case Refused(sentence, problems):
            found = _block(path)
            return _editor(found, found.text, sentence, shown_problems(problems)), 422


@blueprint.get("/configuration/text")
@needs(Role.VIEWER)
def text() -> ResponseReturnValue:
    """The whole `.conf` of a server with line numbers, now or at a revision."""
    overview = desk().overview()
    server = chosen_server(overview)
    revision = revision_asked()
    lines = desk().saved_text(server.id, revision).splitlines()
    pages = max(1, -(-len(lines) // PAGE_LINES))
    page = min(max(1, request.args.get("page", 1, type=int)), pages)
    start = (page - 1) * PAGE_LINES
    return render_template(
        "configuration/text.html",
        bar=candidate_bar(overview),
        servers=overview.servers,
        server=server,
        revision=revision,
        lines=list(enumerate(lines[start : start + PAGE_LINES], start + 1)),
        total=len(lines),
        page=page,
        pages=pages,
    )


def _posted_text() -> str:
    """The editor's text; browsers send CRLF."""
    return request.form.get("text", "").replace("\r\n", "\n")


def _tell_kept(paths: tuple[str, ...]) -> None:
    candidate = desk().candidate(current_person())
    if candidate is not None and set(paths) & set(candidate.paths):
        flash("The change is in your candidate. It is not committed yet.", "success")
    else:
        flash("The text is what is committed already: there is nothing to change.", "info")


def _tell_warnings(warnings: tuple[Problem, ...]) -> None:
    for warning in warnings[:10]:
        flash(f"{warning.severity.capitalize()}: {warning.message}", "warning")


def _removed(path: str) -> ResponseReturnValue:
    flash(f"The removal of {path} is in your candidate. It is not committed yet.", "success")
    return redirect(url_for(".show"), 303)


def _block(path: str) -> BlockView:
    view = desk().configuration(current_person())
    found = next((b for b in view.blocks if b.path == path), None)
    if found is None:
        gone = " Your candidate removes it." if path in view.removed else ""
        abort(404, f"There is no block at {path}.{gone}")
    return found


def _owner(overview: Overview) -> dict[str, str]:
    """How the list names whose blocks they are: "" is the common part."""
    names = {s.id: s.name for s in overview.servers}
    return {"": server_title(None, names)} | {str(s): server_title(s, names) for s in names}


def _editor(
    found: BlockView | None,
    typed: str,
    refusal: str | None = None,
    problems: list[ShownProblem] | None = None,
) -> str:
    overview = desk().overview()
    names = {s.id: s.name for s in overview.servers}
    return render_template(
        "configuration/block.html",
        bar=candidate_bar(overview),
        overview=overview,
        block=found,
        owner=server_title(found.server, names) if found else "",
        text=typed,
        refusal=refusal,
        problems=problems or [],
        marked=frozenset(p.problem.line for p in problems or []),
        kinds=help_for(typed.partition("\n")[0] if found else ""),
    )
