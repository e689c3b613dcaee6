"""The room that shows and asks: the Flask GUI of one BQN server.

`create_app` reads top to bottom. A page is a module with a `blueprint`, a folder of
templates and a test of the same name; it asks `bqngui.shell.desk()` and marks each view
with the role it needs (`bqngui.authorization`).

Core.
"""

from __future__ import annotations

import threading
import time

from flask import Flask, abort, g, request
from flask_wtf.csrf import CSRFProtect
from jinja2 import StrictUndefined
from werkzeug.wrappers import Response

from bqngui import (
    account,
    assets,
    audit,
    authorization,
    backup,
    clone,
    cluster,
    cluster_operations,
    configuration,
    dashboard,
    disagreements,
    doctor,
    drift,
    elections,
    errors,
    git_http,
    headers,
    history,
    login,
    replication,
    unify,
    users,
)
from bqngui.attempts import Attempts
from bqngui.cookie import TableSessions
from bqngui.local_admin import LocalAdmin
from bqngui.menu import menu_for
from bqngui.passwords import Passwords
from bqngui.sessions import SessionTable
from bqngui.settings import MEBIBYTE, GuiSettings
from bqngui.shell import Shell, install
from scheduler.desk_seam import Desk

PAGES = (
    account.blueprint,
    audit.blueprint,
    backup.blueprint,
    clone.blueprint,
    cluster.blueprint,
    cluster_operations.blueprint,
    configuration.blueprint,
    dashboard.blueprint,
    disagreements.blueprint,
    doctor.blueprint,
    drift.blueprint,
    elections.blueprint,
    history.blueprint,
    login.blueprint,
    replication.blueprint,
    unify.blueprint,
    users.blueprint,
)


def create_app(desk: Desk, settings: GuiSettings) -> Flask:
    """Make the GUI of one server.

    Raises:
        bqngui.assets.AssetMissing: an installed package lacks a style sheet or script.
    """
    app = Flask(__name__, static_folder=None, template_folder="../templates")
    sessions = SessionTable(
        settings.state_dir / "sessions.sqlite3",
        idle_s=settings.session_idle_s,
        longest_s=settings.session_longest_s,
    )
    _configure(app, settings, sessions)
    _open_the_shell(app, desk, settings, sessions)
    _bring_pages(app, settings, form_tokens=_guard(app))
    authorization.verify_every_view_is_marked(app)
    _frame_answers(app, desk, settings)
    return app


def _configure(app: Flask, settings: GuiSettings, sessions: SessionTable) -> None:
    """Limits, sessions, and how templates are read."""
    app.config.update(
        # A configuration may have 16 MiB; a form that carries it as text is a little larger.
        MAX_CONTENT_LENGTH=20 * MEBIBYTE,
        MAX_FORM_MEMORY_SIZE=20 * MEBIBYTE,
        MAX_FORM_PARTS=20_000,
        TRUSTED_HOSTS=list(settings.trusted_hosts) or None,
        SECRET_KEY=sessions.secret,
        WTF_CSRF_TIME_LIMIT=None,  # a form token lives as long as its session
        WTF_CSRF_SSL_STRICT=False,  # no referrer is sent; Sec-Fetch-Site and Origin are checked
    )
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.session_interface = TableSessions(sessions, settings.cookie_name)


def _open_the_shell(app: Flask, desk: Desk, settings: GuiSettings, sessions: SessionTable) -> None:
    """What every request can reach."""
    shell = Shell(
        desk=desk,
        settings=settings,
        sessions=sessions,
        attempts=Attempts(time.monotonic),
        local_admin=LocalAdmin(settings.state_dir),
        passwords=Passwords(),
    )
    install(app.extensions, shell)


def _guard(app: Flask) -> CSRFProtect:
    """What is looked at before a view is called, in this order."""
    app.before_request(_refuse_other_sites)
    app.before_request(login.identify)
    form_tokens = CSRFProtect(app)
    app.before_request(authorization.check)
    return form_tokens


def _bring_pages(app: Flask, settings: GuiSettings, form_tokens: CSRFProtect) -> None:
    assets.register(app)
    for blueprint in PAGES:
        app.register_blueprint(blueprint)
    repository = git_http.make_blueprint(threading.BoundedSemaphore(settings.clones))
    form_tokens.exempt(repository)  # git sends a token of its own kind: a password, no cookie
    app.register_blueprint(repository)
    errors.register(app)


def _frame_answers(app: Flask, desk: Desk, settings: GuiSettings) -> None:
    """The headers of every answer, and what the layout around every page shows."""
    pages = authorization.roles(app)
    own_certificate = settings.certificate is not None

    @app.after_request
    def add_headers(response: Response) -> Response:
        return headers.protect(response, hsts=own_certificate)

    @app.context_processor
    def layout() -> dict[str, object]:
        person = g.get("person")
        inside = person is not None and not g.must_set_password
        return {
            "person": person,
            "overview": desk.overview() if person is not None else None,
            "menu": menu_for(person.role, pages) if inside else (),
            "may": authorization.may,
            "section": (request.endpoint or "").split(".", 1)[0],
            "server_id": settings.server_id,
        }


def _refuse_other_sites() -> None:
    if headers.sent_by_another_site():
        abort(403, "This request came from a page of another site.")
