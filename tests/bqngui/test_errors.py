from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable

import pytest
from flask import abort, render_template
from playwright.sync_api import Browser, expect

from bqngui.authorization import public
from configrepo.errors import DiskFull, NotFound, RefMoved, StoreError, UnreadableConfig
from configrepo.model import Problem, Severity
from scheduler.errors import RemoteRefused, Unreachable, WrongIdentity
from scheduler.views import Overview, Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import assert_accessible, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import Site

Raise = Callable[[Exception], Site]


class BrokenDesk(FakeDesk):
    """A desk whose overview does not come."""

    broken = False

    def overview(self) -> Overview:
        if self.broken:
            raise StoreError("the repository is gone")
        return super().overview()


def with_view(site: Site, view: Callable[[], str]) -> None:
    site.app.add_url_rule("/raise", "raise", public(view))


def raising(site: Site, error: Exception) -> None:
    def view() -> str:
        raise error

    with_view(site, view)


UNREADABLE = UnreadableConfig((Problem(Severity.ERROR, 3, 1, "unknown word <b>x</b>"),))


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (NotFound("There is no revision 0123."), 404, "There is no revision 0123."),
        (UNREADABLE, 422, "line 3: unknown word &lt;b&gt;x&lt;/b&gt;"),
        (RefMoved("refs/heads/cluster"), 409, "Another commit was made"),
        (DiskFull("No space is left in /var/lib/bqn."), 507, "No space is left"),
        (OSError(errno.ENOSPC, "No space left on device"), 507, "There was no room"),
        (Unreachable("BQN 0 does not answer."), 503, "BQN 0 does not answer."),
        (RemoteRefused("BQN 0 says no."), 409, "BQN 0 says no."),
        (WrongIdentity("BQN 1 shows another key."), 502, "BQN 1 shows another key."),
    ],
)
def test_a_known_exception_has_its_page(
    site: Site, error: Exception, status: int, words: str
) -> None:
    raising(site, error)
    answer = site.administrator().get("/raise")
    assert answer.status_code == status
    assert words in answer.text
    assert "Log out" in answer.text  # the menu is still there
    assert site.visitor().get("/raise").status_code == status


def test_an_unknown_exception_shows_a_number_and_logs_the_rest(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    raising(site, ZeroDivisionError("secret detail"))
    with caplog.at_level(logging.ERROR):
        answer = site.administrator().get("/raise")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    incident = answer.text.split("under incident ")[1][:8]
    assert f"incident {incident} at GET /raise" in caplog.text
    assert "ZeroDivisionError: secret detail" in caplog.text


def test_a_mistake_in_a_template_is_an_incident_and_not_an_empty_place(site: Site) -> None:
    with_view(site, lambda: render_template("errors/page.html", layout="outside.html"))
    assert site.administrator().get("/raise").status_code == 500


def test_a_script_gets_the_same_words_as_json(site: Site) -> None:
    raising(site, Unreachable("BQN 0 does not answer."))
    client = site.administrator().client
    for header in ({"HX-Request": "true"}, {"BQN-Background": "1"}, {"Accept": "application/json"}):
        answer = client.get("/raise", base_url="https://localhost", headers=header)
        assert answer.status_code == 503
        assert json.loads(answer.data)["sentence"] == "BQN 0 does not answer."


def test_an_http_refusal_keeps_its_status_and_its_fields(site: Site) -> None:
    with_view(site, lambda: abort(404, "There is no such block."))
    visitor = site.administrator()
    assert "There is no such block." in visitor.get("/raise").text
    answer = visitor.client.put("/raise", base_url="https://localhost")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_an_error_page_is_shown_even_when_the_layout_cannot_be(open_site: OpenSite) -> None:
    desk = BrokenDesk.cluster_of_three()
    assert isinstance(desk, BrokenDesk)
    site = open_site(desk)
    visitor = site.administrator()
    desk.broken = True
    missing = visitor.get("/nothing/here")
    assert (missing.status_code, "Log out" in missing.text) == (404, False)
    assert visitor.get("/audit").status_code == 500


@pytest.mark.browser
def test_an_error_page_is_readable(browser: Browser, site: Site) -> None:
    with visit(browser, site, role=Role.VIEWER, theme="dark", allow=[404]) as page:
        page.goto("/nothing/here")
        expect(page.get_by_role("heading", name="Not Found")).to_be_visible()
        assert_accessible(page)
