"""Operations on a server: shown before they are done, done once, refused with a sentence."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from playwright.sync_api import Browser, expect

from configrepo.model import ServerId
from scheduler.operations_seam import ChangeId, PauseAutomation, Remove, Switchover
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import Site, Visitor

REMOVE = {"kind": "remove", "server": "2"}


def hidden(page: str) -> dict[str, str]:
    """What the form of a preview carries."""
    names = ("operation", "base", "request_id")
    found = {name: re.search(rf'name="{name}" value="([^"]*)"', page) for name in names}
    return {name: unescape(match[1]) for name, match in found.items() if match}


def carry_out(visitor: Visitor, form: dict[str, str]) -> dict[str, str]:
    """Look at an operation and do it; returns what the form carried."""
    shown = visitor.post("/cluster/operations/preview", form)
    assert shown.status_code == 200
    carried = hidden(shown.text)
    assert visitor.post("/cluster/operations/carry-out", carried).status_code == 303
    return carried


def test_each_server_of_the_cluster_has_a_page_linked_from_the_table(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    table = visitor.get("/cluster").text
    for server in (0, 1, 2):
        assert f'href="/cluster/servers/{server}"' in table
        assert f"BQN {server}" in visitor.get(f"/cluster/servers/{server}").text
    assert visitor.get("/cluster/servers/77").status_code == 404


def test_a_removal_is_shown_with_what_it_does_and_the_secrets_that_were_known(site: Site) -> None:
    page = site.visitor(Role.ADMINISTRATOR).post("/cluster/operations/preview", REMOVE).text
    assert "stop working at every server" in page
    assert "common/api/rest.conf" in page
    assert "cluster/servers/2.conf" in page
    assert site.desk.operations.done == []


def test_what_was_shown_is_done_once(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    carried = carry_out(visitor, REMOVE)
    assert site.desk.operations.done == [Remove(ServerId(2))]
    again = visitor.post("/cluster/operations/carry-out", carried)
    assert again.status_code == 303  # the record is a tombstone now: told on the next page
    assert "not a member" in visitor.get("/cluster").text
    assert site.desk.operations.done == [Remove(ServerId(2))]
    removed = visitor.get("/cluster/servers/2").text
    assert "Its record stays" in removed
    assert "Remove…" not in removed


def test_the_server_that_leads_is_switched_over_first(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    assert "Let another server lead first" in visitor.get("/cluster/servers/0").text
    told = visitor.post("/cluster/operations/preview", {"kind": "remove", "server": "0"})
    assert told.status_code == 422
    assert "Switch over to another server first" in told.text


def test_a_form_that_is_refused_keeps_what_was_typed(site: Site) -> None:
    form = {"kind": "change-id", "server": "2", "new_id": "1"}
    told = site.visitor(Role.ADMINISTRATOR).post("/cluster/operations/preview", form)
    assert told.status_code == 422
    assert "The id 1 is taken" in told.text
    assert 'name="new_id" type="text" value="1"' in told.text


def test_an_operation_that_became_impossible_is_told_and_not_done(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    carried = hidden(visitor.post("/cluster/operations/preview", REMOVE).text)
    site.desk.refusal = "No primary can be reached."
    assert visitor.post("/cluster/operations/carry-out", carried).status_code == 303
    site.desk.refusal = None
    assert "No primary can be reached." in visitor.get("/cluster").text
    nonsense = {**carried, "operation": "[]"}
    assert visitor.post("/cluster/operations/carry-out", nonsense).status_code == 400
    # Half a character, as JSON can say it: it could be written into no commit and on no page.
    half = {"kind": "pause-automation", "reason": "\ud800", "remind": ""}
    sent = {**carried, "operation": json.dumps(half)}
    assert visitor.post("/cluster/operations/carry-out", sent).status_code == 400
    assert site.desk.operations.done == []


def test_who_may_lead_and_the_pause_are_on_the_page_of_maintenance(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    reason = {"reason": "new power supply", "until": ""}
    carry_out(visitor, {"kind": "switch-over", "server": "1", **reason})
    carry_out(
        visitor, {"kind": "pause-automation", "reason": "fibre", "remind": "2026-11-22T17:00"}
    )
    page = visitor.get("/cluster/maintenance").text
    assert "does not lead until somebody switches back: new power supply" in page
    assert "Reminder at 2026-11-22 17:00:00 UTC" in page
    carry_out(visitor, {"kind": "switch-back"})
    carry_out(visitor, {"kind": "resume-automation"})
    assert "Every server may lead" in visitor.get("/cluster/maintenance").text
    assert site.desk.operations.done[:2] == [
        Switchover(ServerId(1), "new power supply"),
        PauseAutomation("fibre", "2026-11-22T17:00:00Z"),
    ]
    told = visitor.post("/cluster/operations/preview", {"kind": "pause-automation", "reason": ""})
    assert told.status_code == 422
    assert "A date with a time is needed" in told.text


def test_a_viewer_sees_the_record_and_no_form(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    for path in ("/cluster/servers/2", "/cluster/maintenance"):
        page = visitor.get(path).text
        assert "needs the role administrator" in page
        assert 'name="kind"' not in page
    assert visitor.post("/cluster/operations/preview", REMOVE).status_code == 403


def test_a_server_alone_offers_another_id_and_nothing_else(open_site: OpenSite) -> None:
    site = open_site(FakeDesk.alone())
    visitor = site.administrator()
    page = visitor.get("/cluster/servers/0").text
    assert "Modify BQN ID" in page
    assert "Remove" not in page
    assert "in no cluster" in visitor.get("/cluster/maintenance").text
    assert ChangeId(ServerId(0), ServerId(1)) not in site.desk.operations.done


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_are_accessible_and_work_by_keyboard(
    browser: Browser, site: Site, theme: Theme
) -> None:
    with visit(browser, site, role=Role.ADMINISTRATOR, theme=theme) as page:
        page.goto("/cluster")
        page.get_by_role("link", name="Change… BQN 2").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Modify BQN ID")).to_be_visible()
        assert_accessible(page)
        page.get_by_role("button", name="Remove…").click()
        expect(page.get_by_role("heading", name="Secrets that it knew")).to_be_visible()
        assert_accessible(page)
        page.goto("/cluster/maintenance")
        assert_accessible(page)


@pytest.mark.browser
def test_the_pages_fit_a_phone_and_need_no_script(browser: Browser, site: Site) -> None:
    with visit(browser, site, role=Role.ADMINISTRATOR, width=390, javascript=False) as page:
        for path in ("/cluster/servers/1", "/cluster/maintenance"):
            page.goto(path)
            assert_fits(page)
        page.goto("/cluster/servers/2")
        page.get_by_role("button", name="Remove…").click()
        assert_fits(page)
        page.get_by_role("button", name="Remove BQN 2").click()
        expect(page.get_by_text("Committed on BQN 0.")).to_be_visible()


def test_a_replacement_is_invited_with_its_id_filled_in(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    assert "/cluster/add?replaces=2" in visitor.get("/cluster/servers/2").text
    page = visitor.get("/cluster/add?replaces=2").text
    assert 'name="other_id" type="text" value="2"' in page
    assert re.search(r'name="replaces" value="1"[^>]* checked', page)
    plain = visitor.get("/cluster/add?replaces=<b>").text
    assert not re.search(r'name="replaces" value="1"[^>]* checked', plain)
