"""A person's own account: changing the password.

The local administrator's password stays on this server; that of a `user` block is a
commit like any other change. All other sessions of the account end.

Core.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

from flask import Blueprint, flash, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from bqngui.accounts import Login, find
from bqngui.authorization import needs
from bqngui.candidate import tell_committed
from bqngui.local_admin import LocalAccount
from bqngui.login import begin_session, current_person
from bqngui.passwords import SHORTEST, Busy, objection
from bqngui.shell import current_shell
from scheduler.views import Committed, Disagreed, Refused, Role

blueprint = Blueprint("account", __name__)

_ARRIVAL_S = 3.0
_LOOK_AGAIN_S = 0.05


@blueprint.get("/account/password")
@needs(Role.VIEWER)
def password() -> str:
    """The form for a new password."""
    return _page(None, str(uuid.uuid4()))


@blueprint.post("/account/password")
@needs(Role.VIEWER)
def set_password() -> ResponseReturnValue:
    """Check the old password, take the new one, end all other sessions of the account."""
    shell = current_shell()
    person = current_person()
    account = find(shell, person.name)
    request_id = request.form.get("request_id", "")[:64] or str(uuid.uuid4())
    problem = "The account is no longer there." if account is None else _problem(account)
    if account is not None and problem is None:
        fresh = shell.passwords.hashed(request.form.get("new", ""))
        problem = _store(account, fresh, request_id)
    if problem is not None:
        return _page(problem, request_id), 422
    shell.sessions.end_all(person.name, local=person.local)
    changed = find(shell, person.name)
    shell.desk.audit(person, "change of own password", "done")
    if changed is not None:
        flash("The password is changed. All other sessions of this account have ended.", "success")
        begin_session(changed)
    return redirect("/", 303)


def _problem(account: Login) -> str | None:
    shell = current_shell()
    person = current_person()
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        return "The two new passwords differ."
    wait_s = shell.attempts.begin(person.name, person.address)
    if wait_s > 0:
        return f"Too many wrong passwords. The next attempt is looked at in {wait_s:.0f} s."
    try:
        right = shell.passwords.agrees(account.password_hash, request.form.get("old", ""))
    except Busy:
        shell.attempts.give_back(person.name, person.address)
        return "Many people log in at this moment. Try again."
    if right:
        shell.attempts.right(person.name, person.address)
    elif g.must_set_password:
        shell.attempts.give_back(person.name, person.address)
    else:
        shell.desk.audit(person, "change of own password", "refused: wrong old password")
        return "The old password is wrong."
    if right and new == request.form.get("old", ""):
        return "The new password is the old one."
    return objection(new, person.name)


def _store(account: Login, password_hash: str, request_id: str) -> str | None:
    shell = current_shell()
    if account.local:
        shell.local_admin.store(LocalAccount(password_hash, one_time=False))
        return None
    match shell.desk.change_own_password(current_person(), password_hash, request_id):
        case Committed() as committed:
            if not committed.repeated:
                _wait_for_arrival(account, password_hash)
            tell_committed(committed)
            return None
        case Refused(sentence):
            return sentence
        case Disagreed():
            return "Somebody else changed this user at the same moment. Try again."


def _wait_for_arrival(account: Login, password_hash: str) -> None:
    """On a secondary the commit comes back from the primary a moment later.

    A session that began before would end with its arrival. If it does not come in time,
    the person is asked to log in again when it does.
    """
    expected = replace(account, password_hash=password_hash).stamp
    until = time.monotonic() + _ARRIVAL_S
    while time.monotonic() < until:
        arrived = find(current_shell(), account.name)
        if arrived is None or arrived.stamp == expected:
            return
        time.sleep(_LOOK_AGAIN_S)


def _page(problem: str | None, request_id: str) -> str:
    return render_template(
        "account/password.html",
        problem=problem,
        request_id=request_id,
        shortest=SHORTEST,
        first=g.must_set_password,
        page_title="Set a password" if g.must_set_password else "Change password",
    )
