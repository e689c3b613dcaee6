"""Takes pictures of the pages in a real browser, while the tour walks through its steps.

Edge: processes, a browser.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from scripts.demo_servers import ROOT, Demo, DemoError, DemoServer, Layout
from scripts.demo_tour import STEPS
from scripts.tour import Tour

CHROMIUM = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)
# After how many steps of the tour which pages are looked at: server, path, name.
PICTURES: dict[int, tuple[tuple[int, str, str], ...]] = {
    2: ((0, "/unify", "unify-first"),),
    4: (
        (0, "/cluster/add", "add"),
        (0, "/unify", "unify"),
    ),
    6: (
        (0, "/", "dashboard"),
        (1, "/server/2/", "server"),
        (0, "/cluster", "cluster"),
        (0, "/cluster/add", "add-form"),
        (0, "/configuration", "configuration"),
        (0, "/configuration/text", "text"),
        (0, "/history", "history"),
        (0, "/doctor", "doctor"),
        (0, "/backup", "backup"),
        (0, "/users", "users"),
        (0, "/audit", "audit"),
        (0, "/account/password", "password"),
        (0, "/unify", "unify-nothing"),
        (0, "/nowhere", "not-found"),
    ),
    7: ((1, "/", "dashboard-takeover"), (1, "/elections", "elections-takeover")),
}
DOCUMENTED = {"dashboard", "unify"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at."""

    suffix: str
    width: int
    scheme: Literal["light", "dark"]


PLAIN = Look("", 1280, "light")
LOOKS = (PLAIN, Look("-dark", 1280, "dark"), Look("-narrow", 390, "light"))


def main() -> int:
    """Walk through the tour and take the pictures on the way."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots")
    parser.add_argument("--all", type=Path, metavar="DIR", help="every page, in three looks")
    options = parser.parse_args()
    folder: Path = (options.all or ROOT / "docs" / "images").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    looks = LOOKS if options.all else (PLAIN,)
    with tempfile.TemporaryDirectory(prefix="bqn-") as place, sync_playwright() as playwright:
        demo = Demo(Layout(Path(place), gui_port=9440, control_port=62500, ssh_port=2300))
        try:
            tour = Tour(demo, demo.start())
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=list(CHROMIUM)
            )
            for number, (title, act) in enumerate(STEPS, 1):
                if number > max(PICTURES):
                    break
                if not tour.take(title, act):
                    return 1
                shown = [p for p in PICTURES.get(number, ()) if options.all or p[2] in DOCUMENTED]
                for look in looks:
                    _look(browser, tour, shown, look, folder)
        except DemoError as error:
            print(f"screenshots: {error}", file=sys.stderr)
            return 1
        finally:
            demo.stop()
    return 0


def _look(
    browser: Browser,
    tour: Tour,
    pictures: list[tuple[int, str, str]],
    look: Look,
    folder: Path,
) -> None:
    for server in sorted({server for server, _, _ in pictures}):
        context = browser.new_context(
            ignore_https_errors=True,
            color_scheme=look.scheme,
            viewport={"width": look.width, "height": 800},
        )
        _log_in(context, tour.server(server), tour.password)
        for _, path, name in (p for p in pictures if p[0] == server):
            page = context.new_page()
            page.goto(tour.server(server).url.rstrip("/") + path)
            page.screenshot(path=folder / f"{name}{look.suffix}.png", full_page=bool(look.suffix))
            page.close()
            print(f"       {name}{look.suffix}.png", flush=True)
        context.close()


def _log_in(context: BrowserContext, server: DemoServer, password: str) -> None:
    page = context.new_page()
    page.goto(server.url + "login")
    page.fill("[name=name]", "admin")
    page.fill("[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(server.url)
    page.close()


if __name__ == "__main__":
    sys.exit(main())
