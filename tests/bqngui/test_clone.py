"""The page with the commands for auditors."""

from __future__ import annotations

import html

import pytest
from playwright.sync_api import Browser

from bqngui.clone import clone_page
from scheduler.auditing_seam import CloneWays
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_auditing import HOST_KEY
from tests.support.fake_desk import FakeDesk
from tests.support.site import Site


def test_a_viewer_gets_the_exact_commands(site: Site) -> None:
    text = html.unescape(site.visitor(Role.VIEWER).get("/clone").text)
    assert "git clone ssh://bqn@localhost:2222/git/cluster.git" in text
    assert f"echo '[localhost]:2222 {HOST_KEY}' >> ~/.ssh/known_hosts" in text
    assert "@localhost/git/cluster.git" in text
    assert "git config --add remote.origin.fetch '+refs/terms/*:refs/terms/*'" in text
    assert "git config --add remote.origin.fetch '+refs/notes/*:refs/notes/*'" in text
    assert "gpg.ssh.allowedSignersFile=cluster/allowed_signers log --show-signature" in text


@pytest.mark.parametrize(
    ("host", "port", "url", "known"),
    [
        ("north.example", 22, "ssh://bqn@north.example:22/git/cluster.git", "north.example k"),
        ("192.0.2.1:8443", 22, "ssh://bqn@192.0.2.1:22/git/cluster.git", "192.0.2.1 k"),
        ("[2001:db8::1]:8443", 22, "ssh://bqn@[2001:db8::1]:22/git/cluster.git", "2001:db8::1 k"),
        (
            "[2001:db8::1]",
            2222,
            "ssh://bqn@[2001:db8::1]:2222/git/cluster.git",
            "[2001:db8::1]:2222 k",
        ),
    ],
)
def test_every_way_to_write_a_host_gives_a_command_that_works(
    host: str, port: int, url: str, known: str
) -> None:
    page = clone_page(host, "audit", CloneWays("bqn", port, "k"), True)
    assert (page.ssh_url, page.known_host) == (url, known)
    assert page.endpoint.rpartition(":")[2].isdigit()


def test_a_server_alone_has_no_list_of_signers_to_name(open_site: OpenSite) -> None:
    site = open_site(FakeDesk.alone())
    text = site.administrator().get("/clone").text
    assert "allowed_signers" not in text
    assert "https://NAME@" in text


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_accessible_and_fits(
    site: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    with visit(browser, site, width=width, theme=theme) as page:
        page.goto("/clone")
        assert_accessible(page)
        assert_fits(page)
