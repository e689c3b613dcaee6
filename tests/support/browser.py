"""Headless Chromium as a strict visitor of the GUI.

A test fails on anything in the console (so on any breach of the content security
policy), on an error of a script, and on a request to anywhere but the site.

Edge: a browser.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
)

from scheduler.views import Role
from tests.support.site import Site

LAUNCH = {
    "executable_path": shutil.which("chromium"),
    "args": [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ],
}
Width = Literal[1280, 390]
Theme = Literal["light", "dark"]
_HEIGHTS = {1280: 900, 390: 844}


@dataclass
class Complaints:
    """What went wrong in a page, beside what the test looks at.

    A refused form (422) or login (401) is a console message too; a test that provokes
    one allows its status.
    """

    site: str
    allowed_statuses: Sequence[int] = ()
    found: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"script error: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        allowed = [f"status of {status} " in message.text for status in self.allowed_statuses]
        if message.type in {"error", "warning"} and not any(allowed):
            self.found.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.site + "/", "data:", "blob:" + self.site)):
            self.found.append(f"request to {request.url}")


@contextmanager
def visit(
    browser: Browser,
    site: Site,
    *,
    role: Role | None = Role.ADMINISTRATOR,
    width: Width = 1280,
    theme: Theme = "light",
    javascript: bool = True,
    allow: Sequence[int] = (),
) -> Iterator[Page]:
    """A page of a browser that is logged in with that role (None: not logged in).

    Administrators are the local one. At the end the complaints fail the test.
    """
    context: BrowserContext = browser.new_context(
        base_url=site.url,
        ignore_https_errors=True,
        viewport={"width": width, "height": _HEIGHTS[width]},
        color_scheme=theme,
        java_script_enabled=javascript,
        reduced_motion="reduce",
    )
    complaints = Complaints(site.url, allow)
    try:
        if role is not None:
            _log_in(context, site, role)
        context.set_default_timeout(10_000)
        page = context.new_page()
        complaints.watch(page)
        yield page
    finally:
        context.close()
    assert not complaints.found, "\n".join(complaints.found)


def _log_in(context: BrowserContext, site: Site, role: Role) -> None:
    name = "admin" if role is Role.ADMINISTRATOR else site.account(role)
    context.add_cookies(
        [
            {
                "name": site.settings.cookie_name,
                "value": site.session_of(name),
                "url": site.url,
                "secure": True,
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )


def assert_accessible(page: Page) -> None:
    """No violation by axe-core's rules."""
    page.wait_for_load_state("load")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def assert_fits(page: Page) -> None:
    """Nothing makes the page scroll sideways, once its style sheets are there."""
    page.wait_for_load_state("load")
    sizes = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert sizes[0] <= sizes[1], f"the page is {sizes[0]} px wide in a window of {sizes[1]} px"


def picture(page: Page, folder: Path, name: str) -> None:
    """Keep a picture of the whole page, for a person to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
