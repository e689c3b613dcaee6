"""The layout around every page: menu, top bar, banners, light and dark."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from scheduler.views import Role
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.site import Site


def theme_of(page: Page) -> str | None:
    return page.locator("html").get_attribute("data-bs-theme")


def test_the_banners_say_what_everybody_must_know(site: Site) -> None:
    site.desk.view = replace(
        site.desk.view, read_only_reason="No primary can be reached.", alarms=("One.", "Two.")
    )
    page = site.visitor(Role.VIEWER).get("/account/password").text
    assert "Read only." in page
    assert "No primary can be reached." in page
    assert "One." in page
    assert "and 1 more" in page


def test_the_name_of_the_server_is_escaped(site: Site) -> None:
    site.desk.view = replace(site.desk.view, name="<b>evil</b>")
    for page in (site.administrator().get("/account/password"), site.visitor().get("/login")):
        assert "<b>evil" not in page.text


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_open_menus_are_accessible_and_close_again(
    browser: Browser, site: Site, width: Width, theme: Theme
) -> None:
    site.desk.view = replace(
        site.desk.view, read_only_reason="No primary can be reached.", alarms=("BQN 2 is silent.",)
    )
    with visit(browser, site, width=width, theme=theme) as page:
        page.goto("/account/password")
        assert theme_of(page) == theme
        account = page.locator(".account > summary")
        account.click()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        assert_accessible(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Log out")).to_be_hidden()
        expect(account).to_be_focused()
        page.locator(".servers > summary").click()
        expect(page.get_by_text("logged in here")).to_be_visible()
        assert_fits(page)
        page.locator(".page-foot").click()
        expect(page.get_by_text("logged in here")).to_be_hidden()


@pytest.mark.browser
def test_a_chosen_theme_is_kept(browser: Browser, site: Site) -> None:
    with visit(browser, site, theme="light") as page:
        page.goto("/account/password")
        page.locator(".account > summary").click()
        page.get_by_role("button", name="Dark").click()
        assert theme_of(page) == "dark"
        expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
        page.reload()
        assert theme_of(page) == "dark"
        page.locator(".account > summary").click()
        page.get_by_role("button", name="As the system").click()
        assert theme_of(page) == "light"


@pytest.mark.browser
@pytest.mark.parametrize("javascript", [True, False])
def test_a_small_screen_has_its_menu_also_without_javascript(
    browser: Browser, site: Site, javascript: bool
) -> None:
    with visit(browser, site, width=390, javascript=javascript) as page:
        page.goto("/account/password")
        link = page.get_by_role("link", name="Audit log")
        expect(link).to_be_hidden()
        page.locator(".drawer > summary").click()
        expect(link).to_be_visible()
        link.click()
        expect(page.get_by_role("heading", name="Audit log")).to_be_visible()


@pytest.mark.browser
def test_the_keyboard_reaches_the_content_first(browser: Browser, site: Site) -> None:
    with visit(browser, site) as page:
        page.goto("/account/password")
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the content")
        expect(skip).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Old password")).to_be_focused()
