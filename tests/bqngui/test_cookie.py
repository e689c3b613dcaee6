from __future__ import annotations

import sqlite3
from contextlib import closing

from flask import flash, session

from bqngui.authorization import needs, public
from scheduler.views import Role
from tests.support.site import Site


def last_deed(site: Site, change: float = 0.0) -> float:
    """When the (only) person did something; `change` moves it."""
    with closing(sqlite3.connect(site.settings.state_dir / "sessions.sqlite3")) as db, db:
        db.execute("UPDATE sessions SET seen = seen + ?", (change,))
        return float(db.execute("SELECT max(seen) FROM sessions").fetchone()[0])


def test_a_page_that_asks_by_itself_keeps_no_session_alive(site: Site) -> None:
    view = needs(Role.VIEWER, background=True)(lambda: "new numbers")
    site.app.add_url_rule("/poll", "poll", view)
    visitor = site.administrator()
    before = last_deed(site, -600)
    assert visitor.get("/poll").status_code == 200
    visitor.get("/audit", headers={"BQN-Background": "1"})
    assert last_deed(site) == before
    visitor.get("/audit")
    assert last_deed(site) > before + 590


def test_polling_does_not_outlive_the_idle_time(site: Site) -> None:
    visitor = site.administrator()
    last_deed(site, -901)
    answer = visitor.get("/audit", headers={"BQN-Background": "1"})
    assert answer.status_code == 401


def test_a_message_reaches_the_next_page_and_only_that(site: Site) -> None:
    def leave_a_message() -> str:
        flash("It is <done>.", "warning")
        return "see the next page"

    site.app.add_url_rule("/leave", "leave", needs(Role.VIEWER)(leave_a_message))
    visitor = site.administrator()
    visitor.get("/leave")
    assert "It is &lt;done&gt;." in visitor.get("/audit").text
    assert "It is" not in visitor.get("/audit").text


def test_a_visitor_leaves_nothing_on_the_server(site: Site) -> None:
    def remember() -> str:
        session["note"] = session.get("note", 0) + 1
        return str(session["note"])

    site.app.add_url_rule("/remember", "remember", public(remember))
    visitor = site.visitor()
    assert [visitor.get("/remember").text for _ in range(2)] == ["1", "1"]
    visitor.get("/login")
    with closing(sqlite3.connect(site.settings.state_dir / "sessions.sqlite3")) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


def test_a_cookie_that_is_no_token_is_replaced(site: Site) -> None:
    visitor = site.visitor()
    for value in ("", "x", "a" * 44, "../../etc/passwd", "%00"):
        visitor.client.set_cookie(site.settings.cookie_name, value, domain="localhost", secure=True)
        assert "__Host-bqn-0=" in visitor.get("/login").headers["Set-Cookie"]


def test_servers_on_one_address_do_not_share_a_cookie(site: Site) -> None:
    assert site.settings.cookie_name == "__Host-bqn-0"
