"""The home page and each server's own home page."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from bqngui.dashboard import dashboard_page, server_box
from configrepo.model import ServerId
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.fake_scenes import NOW, overview_alone, overview_of
from tests.support.site import Site


def taken_over() -> FakeDesk:
    """BQN 0 died, BQN 1 leads, seen from BQN 1."""
    desk = FakeDesk.cluster_of_three(1)
    dead, leads, follows = desk.view.servers
    desk.view = replace(
        desk.view,
        state="degraded",
        status="2 of 3",
        primary=ServerId(1),
        term=4,
        sentence="BQN 1 took over because BQN 0 stopped answering.",
        alarms=("BQN 0 does not answer.",),
        servers=(
            replace(
                dead,
                role="unknown",
                state="unreachable",
                state_sentence="Connection refused.",
                sync="unreachable",
                samples=(),
                cpu_percent=None,
                last_contact=None,
            ),
            replace(leads, role="primary"),
            follows,
        ),
    )
    return desk


def test_every_value_of_the_page_comes_from_the_overview() -> None:
    page = dashboard_page(overview_of([0, 1, 2], me=1), NOW)
    assert [box.server.id for box in page.boxes] == [0, 1, 2]
    assert [box.here for box in page.boxes] == [False, True, False]
    assert page.counted == 3
    assert page.downlink.endswith("Gbit/s")


def test_a_server_that_is_ready_tells_its_sync_and_another_its_state() -> None:
    server = overview_alone().servers[0]
    assert server_box(server, ServerId(0), NOW).sentence == server.sync_sentence
    lost = replace(server, state="unreachable", state_sentence="No answer.")
    assert server_box(lost, ServerId(1), NOW).sentence == "No answer."


def test_a_server_without_samples_is_not_counted_in_the_total() -> None:
    overview = overview_of([0, 1])
    mute = replace(overview.servers[1], samples=())
    page = dashboard_page(replace(overview, servers=(overview.servers[0], mute)), NOW)
    assert page.counted == 1
    assert page.downlink == page.boxes[0].downlink
    assert page.boxes[1].graph is None


def test_there_is_one_box_for_each_server_with_its_facts(site: Site) -> None:
    page = site.visitor(Role.VIEWER).get("/").text
    for server in site.desk.view.servers:
        assert f'href="/server/{server.id}/"' in page
        assert server.name in page
    assert page.count("logged in here") >= 1
    assert page.count("<svg") == 3
    assert "in sync" in page
    assert "simulated traffic" in page


def test_a_takeover_is_told_with_reason_and_time(open_site: OpenSite) -> None:
    page = open_site(taken_over()).visitor(Role.VIEWER).get("/").text
    assert "BQN 1 took over because BQN 0 stopped answering." in page
    assert "2026-11-22 14:00:00 UTC" in page
    assert "The totals count 2 of 3 servers." in page
    assert "No throughput samples yet." in page
    assert "BQN 0 does not answer." in page


def test_traffic_that_is_not_simulated_has_no_label(open_site: OpenSite) -> None:
    desk = FakeDesk.alone()
    real = tuple(replace(s, simulated=False) for s in desk.view.servers)
    desk.view = replace(desk.view, simulated=False, servers=real)
    assert "simulated" not in open_site(desk).visitor(Role.VIEWER).get("/").text


def test_everything_shown_is_escaped(open_site: OpenSite) -> None:
    desk = FakeDesk.alone()
    evil = tuple(replace(s, name="<b>x</b>", sync_sentence="<i>y") for s in desk.view.servers)
    desk.view = replace(desk.view, servers=evil, alarms=("<script>z",))
    page = open_site(desk).visitor(Role.VIEWER).get("/").text
    assert "<b>x" not in page
    assert "<i>y" not in page
    assert "<script>z" not in page


def test_no_page_carries_inline_style_or_script(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    for path in ("/", "/server/1/", "/cluster", "/cluster/add", "/unify"):
        page = visitor.get(path).text
        assert not re.search(r"<[^>]+\sstyle=", page), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", page), path


def test_a_server_has_a_home_page_inside_this_gui(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    page = visitor.get("/server/1/").text
    server = site.desk.overview().servers[1]
    assert server.gui_url in page
    assert (server.running or "")[:12] in page
    assert "control port 63501" in page
    assert "logged in here" in visitor.get("/server/0/").text


def test_a_server_that_is_no_member_is_not_found(site: Site) -> None:
    assert site.visitor(Role.VIEWER).get("/server/9/").status_code == 404
    assert site.visitor(Role.VIEWER).get("/server/9/live").status_code == 404


def test_the_refreshed_part_is_a_fragment_and_needs_a_login(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    for path in ("/dashboard/live", "/server/1/live", "/cluster/live"):
        answer = visitor.get(path, headers={"BQN-Background": "1"})
        assert answer.status_code == 200
        assert "<html" not in answer.text
        assert site.visitor(None).get(path, headers={"BQN-Background": "1"}).status_code == 401


def test_refreshing_is_no_deed_of_the_person(site: Site) -> None:
    for endpoint in ("dashboard.live", "dashboard.server_live", "cluster.live", "cluster.add_live"):
        assert getattr(site.app.view_functions[endpoint], "background", False), endpoint


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_pages_are_accessible_and_fit(
    open_site: OpenSite, browser: Browser, width: Width, theme: Theme
) -> None:
    site = open_site(taken_over())
    with visit(browser, site, width=width, theme=theme) as page:
        for path in ("/", "/server/0/", "/server/1/"):
            page.goto(path)
            assert_accessible(page)
            assert_fits(page)


@pytest.mark.browser
def test_the_dashboard_refreshes_itself_and_keeps_the_focus(site: Site, browser: Browser) -> None:
    with visit(browser, site) as page:
        page.goto("/")
        page.focus("#box-1")
        site.desk.view = replace(site.desk.view, sentence="Something new happened.")
        expect(page.get_by_text("Something new happened.")).to_be_visible()
        site.desk.view = replace(site.desk.view, servers=taken_over().view.servers)
        expect(page.get_by_text("role unknown")).to_be_visible()
        expect(page.locator("#box-1")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("BQN 1")


@pytest.mark.browser
def test_the_dashboard_works_without_javascript(site: Site, browser: Browser) -> None:
    with visit(browser, site, javascript=False) as page:
        page.goto("/")
        page.get_by_role("link", name="BQN 2 bqn2").click()
        expect(page.locator("h1")).to_contain_text("BQN 2")
