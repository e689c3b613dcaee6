"""Changes from outside: shown with their diff, restored, adopted, or kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.apply_turn import Staging, Turn
from scheduler.drift_seam import OverwrittenView
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.fake_drift import drifted
from tests.support.fake_scenes import NOW
from tests.support.site import Site

ONE = ServerId(1)


@pytest.fixture
def changed(site: Site) -> Site:
    site.desk.drift.views[ONE] = drifted(1)
    return site


def test_without_a_drift_the_page_says_what_can_be_seen(site: Site) -> None:
    assert "No server reports a change from outside" in site.visitor(Role.VIEWER).get("/drift").text


def test_a_viewer_sees_the_difference_since_when_and_by_whom_but_no_buttons(changed: Site) -> None:
    page = changed.visitor(Role.VIEWER).get("/drift").text
    for words in ("BQN 1", "account root", "9000", "can be kept here", "Common to all servers"):
        assert words in page
    assert "/drift/restore" not in page
    for action in ("restore", "adopt", "keep"):
        assert changed.visitor(Role.VIEWER).post(f"/drift/{action}").status_code == 403


def test_restoring_is_told_and_the_server_leaves_the_page(changed: Site) -> None:
    visitor = changed.visitor(Role.OPERATOR)
    answer = visitor.post("/drift/restore", {"server": "1"})
    assert answer.status_code == 303
    page = visitor.get("/drift").text
    assert "applies the newest commit again" in page
    assert "No server reports a change from outside" in page
    assert [server for _, server in changed.desk.drift.restored] == [ONE]


@pytest.mark.parametrize(
    ("action", "paths"),
    [
        ("adopt", {"common/ntp.conf", "servers/1/interface/en0o1.conf"}),
        ("keep", {"servers/1/interface/en0o1.conf"}),
    ],
)
def test_adopting_and_keeping_make_a_candidate_to_compare(
    changed: Site, action: str, paths: set[str]
) -> None:
    visitor = changed.administrator()
    answer = visitor.post(f"/drift/{action}", {"server": "1"})
    assert answer.location == "/candidate/compare"
    page = visitor.get("/candidate/compare").text
    assert all(path in page for path in paths)
    again = visitor.post(f"/drift/{action}", {"server": "1"})
    assert again.status_code == 409
    assert "You have a candidate already" in again.text


def test_what_cannot_be_kept_is_said(changed: Site) -> None:
    page = changed.administrator().get("/drift").text
    assert "The common part cannot differ on one server: ntp is put back" in page
    shared = drifted(1)
    changed.desk.drift.views[ONE] = replace(shared, changes=shared.shared)
    page = changed.administrator().get("/drift").text
    assert "None of it can be kept" in page
    assert "/drift/keep" not in page


def test_a_server_that_does_not_say_what_it_runs_can_only_be_restored(changed: Site) -> None:
    view = replace(drifted(1), changes=(), unread="line 3: found rubbish, expected a block")
    changed.desk.drift.views[ONE] = view
    page = changed.administrator().get("/drift").text
    assert "line 3: found rubbish" in page
    assert "/drift/restore" in page
    assert "/drift/adopt" not in page


@pytest.mark.parametrize("server", ["", "x", "-1", "1/../2", "²"])
def test_a_wrong_server_is_refused(changed: Site, server: str) -> None:
    answer = changed.administrator().post("/drift/restore", {"server": server})
    assert answer.status_code == 400


def test_what_a_server_overwrote_last_is_shown_for_the_chosen_server(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    assert "never overwrote a change from outside" in visitor.get("/drift").text
    kept = drifted(2)
    site.desk.drift.kept[ServerId(2)] = OverwrittenView(ServerId(2), NOW, kept.changes)
    assert "Ran then" not in visitor.get("/drift").text
    page = visitor.get("/drift?overwritten=2").text
    assert "Ran then" in page
    assert "common/ntp.conf" in page
    assert 'value="2" selected' in page
    site.desk.drift.kept[ServerId(2)] = OverwrittenView(ServerId(2), unread="it is silent")
    assert "No difference can be shown: it is silent." in visitor.get("/drift?overwritten=2").text
    assert visitor.get("/drift?overwritten=77").status_code == 200


def test_a_refusal_is_shown_on_the_page(changed: Site) -> None:
    changed.desk.drift.refusal = "BQN 1 was not told to restore: it does not answer"
    for action in ("restore", "adopt", "keep"):
        answer = changed.administrator().post(f"/drift/{action}", {"server": "1"})
        assert answer.status_code == 409
        assert "it does not answer" in answer.text


def test_a_staged_commit_that_waits_here_is_shown(site: Site) -> None:
    held = CommitId("c" * 40)
    site.desk.staging.now = Turn(CommitId("b" * 40), held, "It waits for the canary BQN 1.")
    assert "It waits for the canary BQN 1." in site.administrator().get("/drift").text


def with_candidate(site: Site) -> str:
    """Makes a candidate; returns the page that commits it."""
    visitor = site.administrator()
    site.desk.drift.views[ONE] = drifted(1)
    visitor.post("/drift/adopt", {"server": "1"})
    return visitor.get("/candidate/compare").text


def committed(site: Site, page: str, **fields: str) -> int:
    shown = page.split('name="shown" value="')[1].split('"')[0]
    given = {"message": "Try", "request_id": "r1", "shown": shown, **fields}
    return site.administrator().post("/candidate/commit", given).status_code


@pytest.mark.parametrize(
    ("fields", "staged"),
    [
        ({}, None),
        ({"canary": "", "pause": "60"}, None),
        ({"canary": "1", "pause": "30"}, Staging(ONE, 30)),
        ({"canary": "none", "pause": "30"}, Staging(None)),
    ],
)
def test_the_form_of_a_commit_says_who_applies_it_first(
    site: Site, fields: dict[str, str], staged: Staging | None
) -> None:
    page = with_candidate(site)
    assert "BQN 1" in page
    assert committed(site, page, **fields) == 303
    assert site.desk.staged == staged


def test_a_wrong_pause_is_told_and_nothing_is_committed(site: Site) -> None:
    page = with_candidate(site)
    assert committed(site, page, canary="1", pause="soon") == 422
    assert site.desk.staged is None


def test_the_setting_and_a_waiting_commit_change_the_choices(site: Site) -> None:
    assert "also what still waits" not in with_candidate(site)
    site.desk.staging.usual = Staging(ONE, 45)
    page = site.administrator().get("/candidate/compare").text
    assert "the others 45 s later (setting)" in page
    assert "also what still waits" in page


def test_a_server_alone_has_no_canary_to_choose(open_site: OpenSite) -> None:
    site = open_site(FakeDesk.alone())
    assert 'name="canary"' not in with_candidate(site)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_pages_are_accessible_and_fit(
    changed: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    with visit(browser, changed, width=width, theme=theme) as page:
        page.goto("/drift")
        assert_accessible(page)
        assert_fits(page)
        page.get_by_role("button", name="Adopt into the cluster").click()
        page.get_by_label("Pause, seconds").fill("30")
        assert_accessible(page)
        assert_fits(page)


def test_what_was_changed_from_outside_can_be_saved_as_a_text(changed: Site) -> None:
    visitor = changed.visitor(Role.VIEWER)
    (view, *_) = changed.desk.drift.drifts()
    saved = visitor.get(f"/drift/{view.server}/patch")
    assert saved.headers["Content-Disposition"].endswith(f'"drift-{view.server}.patch"')
    assert saved.text.count("diff --git ") == len(view.changes) > 0
    assert visitor.get(f"/drift/{view.server}/overwritten/patch").status_code == 200
    assert visitor.get("/drift/200/overwritten/patch").status_code == 404
