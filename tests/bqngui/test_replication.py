"""The replication page: what each server has, what went wrong, and sending now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from configrepo.model import ServerId
from scheduler.mirror_seam import MirrorView
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import Site

URL = "ssh://git@git.example/bqn.git"
EVIL = "refused: <script>alert(1)</script>"


def trouble(desk: FakeDesk) -> None:
    """BQN 1 cannot be sent anything, BQN 2 is silent."""
    desk.replication.changed(
        1, state="behind", behind=2, sentence="It is 2 commits behind.", lag_s=75.0,
        error=EVIL, next_try_s=12.0,
    )  # fmt: skip
    desk.replication.changed(
        2, state="unreachable", sentence="It does not answer.",
        since=datetime(2026, 11, 22, 15, 0, tzinfo=UTC),
    )  # fmt: skip


def test_every_server_has_its_state_lag_error_and_next_try(site: Site) -> None:
    trouble(site.desk)
    page = site.visitor(Role.VIEWER).get("/replication").text
    assert "behind by 2" in page
    assert "1 min" in page
    assert "refused: &lt;script&gt;" in page
    assert "Next try in 12 s." in page
    assert "Last contact" in page
    assert "in sync" in page
    assert "7.0 MiB" in page
    assert "42 % free" in page


def test_a_secondary_that_lacks_a_commit_calls_none_the_newest(site: Site) -> None:
    view = replace(site.desk.replication.standing(), leading=False, primary=ServerId(1))
    for state, newest, lag in (("in sync", True, "none"), ("behind", False, "not known")):
        own = replace(view.servers[0], state=state, saved=view.head)
        site.desk.replication.view = replace(view, servers=(own,))
        page = site.visitor(Role.VIEWER).get("/replication").text
        assert ("<p>the newest</p>" in page) is newest
        assert f'class="number nowrap">{lag}<' in page


def test_the_disk_is_told_with_its_reserve_or_that_it_was_used_up(site: Site) -> None:
    assert "64 MiB in reserve" in site.visitor(Role.VIEWER).get("/replication").text
    view = site.desk.replication.standing()
    assert view.repository is not None
    repository = replace(view.repository, free_share=0.0, reserved=0)
    site.desk.replication.view = replace(view, repository=repository)
    page = site.visitor(Role.VIEWER).get("/replication").text
    assert "0 % free" in page
    assert "The reserve for what the program must write was used up" in page


def test_an_operator_sends_to_one_or_to_all_and_a_viewer_to_none(site: Site) -> None:
    operator, viewer = site.visitor(Role.OPERATOR), site.visitor(Role.VIEWER)
    assert 'name="server" value="1"' in operator.get("/replication").text
    assert 'action="/replication/now"' not in viewer.get("/replication").text
    assert operator.post("/replication/now", {"server": "1"}).status_code == 303
    assert operator.post("/replication/now").status_code == 303
    assert viewer.post("/replication/now").status_code == 403
    assert site.desk.replication.asked == [1, None]
    assert "Sending to all other servers was started." in operator.get("/replication").text


@pytest.mark.parametrize("text", ["x", "-1", "99999", "\u0661", ""])
def test_a_server_that_is_no_number_means_all(site: Site, text: str) -> None:
    site.visitor(Role.OPERATOR).post("/replication/now", {"server": text})
    assert site.desk.replication.asked == [None]


def test_a_secondary_says_who_sends_and_when_it_fetches_itself(open_site: OpenSite) -> None:
    site = open_site(FakeDesk.cluster_of_three(me=1))
    standing = site.desk.replication.standing()
    site.desk.replication.view = replace(
        standing, leading=False, primary=ServerId(0), fetching="fetched from BQN 0 itself"
    )
    page = site.visitor(Role.OPERATOR).get("/replication").text
    assert "BQN 0 sends" in page
    assert "fetched from BQN 0 itself" in page
    assert "Fetch now" in page
    assert 'name="server"' not in page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_accessible_and_fits(
    site: Site, browser: Browser, theme: Theme, width: Width
) -> None:
    trouble(site.desk)
    with visit(browser, site, theme=theme, width=width) as page:
        page.goto("/replication")
        expect(page.get_by_role("heading", name="Replication", level=1)).to_be_visible()
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (MirrorView(URL, "current", "It has everything."), ("current", "It has everything.")),
        (MirrorView(URL, "failed", "refused", None, 40), ("failed", "Next try in 40 s.")),
        (MirrorView(URL, "elsewhere", "The server that leads pushes."), ("pushed elsewhere",)),
        (MirrorView(URL, "waiting", "Nothing was pushed."), ("waiting",)),
    ],
)
def test_the_mirror_shows_its_own_state_and_error(
    site: Site, view: MirrorView, words: tuple[str, ...]
) -> None:
    visitor = site.administrator()
    assert "Mirror on an external" not in visitor.get("/replication").text
    site.desk.mirror.view = view
    page = visitor.get("/replication").text
    for word in (URL, *words):
        assert word in page
    assert words[0] in visitor.get("/replication/live").text
