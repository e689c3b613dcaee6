"""Joins Flask's `session` to the table of sessions through one cookie.

The cookie carries a random token and nothing else. It is `__Host-`: HTTPS only, this
host only, not readable by scripts, never sent by a page of another site. What the
pages keep in `session` (messages for the next page) is stored in the table, and only
for somebody who is logged in.

Edge: the cookie.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from flask import Flask, Request, Response, g
from flask.sessions import SessionInterface, SessionMixin

from bqngui.sessions import Session, SessionTable

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_FORM_TOKEN = "csrf_token"  # noqa: S105 - the name under which Flask-WTF looks for it


class CookieSession(dict[str, Any], SessionMixin):
    """What Flask calls the session: the pages' data and how it came to be.

    `token` is the cookie's; `replaced_by` is set when a login, a logout or a change of
    password makes a new one; `login` is the live session, None for a visitor.
    """

    def __init__(self, token: str, login: Session | None, form_token: str, new: bool) -> None:
        super().__init__(json.loads(login.data) if login else {})
        self[_FORM_TOKEN] = form_token
        self.token = token
        self.login = login
        self.new = new
        self.replaced_by: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the pages of a person who is logged in changed what they keep."""
        if self.login is None:
            return False
        return self.data() != json.dumps(json.loads(self.login.data), sort_keys=True)

    def data(self) -> str:
        """What the pages keep, as JSON."""
        return json.dumps({k: v for k, v in self.items() if k != _FORM_TOKEN}, sort_keys=True)


class TableSessions(SessionInterface):
    """Flask's seam for sessions, over the table."""

    def __init__(self, table: SessionTable, cookie_name: str) -> None:
        self._table = table
        self._name = cookie_name

    def open_session(self, app: Flask, request: Request) -> CookieSession:
        """Find the session of a request; a visitor gets a token without a row."""
        token = request.cookies.get(self._name, "")
        known = _TOKEN.fullmatch(token) is not None
        if not known:
            token = secrets.token_urlsafe(32)
        login = self._table.find(token) if known else None
        return CookieSession(token, login, self._table.form_token(token), new=not known)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store what changed; send the cookie when it is new and the page holds a form."""
        if not isinstance(session, CookieSession):
            return
        if session.accessed:
            response.vary.add("Cookie")
        token = session.replaced_by or session.token
        if session.replaced_by is None and session.changed:
            self._table.keep_data(token, session.data())
        if session.replaced_by is not None or (session.new and g.get(_FORM_TOKEN)):
            response.set_cookie(
                self._name, token, secure=True, httponly=True, samesite="Strict", path="/"
            )
