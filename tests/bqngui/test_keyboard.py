"""Whole tasks with the keyboard alone: add, join, unify, remove; where the focus lands."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from scheduler.operations_seam import Remove
from tests.bqngui.conftest import OpenSite
from tests.support.browser import visit
from tests.support.fake_desk import FakeDesk
from tests.support.keyboard import press, tab_to, write
from tests.support.site import Site

BAR_ENDS_ABOVE_THE_ROW = """
  document.querySelector(".unify-bar").getBoundingClientRect().bottom
    <= document.querySelector(location.hash).getBoundingClientRect().top
"""

pytestmark = pytest.mark.browser


@pytest.fixture
def alone(open_site: OpenSite) -> Site:
    """BQN 0, not in a cluster."""
    return open_site(FakeDesk.alone())


def say_the_other(page: Page) -> None:
    page.goto("/cluster/add")
    write(page, "invite-other_id", "1")
    write(page, "invite-other_address", "192.168.56.112")


def test_a_server_is_added_by_code(alone: Site, browser: Browser) -> None:
    with visit(browser, alone) as page:
        say_the_other(page)
        page.keyboard.press("Enter")
        expect(page.locator("#code-title")).to_be_focused()
        press(page, "copy-code")
        alone.desk.knock()
        expect(page.locator("#accept")).to_be_visible()
        press(page, "accept")
        expect(page.locator("h1")).to_be_focused()
        expect(page.locator("h1")).to_contain_text("Unify")


def test_what_is_wrong_has_the_focus(alone: Site, browser: Browser) -> None:
    with visit(browser, alone, allow=(422,)) as page:
        page.goto("/cluster/add")
        write(page, "invite-other_id", "300")
        write(page, "invite-other_address", "192.168.56.112")
        page.keyboard.press("Enter")
        expect(page.locator("#invite-other_id")).to_be_focused()
        alone.desk.refusal = "The disk is full."
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("1")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_focused()
        expect(page.get_by_role("alert")).to_contain_text("The disk is full.")


def test_a_server_joins_with_a_code(alone: Site, browser: Browser) -> None:
    with visit(browser, alone) as page:
        page.goto("/cluster/add")
        write(page, "join-code-in", "BQN1-ABC")
        press(page, "join")
        expect(page.locator("#progress-title")).to_be_focused()
        press(page, "give-up")
        expect(page.locator("#join-code-in")).to_be_visible()


def test_both_sides_meet_without_a_code(open_site: OpenSite, browser: Browser) -> None:
    inviting, joining = open_site(FakeDesk.alone()), open_site(FakeDesk.alone())
    with visit(browser, inviting) as page:
        say_the_other(page)
        press(page, "by-hand")
        expect(page.locator("#progress-title")).to_be_focused()
        inviting.desk.knock()
        expect(page.locator("#accept")).to_be_visible()
        press(page, "accept")
        expect(page.get_by_role("heading", name="Confirmed here")).to_be_focused()
    with visit(browser, joining) as page:
        page.goto("/cluster/add")
        press(page, "without-code")
        write(page, "meet-other_id", "0")
        write(page, "meet-other_address", "192.168.56.111")
        page.keyboard.press("Enter")
        expect(page.locator("#progress-title")).to_be_focused()
        press(page, "confirm")
        expect(page.get_by_role("heading", name="Waiting to be accepted")).to_be_focused()


def test_a_unification_is_settled_and_committed(open_site: OpenSite, browser: Browser) -> None:
    site = open_site(FakeDesk.unifying())
    with visit(browser, site, width=390) as page:
        page.goto("/unify")
        expect(page.locator("h1")).to_be_focused()
        status = page.locator("#unify-status")
        for left in range(5, 0, -1):
            expect(status).to_contain_text(f"{left} of 5 open")
            press(page, "next-open", back=left < 5)
            assert page.evaluate(BAR_ENDS_ABOVE_THE_ROW)
            page.keyboard.press("Tab")
            page.keyboard.press("Space")
        expect(status).to_contain_text("all 5 answered")
        press(page, "unify-compare", back=True)
        expect(page.locator("h1")).to_be_focused()
        tab_to(page, "message")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".notice-success")).to_be_focused()
        expect(page.locator(".notice-success")).to_contain_text("Committed on BQN 0.")
        assert site.desk.unification() is None


def test_a_server_is_removed(site: Site, browser: Browser) -> None:
    with visit(browser, site) as page:
        page.goto("/cluster/servers/2")
        press(page, "remove")
        expect(page.locator("h1")).to_be_focused()
        press(page, "carry-out")
        expect(page.locator(".notice-success")).to_be_focused()
        assert [type(done) for done in site.desk.operations.done] == [Remove]
