"""Who may log in, what they may do, their tokens for programs and their keys for clones.

Accounts are `user` blocks of the common configuration, so each change here is a commit
that reaches every server. A token's text is shown once, on the answer to the form that
made it; only its SHA-256 is kept.

Edge: HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.candidate import commit_told, new_request_id, tell_committed, writer_note
from bqngui.login import current_person
from bqngui.passwords import SHORTEST, Busy, objection
from bqngui.shell import current_shell, desk
from scheduler.ssh_keys import LONGEST as LONGEST_KEY
from scheduler.ssh_keys import read_public_key
from scheduler.views import CommitOutcome, Committed, Disagreed, Refused, Role, TokenMade, UserView

LONGEST_DAYS = 3650
USUAL_DAYS = 90
_NAME = re.compile(r"[A-Za-z0-9._-]{1,48}")
_DONE, _DONE_KEPT = "users added", 10
_PORT = re.compile(r":[0-9]+\Z")

blueprint = Blueprint("users", __name__, url_prefix="/users")


@dataclass(frozen=True, slots=True)
class UserForm:
    """What was typed, apart from passwords; `refusal` says why it was not taken."""

    request_id: str
    name: str = ""
    role: str = Role.VIEWER.value
    token: str = ""
    days: str = str(USUAL_DAYS)
    key: str = ""
    part: str = ""
    refusal: str | None = None


@blueprint.get("")
@needs(Role.ADMINISTRATOR)
def show() -> ResponseReturnValue:
    """All users, and the form for a new one."""
    return _list_page(UserForm(new_request_id()))


@blueprint.post("/add")
@needs(Role.ADMINISTRATOR)
def add() -> ResponseReturnValue:
    """Add a user."""
    form = _form("add")
    role = _role(form.role)
    if form.request_id in session.get(_DONE, []):
        flash(f"User {form.name} was already saved; nothing was done twice.", "info")
        return redirect(url_for(".user", name=form.name), 303)
    complaint = (
        None
        if _NAME.fullmatch(form.name)
        else ("A name has 1 to 48 letters, digits, dots, dashes or underscores.")
    )
    if complaint is None and _is_taken(form):
        complaint = f"There is a user {form.name} already. Choose another name."
    password_hash = None
    if complaint is None and request.form.get("new"):
        password_hash, complaint = _new_hash(form.name)
    if complaint is not None:
        return _list_page(_with(form, complaint)), 422
    outcome = desk().put_user(current_person(), form.name, role, password_hash, form.request_id)
    if (refused := commit_told(outcome)) is not None:
        return _list_page(_with(form, refused)), 409
    session[_DONE] = [*session.get(_DONE, []), form.request_id][-_DONE_KEPT:]
    return _done(outcome, form.name)


@blueprint.get("/user")
@needs(Role.ADMINISTRATOR)
def user() -> ResponseReturnValue:
    """One user: role, password, tokens."""
    found = _user(request.args.get("name", ""))
    return _user_page(found, UserForm(new_request_id(), role=found.role.value))


@blueprint.post("/user/role")
@needs(Role.ADMINISTRATOR)
def set_role() -> ResponseReturnValue:
    """Give a user another role; its sessions end."""
    form = _form("role")
    found = _user(form.name)
    outcome = desk().put_user(current_person(), found.name, _role(form.role), None, form.request_id)
    return _answer(found, form, outcome)


@blueprint.post("/user/password")
@needs(Role.ADMINISTRATOR)
def set_password() -> ResponseReturnValue:
    """Give a user another password; its sessions end."""
    form = _form("password")
    found = _user(form.name)
    password_hash, complaint = _new_hash(found.name)
    if complaint is not None:
        return _user_page(found, _with(form, complaint)), 422
    outcome = desk().put_user(
        current_person(), found.name, found.role, password_hash, form.request_id
    )
    return _answer(found, form, outcome)


@blueprint.post("/user/token")
@needs(Role.ADMINISTRATOR)
def create_token() -> ResponseReturnValue:
    """Make a token and show it, this one time."""
    form = _form("token")
    found = _user(form.name)
    complaint = _token_objection(found, form)
    if complaint is not None:
        return _user_page(found, _with(form, complaint)), 422
    made = desk().create_token(
        current_person(), found.name, form.token, int(form.days), form.request_id
    )
    match made:
        case TokenMade():
            host = request.host
            endpoint = host if _PORT.search(host) else f"{host}:443"
            return render_template("users/token.html", made=made, host=host, endpoint=endpoint)
        case Refused() | Disagreed():
            return _user_page(found, _with(form, commit_told(made))), 409


@blueprint.post("/user/token/revoke")
@needs(Role.ADMINISTRATOR)
def revoke_token() -> ResponseReturnValue:
    """Take a token away; it stops working at once on the servers that have the commit."""
    form = _form("revoke")
    found = _user(form.name)
    outcome = desk().revoke_token(current_person(), found.name, form.token, form.request_id)
    return _answer(found, form, outcome)


@blueprint.post("/user/ssh-key")
@needs(Role.ADMINISTRATOR)
def add_key() -> ResponseReturnValue:
    """Register a public key: it may clone and fetch."""
    form = _form("key")
    found = _user(form.name)
    key = read_public_key(form.key)
    if not _NAME.fullmatch(form.token):
        key = "A key's name has 1 to 48 letters, digits, dots, dashes or underscores."
    elif form.token in {k.name for k in found.ssh_keys}:
        key = f"{found.name} has a key {form.token} already. Remove it, or choose another name."
    if isinstance(key, str):
        return _user_page(found, _with(form, key)), 422
    auditing = desk().auditing
    outcome = auditing.add_key(current_person(), found.name, form.token, key, form.request_id)
    return _answer(found, form, outcome)


@blueprint.post("/user/ssh-key/remove")
@needs(Role.ADMINISTRATOR)
def remove_key() -> ResponseReturnValue:
    """Take a key away; it stops working on the servers that have the commit."""
    form = _form("remove-key")
    found = _user(form.name)
    auditing = desk().auditing
    outcome = auditing.remove_key(current_person(), found.name, form.token, form.request_id)
    return _answer(found, form, outcome)


def _form(part: str) -> UserForm:
    """The posted form; `part` names the form of the page that it came from."""
    return UserForm(
        request_id=request.form.get("request_id", "")[:64] or new_request_id(),
        name=request.form.get("name", "").strip(),
        role=request.form.get("role", Role.VIEWER.value),
        token=request.form.get("token", "").strip(),
        days=request.form.get("days", str(USUAL_DAYS)).strip(),
        key=request.form.get("key", "").strip()[: LONGEST_KEY + 1],
        part=part,
    )


def _with(form: UserForm, refusal: str | None) -> UserForm:
    # A private key that was pasted by mistake is not sent back to the page.
    key = "" if "PRIVATE KEY" in form.key else form.key
    return replace(form, refusal=refusal, key=key)


def _role(text: str) -> Role:
    if text not in list(Role):
        abort(400, "This role does not exist.")
    return Role(text)


def _user(name: str) -> UserView:
    found = next((u for u in desk().users() if u.name == name), None)
    if found is None:
        abort(404, f"There is no user {name[:48]}.")
    return found


def _is_taken(form: UserForm) -> bool:
    """Whether another user has the name; upper and lower case do not make two names."""
    return form.name.casefold() in {u.name.casefold() for u in desk().users()}


def _new_hash(name: str) -> tuple[str | None, str | None]:
    """The hash of the posted password, or why it is not taken."""
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        return None, "The two passwords differ."
    complaint = objection(new, name)
    if complaint is not None:
        return None, complaint
    try:
        return current_shell().passwords.hashed(new), None
    except Busy:
        return None, "Many people log in at this moment. Try again."


def _token_objection(found: UserView, form: UserForm) -> str | None:
    if not _NAME.fullmatch(form.token):
        return "A token's name has 1 to 48 letters, digits, dots, dashes or underscores."
    if form.token in {t.name for t in found.tokens}:
        return (
            f"{found.name} has a token {form.token} already. If its text is lost,"
            " revoke it and make another."
        )
    if not (
        form.days.isascii()
        and form.days.isdigit()
        and len(form.days) <= len(str(LONGEST_DAYS))
        and 1 <= int(form.days) <= LONGEST_DAYS
    ):
        return f"A token is valid for 1 to {LONGEST_DAYS} days."
    return None


def _answer(found: UserView, form: UserForm, outcome: CommitOutcome) -> ResponseReturnValue:
    refused = commit_told(outcome)
    if refused is not None:
        return _user_page(found, _with(form, refused)), 409
    return _done(outcome, found.name)


def _done(outcome: CommitOutcome, name: str) -> ResponseReturnValue:
    if isinstance(outcome, Committed):
        tell_committed(outcome)
    flash(f"User {name} is saved.", "info")
    return redirect(url_for(".user", name=name), 303)


def _list_page(form: UserForm) -> str:
    overview = desk().overview()
    return render_template(
        "users/show.html",
        users=desk().users(),
        form=form,
        roles=list(Role),
        shortest=SHORTEST,
        writer_note=writer_note(overview),
        read_only_reason=overview.read_only_reason,
    )


def _user_page(found: UserView, form: UserForm) -> str:
    overview = desk().overview()
    return render_template(
        "users/user.html",
        user=found,
        form=form,
        roles=list(Role),
        shortest=SHORTEST,
        longest_days=LONGEST_DAYS,
        writer_note=writer_note(overview),
        read_only_reason=overview.read_only_reason,
    )
