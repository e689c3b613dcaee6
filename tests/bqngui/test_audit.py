from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from scheduler.views import Person, Role
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.site import Site

EVIL = "<script>alert(1)</script>\u202e"


@pytest.fixture
def told(site: Site) -> Site:
    """A site with a log of some length."""
    for number in range(150):
        person = Person("noc", Role.OPERATOR, "192.0.2.44")
        site.desk.audit(person, f"commit of change {number}", "done")
    site.desk.audit(Person(EVIL, Role.VIEWER, "192.0.2.1"), EVIL, "refused")
    return site


def test_the_newest_lines_come_first_and_as_many_as_asked(told: Site) -> None:
    page = told.administrator().get("/audit?lines=100").text
    assert page.count("commit of change") == 99
    assert page.index("commit of change 149") < page.index("commit of change 148")
    assert told.administrator().get("/audit?lines=7").text.count("commit of change") == 150
    assert told.administrator().get("/audit?lines=x").status_code == 200


def test_what_others_wrote_is_shown_and_not_run(told: Site) -> None:
    page = told.administrator().get("/audit").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_empty_log_says_so(site: Site) -> None:
    assert "Nothing has been written down yet." in site.administrator().get("/audit").text


def test_only_administrators_read_it(told: Site) -> None:
    assert told.visitor(Role.OPERATOR).get("/audit").status_code == 403


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_usable(browser: Browser, told: Site, width: Width, theme: Theme) -> None:
    with visit(browser, told, width=width, theme=theme) as page:
        page.goto("/audit")
        expect(page.get_by_role("table").get_by_role("row")).to_have_count(152)
        assert_accessible(page)
        assert_fits(page)
