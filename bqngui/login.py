"""Logging in and out, and who the person of a request is.

A wrong name and a wrong password give the same answer in the same time. Waiting after
wrong passwords is decided, and the try counted, before anything is hashed (`bqngui.attempts`).

Core.
"""

from __future__ import annotations

import math
import secrets
from typing import cast

from flask import Blueprint, g, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from bqngui import authorization
from bqngui.accounts import Login, find
from bqngui.authorization import needs, public
from bqngui.cookie import CookieSession
from bqngui.passwords import Busy
from bqngui.shell import current_shell
from scheduler.views import Person, Role

blueprint = Blueprint("login", __name__)

_WRONG = "Name or password is wrong."
_LONGEST_NAME = 64
_WITHOUT_SESSION = ("assets", "git_http")


def current_person() -> Person:
    """The person of this request; only in views that need a login."""
    return cast("Person", g.person)


def identify() -> None:
    """Before each request: who sent it. Ends a session whose account has changed."""
    g.person, g.must_set_password, g.session_ended = None, False, False
    if request.blueprint in _WITHOUT_SESSION:
        return
    held = _session()
    if held.login is None:
        g.session_ended = not held.new
        return
    shell = current_shell()
    account = find(shell, held.login.account)
    if account is None or account.local != held.login.local or account.stamp != held.login.stamp:
        shell.sessions.end(held.token)
        held.login = None
        g.session_ended = True
        return
    if not authorization.is_background():
        shell.sessions.deed(held.token)
    g.person = account.person(request.remote_addr or "")
    g.must_set_password = account.one_time


@blueprint.get("/login")
@public
def form() -> ResponseReturnValue:
    """The login page."""
    if g.person is not None:
        return redirect(_safe_target(request.args.get("next")), 303)
    ended = "The session has ended. Log in again." if request.args.get("ended") else None
    return _page(notice=ended)


@blueprint.post("/login")
@public
def enter() -> ResponseReturnValue:
    """Check name and password and begin a session."""
    shell = current_shell()
    name = request.form.get("name", "").strip()[:_LONGEST_NAME]
    password = request.form.get("password", "")
    address = request.remote_addr or ""
    wait_s = shell.attempts.begin(name, address)
    if wait_s > 0:
        return _too_many(wait_s)
    account = find(shell, name)
    try:
        right = shell.passwords.agrees(account.password_hash if account else None, password)
    except Busy:
        shell.attempts.give_back(name, address)
        answer = make_response(_page("Many people log in at this moment. Try again."), 503)
        answer.headers["Retry-After"] = "5"
        return answer
    if account is None or not right:
        return _refuse(account, name, address)
    shell.attempts.right(name, address)
    begin_session(account)
    shell.desk.audit(account.person(address), "login", "done")
    if account.one_time:
        return redirect(url_for("account.password"), 303)
    return redirect(_safe_target(request.form.get("next")), 303)


@blueprint.post("/logout")
@needs(Role.VIEWER)
def logout() -> ResponseReturnValue:
    """End the session."""
    shell = current_shell()
    held = _session()
    shell.sessions.end(held.token)
    held.login = None
    held.replaced_by = secrets.token_urlsafe(32)
    shell.desk.audit(current_person(), "logout", "done")
    return redirect(url_for("login.form"), 303)


def begin_session(account: Login) -> None:
    """Give the browser a fresh session of that account; the token it came with is dead."""
    shell = current_shell()
    held = _session()
    shell.sessions.end(held.token)
    held.replaced_by = shell.sessions.begin(
        account.name, local=account.local, stamp=account.stamp, data=held.data()
    )


def _session() -> CookieSession:
    # `session` is Flask's proxy; what is behind it is what `TableSessions` opened.
    return cast("CookieSession", session)


def _refuse(account: Login | None, name: str, address: str) -> ResponseReturnValue:
    # An unknown name is not written down: it may be a password in the wrong field.
    shell = current_shell()
    wait_s = shell.attempts.wait_s(name, address)
    known = account.person(address) if account else Person("unknown", Role.VIEWER, address)
    shell.desk.audit(known, "login", "refused: wrong name or password")
    if wait_s > 0:
        return _too_many(wait_s)
    return _page(_WRONG), 401


def _too_many(wait_s: float) -> Response:
    seconds = math.ceil(wait_s)
    sentence = f"Too many wrong passwords. The next attempt is looked at in {seconds} s."
    answer = make_response(_page(sentence), 429)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _page(error: str | None = None, notice: str | None = None) -> str:
    target = _safe_target(request.values.get("next"))
    name = request.form.get("name", "")[:_LONGEST_NAME]
    shell = current_shell()
    stored = shell.local_admin.account()
    return render_template(
        "login/form.html",
        error=error,
        notice=notice,
        target=target,
        name=name,
        server_name=shell.desk.overview().name,
        first_start=stored is not None and stored.one_time,
    )


def _safe_target(target: str | None) -> str:
    """Where to go after the login: an address of this server only."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    return target if target.isprintable() and "\\" not in target else "/"
