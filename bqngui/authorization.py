"""Who may call which view. Every view says so itself; one that says nothing stops the start.

    @blueprint.get("/cluster")
    @needs(Role.VIEWER)
    def show() -> str: ...

Rules: a view marked `public` answers anybody. All others need a login; a person whose
role does not include the needed one gets a refusal that names the role, and the audit
log a line. Somebody who logged in with the one-time code can only set a password.

Core.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flask import Flask, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.wrappers import Response

from bqngui.shell import desk
from scheduler.views import Person, Role

_View = TypeVar("_View", bound=Callable[..., ResponseReturnValue])
_ALLOWED_BEFORE_PASSWORD = ("account.password", "account.set_password", "login.logout")


def needs(role: Role, *, background: bool = False) -> Callable[[_View], _View]:
    """Mark a view: who may call it, and whether pages call it by themselves (polling)."""

    def mark(view: _View) -> _View:
        vars(view).update(needed_role=role, background=background)
        return view

    return mark


def public(view: _View) -> _View:
    """Mark a view that answers without a login."""
    vars(view).update(needed_role=None)
    return view


def verify_every_view_is_marked(app: Flask) -> None:
    """Refuse to start with a view that nobody thought about.

    Raises:
        RuntimeError: names the endpoints.
    """
    bare = [name for name, view in app.view_functions.items() if not hasattr(view, "needed_role")]
    if bare:
        raise RuntimeError(f"views without a role: {', '.join(sorted(bare))}")


def may(role: str) -> bool:
    """Whether the person of this request has that role, for templates."""
    person: Person | None = g.get("person")
    return person is not None and person.role.includes(Role(role))


def check() -> Response | None:
    """Before each request: let it through, send it to the login, or refuse it."""
    role = needed_role(current_app, request.endpoint)
    if role is None:
        return None
    person: Person | None = g.get("person")
    if person is None:
        return _to_login()
    if g.must_set_password and request.endpoint not in _ALLOWED_BEFORE_PASSWORD:
        return redirect(url_for("account.password"), 303)
    if not person.role.includes(role):
        desk().audit(person, f"{request.method} {request.path}", f"refused: needs {role.value}")
        raise Forbidden(
            f"This needs the role {role.value}; {person.name} is {person.role.value}."
            " Ask an administrator to do it or to change the role."
        )
    return None


def needed_role(app: Flask, endpoint: str | None) -> Role | None:
    """The role that an endpoint needs; None for a public one and for an unknown address."""
    view = app.view_functions.get(endpoint or "")
    role: Role | None = getattr(view, "needed_role", None)
    return role


def roles(app: Flask) -> dict[str, Role]:
    """The role that each endpoint needs; public ones are left out."""
    found = {name: needed_role(app, name) for name in app.view_functions}
    return {name: role for name, role in found.items() if role is not None}


def is_background() -> bool:
    """Whether a page asked by itself (polling), so that it does not keep a session alive.

    A view says so by its mark; a script may say so by the header `BQN-Background`. Nobody
    gains by lying: the own session only ends sooner.
    """
    view = current_app.view_functions.get(request.endpoint or "")
    return bool(getattr(view, "background", False)) or "BQN-Background" in request.headers


def wants_page() -> bool:
    """Whether the answer is shown as a page, not read by a script."""
    if "HX-Request" in request.headers or is_background():
        return False
    return request.accept_mimetypes.accept_html or not request.accept_mimetypes


def _to_login() -> Response:
    if not wants_page():
        raise Unauthorized("The session has ended. Log in again.")
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    ended = "1" if g.session_ended else None
    return redirect(url_for("login.form", next=target, ended=ended), 303)
