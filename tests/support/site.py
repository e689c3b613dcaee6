"""The GUI over a desk in memory: by Flask's test client, or served by the real server."""

from __future__ import annotations

import re
import uuid
from functools import cache
from pathlib import Path
from typing import Any, cast

from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from bqngui import create_app, server
from bqngui.accounts import find
from bqngui.local_admin import LocalAccount, LocalAdmin
from bqngui.passwords import Passwords
from bqngui.settings import GuiSettings
from bqngui.shell import Shell
from configrepo.model import ServerId
from scheduler.views import Role
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk

PASSWORD = "correct horse battery staple"
NAMES = {Role.VIEWER: "vera", Role.OPERATOR: "otto", Role.ADMINISTRATOR: "ada"}
BASE = "https://localhost"


@cache
def password_hash() -> str:
    """The hash of `PASSWORD`, computed once."""
    return Passwords().hashed(PASSWORD)


class Visitor:
    """A browser without a screen: keeps cookies, knows the form token."""

    def __init__(self, client: FlaskClient, shell: Shell) -> None:
        self.client = client
        self._shell = shell

    @property
    def token(self) -> str:
        """The session cookie."""
        cookie = self.client.get_cookie(self._shell.settings.cookie_name, "localhost")
        assert cookie is not None, "this visitor has no session yet"
        return cookie.value

    @property
    def form_token(self) -> str:
        """What a form of this session carries."""
        signer = URLSafeTimedSerializer(self._shell.sessions.secret, salt="wtf-csrf-token")
        return str(signer.dumps(self._shell.sessions.form_token(self.token)))

    def get(self, path: str, **options: Any) -> TestResponse:
        """GET, as a browser asks for a page."""
        options.setdefault("headers", {"Accept": "text/html"})
        return self.client.get(path, base_url=BASE, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """POST a form with its token."""
        options.setdefault("headers", {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"})
        fields = {"csrf_token": self.form_token, **(data or {})}
        return self.client.post(path, base_url=BASE, data=fields, **options)

    def log_in(self, name: str, password: str, **fields: str) -> TestResponse:
        """Go through the login form."""
        page = self.get("/login")
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found is not None
        return self.client.post(
            "/login",
            base_url=BASE,
            data={"name": name, "password": password, "csrf_token": found[1], **fields},
            headers={"Accept": "text/html"},
        )


class Site:
    """One server's GUI over a `FakeDesk`; its local administrator has `PASSWORD`."""

    def __init__(self, desk: FakeDesk, state_dir: Path, **settings: Any) -> None:
        self.desk = desk
        self.settings = GuiSettings(
            ServerId(int(desk.view.me)), state_dir, address="127.0.0.1", port=0, **settings
        )
        LocalAdmin(state_dir).store(LocalAccount(password_hash(), one_time=False))
        self.app: Flask = create_app(desk, self.settings)
        self.shell = cast("Shell", self.app.extensions["bqn"])
        self._running: server.RunningGui | None = None

    def visitor(self, role: Role | None = None) -> Visitor:
        """Somebody who is logged in with that role (a `user` block), or nobody yet (None)."""
        client = self.app.test_client()
        if role is not None:
            token = self.session_of(self.account(role))
            client.set_cookie(self.settings.cookie_name, token, domain="localhost", secure=True)
        return Visitor(client, self.shell)

    def administrator(self) -> Visitor:
        """The local administrator, logged in."""
        client = self.app.test_client()
        token = self.session_of("admin")
        client.set_cookie(self.settings.cookie_name, token, domain="localhost", secure=True)
        return Visitor(client, self.shell)

    def account(self, role: Role) -> str:
        """The name of a user of that role, made when it is first needed; has `PASSWORD`."""
        name = NAMES[role]
        if self.desk.account(name) is None:
            self.desk.put_user(ADMINISTRATOR, name, role, password_hash(), str(uuid.uuid4()))
        return name

    def session_of(self, name: str) -> str:
        """A fresh session of an account; the cookie's value."""
        account = find(self.shell, name)
        assert account is not None
        return self.shell.sessions.begin(name, local=account.local, stamp=account.stamp)

    @property
    def url(self) -> str:
        """Where the real server serves this site; started when first asked for."""
        if self._running is None:
            self._running = server.start(self.app, self.settings)
        return f"https://127.0.0.1:{self._running.port}"

    def close(self) -> None:
        """Stop the server and release the files."""
        if self._running is not None:
            self._running.stop()
        self.shell.sessions.close()
