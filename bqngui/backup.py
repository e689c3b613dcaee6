"""Save the configuration of a server as a file; load a file into the candidate.

A file that is loaded changes nothing by itself: it becomes the candidate and is compared
and committed like any other change. A file that cannot be read is refused as a whole, with
all its problems at once.

Edge: HTTP.
"""

from __future__ import annotations

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import candidate_bar, server_words
from bqngui.login import current_person
from bqngui.problem_list import ShownProblem, shown_problems
from bqngui.server_choice import chosen_server, revision_asked
from bqngui.settings import MEBIBYTE
from bqngui.shell import desk
from scheduler.views import Edited, Refused, Role

LARGEST_FILE = 16 * MEBIBYTE
MAX_PROBLEMS = 200

blueprint = Blueprint("backup", __name__, url_prefix="/backup")


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The servers whose configuration can be saved, and the form to load one."""
    return _page()


@blueprint.get("/save")
@needs(Role.VIEWER)
def save() -> ResponseReturnValue:
    """A server's configuration as a file, now or at a revision."""
    server = chosen_server(desk().overview())
    asked = revision_asked()
    newest = desk().history(limit=1)
    revision = asked or (newest[0].id if newest else None)
    text = desk().saved_text(server.id, revision)
    short = revision[:10] if revision else "new"
    desk().audit(current_person(), f"save configuration of BQN {server.id} at {short}", "done")
    return Response(
        text,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="bqn{server.id}-{short}.conf"'},
    )


@blueprint.post("/load")
@needs(Role.OPERATOR)
def load() -> ResponseReturnValue:
    """Make the candidate equal to an uploaded file, or show all that is wrong with it."""
    server = chosen_server(desk().overview())
    data, name = _uploaded()
    complaint = _objection(data)
    if complaint is not None or data is None:
        return _page(complaint), 422
    match desk().load(current_person(), data, server.id):
        case Edited(paths, warnings):
            for warning in shown_problems(warnings)[:10]:
                place = f" ({warning.place})" if warning.place else ""
                flash(f"{warning.problem.message}{place}", "warning")
            if not paths:
                flash(f"{name} equals what is committed: there is nothing to change.", "info")
                return redirect(url_for(".show"), 303)
            flash(
                f"{name} is loaded into your candidate. Nothing is committed yet:"
                " look at what it changes.",
                "success",
            )
            return redirect(url_for("configuration.candidate.compare"), 303)
        case Refused(sentence, problems):
            text = data.decode("utf-8", errors="replace")
            return _page(sentence, shown_problems(problems, text), name), 422


def _uploaded() -> tuple[bytes | None, str]:
    """The uploaded bytes (one more than allowed at most) and the name of the file."""
    upload = request.files.get("file")
    if upload is None or not upload.filename:
        return None, ""
    return upload.stream.read(LARGEST_FILE + 1), upload.filename[-80:]


def _objection(data: bytes | None) -> str | None:
    if data is None:
        return "Choose the file to load."
    if len(data) > LARGEST_FILE:
        return "The file is larger than 16 MiB. Nothing was loaded."
    candidate = desk().candidate(current_person())
    if candidate is not None and candidate.paths and not request.form.get("replace"):
        return (
            "You have a candidate that is not committed. Commit or discard it first,"
            " or tick that the file may replace it, then choose the file again."
        )
    return None


def _page(
    refusal: str | None = None, problems: list[ShownProblem] | None = None, name: str = ""
) -> str:
    overview = desk().overview()
    found = problems or []
    return render_template(
        "backup/show.html",
        bar=candidate_bar(overview),
        servers=[(s, server_words(overview, s.id)) for s in overview.servers],
        chosen=request.form.get("server", str(overview.me)),
        refusal=refusal,
        problems=found[:MAX_PROBLEMS],
        more_problems=len(found) - len(found[:MAX_PROBLEMS]),
        file_name=name,
        newest=next(iter(desk().history(limit=1)), None),
    )
