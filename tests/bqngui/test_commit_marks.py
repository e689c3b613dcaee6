"""Every page that commits says who has the commit and who runs it, and keeps saying so."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from bqngui.review import fingerprint
from scheduler.views import Person, Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import PASSWORD, Site

ADA = Person("ada", Role.ADMINISTRATOR, "192.0.2.8")
NEW = "seven quiet otters paddle"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDyKd5NgDrs6kbKRcCdTyCKMvfIjmw0FUZlUZI8LzGpg"
PERSON = {"name": "olga", "role": "viewer", "new": NEW, "again": NEW}


def marked(page: str) -> str | None:
    """The commit whose mark a page shows."""
    found = re.search(r'data-live="/history/([0-9a-f]{40})/mark"', page)
    return found and found[1]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("add", PERSON),
        ("user/role", {"name": "vera", "role": "operator"}),
        ("user/password", {"name": "vera", "new": NEW, "again": NEW}),
        ("user/token", {"name": "vera", "token": "laptop", "days": "9"}),
        ("user/ssh-key", {"name": "vera", "token": "laptop", "key": KEY}),
    ],
)
def test_the_pages_of_users_show_it(site: Site, path: str, fields: dict[str, str]) -> None:
    site.account(Role.VIEWER)
    visitor = site.visitor(Role.ADMINISTRATOR)
    answer = visitor.post(f"/users/{path}", fields)
    page = answer.text if answer.status_code == 200 else visitor.get(answer.location).text
    assert marked(page) == site.desk.history()[0].id
    assert "on all" in page
    assert "running on all" in page


def test_a_commit_of_the_candidate_shows_it(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    site.desk.edit(ADA, "common/ntp.conf", "ntp\n server 192.0.2.7\n")
    comparison = site.desk.compare(ADA)
    assert comparison is not None
    sent = {"message": "Other clock", "shown": fingerprint(comparison)}
    page = visitor.get(visitor.post("/candidate/commit", sent).location).text
    assert marked(page) == site.desk.history()[0].id


def test_a_changed_password_shows_it(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    sent = {"old": PASSWORD, "new": NEW, "again": NEW}
    page = visitor.get(visitor.post("/account/password", sent).location).text
    assert marked(page) == site.desk.history()[0].id


def test_a_unification_shows_it(open_site: OpenSite) -> None:
    site = open_site(FakeDesk.unifying_two())
    visitor = site.visitor(Role.ADMINISTRATOR)
    waiting = site.desk.unification()
    assert waiting is not None
    site.desk.answer(ADA, {}, frozenset(row.id for row in waiting.proposal.rows))
    effect = visitor.get("/unify/compare").text
    shown = re.findall(r'name="(shown)" value="([0-9a-f]+)"', effect)
    sent = {"message": "Unify", "request_id": "r1", **dict(shown)}
    page = visitor.get(visitor.post("/unify/commit", sent).location).text
    assert marked(page) == site.desk.history()[0].id


def test_a_commit_that_is_gone_has_no_mark(site: Site) -> None:
    with site.app.test_request_context(base_url="https://localhost"):
        view = site.app.jinja_env.filters["commit_view"]
        assert view("f" * 40) is None
        assert view(site.desk.history()[0].id) is not None


def test_the_mark_is_for_viewers_and_keeps_no_session_alive(site: Site) -> None:
    path = f"/history/{site.desk.history()[0].id}/mark"
    assert "on all" in site.visitor(Role.VIEWER).get(path).text
    assert site.visitor(Role.VIEWER).get("/history/x/mark").status_code == 404
    assert getattr(site.app.view_functions["history.mark"], "background", False) is True


def _one_runs_it(site: Site, sync: str) -> None:
    servers = tuple(
        s if s.id == site.desk.view.me else replace(s, sync=sync, running=None)
        for s in site.desk.view.servers
    )
    site.desk.view = replace(site.desk.view, servers=servers)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_mark_goes_on_by_itself(
    browser: Browser, site: Site, width: Width, theme: Theme
) -> None:
    site.account(Role.VIEWER)
    _one_runs_it(site, "applying")
    with visit(browser, site, width=width, theme=theme) as page:
        page.goto("/users/user?name=vera")
        page.get_by_role("button", name="Set role").click()
        mark = page.locator(".commit-marks")
        expect(mark.get_by_text("running on 1")).to_be_visible()
        assert_accessible(page)
        assert_fits(page)
        _one_runs_it(site, "in sync")
        expect(mark.get_by_text("running on all")).to_be_visible()
