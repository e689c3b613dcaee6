"""Adding a server without a join code: id and address on both pages, compare, confirm."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from bqngui.add_form import BY_HAND
from bqngui.cluster import steps_of
from configrepo.model import ServerId
from scheduler.views import AddForm, JoinProgress, Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk
from tests.support.fake_joining import MEETING
from tests.support.fake_scenes import reaches
from tests.support.site import Site

FORM = AddForm(ServerId(1), "192.168.56.112", "192.168.56.111", by_hand=True)
INVITED = {
    "other_id": "1",
    "other_address": "192.168.56.112",
    "own_address": "192.168.56.111",
    "other_ssh_port": "22",
    "other_control_port": "",
    "way": BY_HAND,
}
MET = {
    "other_id": "0",
    "other_address": "192.168.56.111",
    "own_address": "192.168.56.112",
    "own_ssh_port": "22",
    "other_ssh_port": "22",
    "other_control_port": "",
}
# What BQN 1 shows of BQN 0.
HERE = replace(MEETING, own=MEETING.other, other=MEETING.own)


@pytest.fixture
def alone(open_site: OpenSite) -> Site:
    """BQN 0, not in a cluster."""
    return open_site(FakeDesk.alone())


def waiting() -> FakeDesk:
    """BQN 0 waits for BQN 1 without a code."""
    desk = FakeDesk.alone()
    desk.invite(ADMINISTRATOR, FORM)
    return desk


def met() -> FakeDesk:
    """BQN 1 came to BQN 0."""
    desk = waiting()
    desk.knock()
    return desk


def confirmed() -> FakeDesk:
    """The person at BQN 0 has confirmed, the one at BQN 1 not yet."""
    desk = met()
    desk.accept(ADMINISTRATOR, MEETING.compared)
    return desk


def joining(stage: Literal["comparing", "waiting"] = "comparing") -> FakeDesk:
    """BQN 1 (here the one without a cluster) looks at BQN 0."""
    desk = FakeDesk.alone()
    sentence = "BQN 0 answers at 192.168.56.111. Compare, and confirm on both servers."
    desk.progress = JoinProgress(stage, sentence, reaches(1, 0), ServerId(0), meeting=HERE)
    return desk


def all_shown(page: str) -> bool:
    groups = all(f"<span>{group}</span>" in page for group in MEETING.number.split())
    keys = [key for one in (MEETING.own, MEETING.other) for key in (one.certificate, one.ssh)]
    return groups and all(f"<code>{key}</code>" in page for key in keys)


def test_waiting_without_a_code_says_what_to_do_there_and_shows_no_code(alone: Site) -> None:
    visitor = alone.visitor(Role.ADMINISTRATOR)
    assert visitor.post("/cluster/invite", INVITED).location == "/cluster/add"
    assert alone.desk.invited is not None
    assert alone.desk.invited.form == FORM
    page = visitor.get("/cluster/add").text
    for words in (
        "Join without a code",
        "BQN 0, ",
        "192.168.56.111",
        "Nobody has come yet",
        "15:00",
        "Say id and address of that server on the new one",
    ):
        assert words in page
    assert "join-code" not in page
    assert "Show whom it waits for" in visitor.get("/cluster").text


def test_both_pages_show_the_number_and_every_fingerprint(open_site: OpenSite) -> None:
    for desk in (met(), confirmed(), joining(), joining("waiting")):
        page = open_site(desk).visitor(Role.ADMINISTRATOR).get("/cluster/add").text
        assert all_shown(page)


def test_confirming_here_waits_for_the_other_person(open_site: OpenSite) -> None:
    site = open_site(met())
    visitor = site.visitor(Role.ADMINISTRATOR)
    seen = {"fingerprint": MEETING.other.certificate, "compared": MEETING.compared}
    assert visitor.post("/cluster/accept", seen).location == "/cluster/add"
    page = visitor.get("/cluster/add").text
    assert "Confirmed here" in page
    assert 'action="/cluster/accept"' not in page
    assert 'id="withdraw"' in page
    assert site.desk.unification() is None


def test_confirming_after_the_other_person_leads_to_the_unification(open_site: OpenSite) -> None:
    desk = met()
    assert desk.invited is not None
    desk.invited = replace(desk.invited, confirmed_there=True)
    visitor = open_site(desk).visitor(Role.ADMINISTRATOR)
    assert "It was confirmed there." in visitor.get("/cluster/add").text
    seen = {"fingerprint": MEETING.other.certificate, "compared": MEETING.compared}
    assert visitor.post("/cluster/accept", seen).location == "/unify"


def test_what_was_not_seen_is_confirmed_on_neither_side(open_site: OpenSite) -> None:
    site = open_site(met())
    visitor = site.visitor(Role.ADMINISTRATOR)
    for compared in ("", HERE.compared):
        seen = {"fingerprint": MEETING.other.certificate, "compared": compared}
        answer = visitor.post("/cluster/accept", seen)
        assert answer.status_code == 422
        assert "this is not what you saw" in answer.text
    visitor = open_site(joining()).visitor(Role.ADMINISTRATOR)
    answer = visitor.post("/cluster/confirm", {"compared": MEETING.compared})
    assert answer.status_code == 422
    assert "this is not what you saw" in answer.text


def test_the_joining_server_looks_shows_and_confirms(alone: Site) -> None:
    visitor = alone.visitor(Role.ADMINISTRATOR)
    assert visitor.post("/cluster/meet", MET).location == "/cluster/add"
    page = visitor.get("/cluster/add").text
    assert "Compare and confirm" in page
    assert "Not equal: give up" in page
    assert visitor.post("/cluster/confirm", {"compared": HERE.compared}).location == "/cluster/add"
    assert alone.desk.progress.stage == "waiting"


def test_a_wrong_field_opens_the_form_again_with_what_was_typed(alone: Site) -> None:
    visitor = alone.visitor(Role.ADMINISTRATOR)
    answer = visitor.post("/cluster/meet", {**MET, "other_id": "300"})
    assert answer.status_code == 422
    assert '<details class="without-code" open>' in answer.text
    assert 'aria-describedby="meet-other_id-fault' in answer.text
    alone.desk.refusal = "The disk is full."
    answer = visitor.post("/cluster/meet", {**MET, "other_address": "203.0.113.7"})
    assert answer.status_code == 422
    assert '<details class="without-code" open>' in answer.text
    assert 'value="203.0.113.7"' in answer.text


def test_the_form_of_a_meeting_that_failed_later_comes_back_filled(alone: Site) -> None:
    visitor = alone.visitor(Role.ADMINISTRATOR)
    visitor.post("/cluster/meet", {**MET, "other_control_port": "7123"})
    alone.desk.progress = JoinProgress("failed", "Connection refused.")
    assert 'value="7123"' in visitor.get("/cluster/add").text
    visitor.post("/cluster/give-up")
    assert 'value="7123"' not in visitor.get("/cluster/add").text


@pytest.mark.parametrize(
    ("stage", "words"), [("expired", "Nothing went over"), ("closed", "Too many other servers")]
)
def test_a_meeting_that_is_over_says_so(
    open_site: OpenSite, stage: Literal["expired", "closed"], words: str
) -> None:
    desk = met()
    assert desk.invited is not None
    desk.invited = replace(desk.invited, stage=stage, wrong=(("203.0.113.9", 5),))
    page = open_site(desk).visitor(Role.ADMINISTRATOR).get("/cluster/add").text
    assert words in page
    assert "Other servers tried to join" in page
    assert "Make a new one" in page


def test_the_steps_are_those_without_a_code() -> None:
    for desk, now in ((waiting(), 1), (met(), 2), (confirmed(), 2), (joining(), 2)):
        steps = steps_of(desk.invitation(), desk.join_progress(), unifying=False)
        assert steps[now].stage == "now"
        assert "code" not in " ".join(step.text for step in steps)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_the_pages_are_accessible_and_fit(
    open_site: OpenSite, browser: Browser, width: Width, theme: Theme
) -> None:
    for desk in (waiting(), met(), joining(), FakeDesk.alone()):
        with visit(browser, open_site(desk), width=width, theme=theme) as page:
            page.goto("/cluster/add")
            for folded in page.locator("details.without-code > summary").all():
                folded.click()
            assert_accessible(page)
            assert_fits(page)


@pytest.mark.browser
def test_both_ends_work_without_javascript(open_site: OpenSite, browser: Browser) -> None:
    inviting, joiner = open_site(FakeDesk.alone()), open_site(FakeDesk.alone())
    with visit(browser, inviting, javascript=False) as page:
        page.goto("/cluster/add")
        page.get_by_label("BQN ID of the other server").fill("1")
        page.get_by_label("IP address of the other server").fill("192.168.56.112")
        page.get_by_role("button", name="Without a code: compare fingerprints").click()
        expect(page.get_by_text("Nobody has come yet")).to_be_visible()
        inviting.desk.knock()
        page.goto("/cluster/add")
        page.get_by_role("button", name="They are equal: confirm here").click()
        expect(page.get_by_role("heading", name="Confirmed here")).to_be_visible()
    with visit(browser, joiner, javascript=False) as page:
        page.goto("/cluster/add")
        page.get_by_text("Join without a code: compare fingerprints").click()
        page.get_by_label("BQN ID of the server in the cluster").fill("0")
        page.get_by_label("Its IP address").last.fill("192.168.56.111")
        page.get_by_role("button", name="Look who answers there").click()
        page.get_by_role("button", name="They are equal: confirm here").click()
        expect(page.get_by_text("Confirmed here.")).to_be_visible()
