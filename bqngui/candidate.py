"""The candidate of a person: how many changes, compare, check, commit, discard.

A commit is made by the primary, wherever the page is. What was typed is kept until it is
committed: a refusal or a disagreement shows the same page again with the message and the
choices in it. Each form carries a request id, so that sending it twice commits once, and
a fingerprint of what it showed, so that nothing is committed that was not seen.

Edge: HTTP.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.downloads import patch_answer
from bqngui.login import current_person
from bqngui.problem_list import has_error, shown_problems
from bqngui.replica_groups import ranges
from bqngui.review import choices_of, file_diffs, fingerprint, questions
from bqngui.shell import desk
from configrepo.model import ServerId
from configrepo.unify import Answer, RowId
from scheduler.apply_turn import CANARY, LONGEST_PAUSE_S, PAUSE, Staging, Turn, staging_of
from scheduler.views import CommitOutcome, Committed, Comparison, Disagreed, Overview, Refused, Role

LONGEST_MESSAGE = 4000
USUAL_PAUSE_S = 60
MOST_NAMED = 8
CHOOSE = (
    "Somebody else committed other values for the same keys meanwhile."
    " Nothing was committed. Choose below which value is to stay."
)

blueprint = Blueprint("candidate", __name__, url_prefix="/candidate")


@dataclass(frozen=True, slots=True)
class CandidateBar:
    """What the bar of the Configuration pages says.

    `writer_note` says who will make the commit where that is not this server;
    `read_only_reason` why none can be made now.
    """

    paths: tuple[str, ...]
    writer_note: str | None
    read_only_reason: str | None


@dataclass(frozen=True, slots=True)
class CommitForm:
    """What a person typed on the way to a commit; kept until it is made."""

    request_id: str
    message: str = ""
    choices: Mapping[RowId, Answer] = field(default_factory=dict)
    refusal: str | None = None
    canary: str = ""
    pause: str = str(USUAL_PAUSE_S)


def candidate_bar(overview: Overview) -> CandidateBar:
    """The bar for the person of this request."""
    candidate = desk().candidate(current_person())
    return CandidateBar(
        paths=candidate.paths if candidate else (),
        writer_note=writer_note(overview),
        read_only_reason=overview.read_only_reason,
    )


def writer_note(overview: Overview) -> str | None:
    """Who makes the commit, where that is another server than this one."""
    if not overview.clustered or overview.primary in (None, overview.me):
        return None
    return (
        f"{server_words(overview, overview.me)} is a secondary: the commit is made by the"
        f" primary, {server_words(overview, overview.primary)}, and reaches all servers."
    )


def scope_words(overview: Overview, servers: Sequence[ServerId]) -> tuple[str, ...]:
    """The servers that a change touches: one by one if they are few."""
    if len(servers) <= MOST_NAMED:
        return tuple(server_words(overview, server) for server in servers)
    every = len(servers) >= len(overview.servers)
    return (f"{'all ' if every else ''}{len(servers)} servers: BQN {ranges(servers)}",)


def server_words(overview: Overview, server: ServerId | None) -> str:
    """A server as the pages name it: its id and, where it is known, its name."""
    found = None if server is None else overview.server(server)
    return f"BQN {server} ({found.name})" if found and found.name else f"BQN {server}"


def stages_of(
    overview: Overview, preset: Staging | None, turn: Turn
) -> tuple[tuple[str, str], ...]:
    """The choices of the commit form for a canary, each with its words; none for one server."""
    if len(overview.servers) < 2:
        return ()
    at_once = "all servers at once"
    usual = at_once
    if preset is not None and preset.canary is not None:
        first = server_words(overview, preset.canary)
        usual = f"{first} first, the others {preset.pause_s} s later (setting)"
    choices = [("", usual)]
    if preset is not None or turn.held is not None:
        choices.append(("none", f"{at_once}, also what still waits for a canary"))
    servers = [(str(s.id), f"{server_words(overview, s.id)} first") for s in overview.servers]
    return (*choices, *servers)


def new_request_id() -> str:
    """A name for one intended commit; the same name is never committed twice."""
    return uuid.uuid4().hex


def commit_form() -> CommitForm:
    """The commit form as it was posted."""
    return CommitForm(
        request_id=request.form.get("request_id", "")[:64] or new_request_id(),
        message=request.form.get("message", "").replace("\r\n", "\n").strip(),
        choices=choices_of(request.form),
        canary=request.form.get("canary", ""),
        pause=request.form.get("pause", str(USUAL_PAUSE_S)).strip(),
    )


def objection(form: CommitForm) -> str | None:
    """Why a message is not taken, or None."""
    if not form.message:
        return "Write a message: what changes and why. It is kept in the history."
    if len(form.message) > LONGEST_MESSAGE:
        return f"The message is longer than {LONGEST_MESSAGE} characters."
    if form.canary and staging_asked(form) is None:
        return f"A pause is 0 to {LONGEST_PAUSE_S} whole seconds."
    return None


def staging_asked(form: CommitForm) -> Staging | None:
    """What the form says about a canary server; None leaves it to the settings."""
    return staging_of({CANARY: form.canary, PAUSE: form.pause})


def tell_committed(committed: Committed) -> None:
    """Say on the next page what became of the commit."""
    if committed.repeated:
        flash(f"This was already saved; nothing was done twice. {committed.sentence}", "info")
    else:
        flash(committed.sentence, "success")
    if committed.warning:
        flash(committed.warning, "warning")
    flash(committed.revision, "commit")  # base.html shows who has it, and who runs it


def to_commit(committed: Committed) -> ResponseReturnValue:
    """Tell of a commit on its page; on the list of all while it has not arrived here yet."""
    tell_committed(committed)
    if not desk().has_revision(committed.revision):
        return redirect(url_for("history.show"), 303)
    return redirect(url_for("history.revision", revision=committed.revision), 303)


@blueprint.get("/compare")
@needs(Role.VIEWER)
def compare() -> ResponseReturnValue:
    """What the candidate changes, on which servers, and the form that commits it."""
    return _compare_page(CommitForm(new_request_id()))


@blueprint.get("/patch")
@needs(Role.VIEWER)
def patch() -> ResponseReturnValue:
    """All that the candidate changes, as a text to save."""
    comparison = desk().compare(current_person())
    return patch_answer(comparison.changes if comparison else (), "candidate")


@blueprint.get("/check")
@needs(Role.VIEWER)
def check() -> ResponseReturnValue:
    """What is wrong with the configuration as the candidate makes it."""
    comparison = desk().compare(current_person())
    overview = desk().overview()
    return render_template(
        "candidate/check.html",
        bar=candidate_bar(overview),
        comparison=comparison,
        problems=shown_problems(comparison.problems if comparison else ()),
        forbidden=comparison is not None and has_error(comparison.problems),
    )


@blueprint.post("/commit")
@needs(Role.OPERATOR)
def commit() -> ResponseReturnValue:
    """Commit the candidate, or show the same page again with what is in the way."""
    form = commit_form()
    comparison = desk().compare(current_person())
    complaint = objection(form) or _not_seen(comparison)
    if complaint is not None:
        return _compare_page(_refused(form, complaint)), 422
    staging = staging_asked(form)
    match desk().commit(current_person(), form.message, form.request_id, form.choices, staging):
        case Committed() as committed:
            return to_commit(committed)
        case Refused(sentence, problems):
            told = " ".join(p.message for p in problems)
            return _compare_page(_refused(form, f"{sentence} {told}".strip())), 409
        case Disagreed():
            return _compare_page(_refused(form, CHOOSE)), 409


@blueprint.post("/discard")
@needs(Role.OPERATOR)
def discard() -> ResponseReturnValue:
    """Drop the change of one block, or the whole candidate."""
    path = request.form.get("path") or None
    desk().discard(current_person(), path)
    flash(f"The change of {path} is dropped." if path else "The candidate is discarded.", "success")
    left = desk().candidate(current_person()) is not None
    back = request.form.get("back") == "compare" and left
    return redirect(url_for(".compare" if back else "configuration.show"), 303)


def commit_told(outcome: CommitOutcome) -> str | None:
    """Why there is no commit, in words; None if there is one."""
    match outcome:
        case Committed():
            return None
        case Refused(sentence, problems):
            return " ".join([sentence, *(p.message for p in problems)])
        case Disagreed(disagreements):
            keys = ", ".join(f"{d.path} {d.key or ''}".strip() for d in disagreements)
            return f"Somebody else changed the same meanwhile ({keys}). Nothing was committed."


def _refused(form: CommitForm, sentence: str) -> CommitForm:
    return replace(form, refusal=sentence)


def _not_seen(comparison: Comparison | None) -> str | None:
    """A sentence if the candidate is not what the page showed when it was sent.

    A candidate that is gone was committed (or discarded), and one that changes nothing any
    more may have been, just before a crash: the desk knows the request id.
    """
    if comparison is None or not (comparison.changes or comparison.disagreements):
        return None
    if request.form.get("shown") == fingerprint(comparison):
        return None
    return (
        "The candidate is not what this page showed: it was changed in another window, or"
        " somebody committed meanwhile. Nothing was committed. Look at it again."
    )


def _compare_page(form: CommitForm) -> str:
    comparison = desk().compare(current_person())
    overview = desk().overview()
    return render_template(
        "candidate/compare.html",
        bar=candidate_bar(overview),
        overview=overview,
        comparison=comparison,
        form=form,
        files=file_diffs(comparison.changes, url_for(".patch")) if comparison else (),
        problems=shown_problems(comparison.problems if comparison else ()),
        forbidden=comparison is not None and has_error(comparison.problems),
        questions=questions(comparison.disagreements, form.choices) if comparison else (),
        servers=scope_words(overview, comparison.servers) if comparison else (),
        shown=fingerprint(comparison) if comparison else "",
        stages=stages_of(overview, desk().staging.preset(), desk().staging.turn()),
    )
