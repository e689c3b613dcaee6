"""The cluster's page, and adding a server in both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from bqngui.badges import MEANINGS
from bqngui.cluster import fingerprint_groups, steps_of
from configrepo.model import ServerId
from scheduler import server_states
from scheduler.views import AddForm, Invitation, JoinProgress, Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk
from tests.support.fake_scenes import fingerprint, reaches
from tests.support.site import Site

NOBODY = JoinProgress("none", "")
FORM = AddForm(ServerId(1), "192.168.56.112", "192.168.56.111")
TYPED = {
    "other_id": "1",
    "other_address": "192.168.56.112",
    "own_address": "192.168.56.111",
    "other_ssh_port": "22",
    "other_control_port": "",
}
JOINING = {"code": "BQN1-ABC", "own_address": "192.168.56.112", "own_ssh_port": "22"}


@pytest.fixture
def alone(open_site: OpenSite) -> Site:
    """BQN 0, not in a cluster."""
    return open_site(FakeDesk.alone())


def knocking() -> FakeDesk:
    """BQN 0 invited BQN 1, and BQN 1 presented the code."""
    desk = FakeDesk.alone()
    desk.invite(ADMINISTRATOR, FORM)
    desk.knock()
    return desk


def test_a_fingerprint_is_shown_in_eight_groups_without_losing_a_digit() -> None:
    groups = fingerprint_groups(f"Compare it with {fingerprint(1)} and accept.")
    assert len(groups) == 8
    assert "SHA256:" + "".join(groups) == fingerprint(1)
    assert fingerprint_groups("no fingerprint here") == ()


@pytest.mark.parametrize(
    ("stage", "now"), [("waiting", 1), ("knocking", 2), ("accepted", 3), ("expired", 0)]
)
def test_the_steps_follow_the_invitation(
    stage: Literal["waiting", "knocking", "accepted", "expired"], now: int
) -> None:
    invitation = replace(_invitation(), stage=stage)
    steps = steps_of(invitation, NOBODY, unifying=False)
    assert [s.stage for s in steps].index("now") == now
    assert all(s.stage == "done" for s in steps[:now])


def _invitation() -> Invitation:
    return Invitation(FORM, "BQN1-X", 900, "waiting", ())


def test_the_steps_follow_the_joining_and_the_unification() -> None:
    joined = steps_of(None, JoinProgress("joined", ""), unifying=False)
    assert {s.stage for s in joined} == {"done"}
    unifying = steps_of(_invitation(), NOBODY, unifying=True)
    assert [s.stage for s in unifying].index("now") == 3


def test_state_status_and_every_server_are_told_in_words(site: Site) -> None:
    page = site.visitor(Role.VIEWER).get("/cluster").text
    overview = site.desk.view
    for words in (overview.state_sentence, overview.status_sentence, overview.sentence):
        assert words in page
    for server in overview.servers:
        for words in (server.address, str(server.control_port), server.state_sentence):
            assert words in page
    assert "round trip 0.5 ms" in page


def test_only_an_administrator_may_add(site: Site) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        visitor = site.visitor(role)
        assert "Add BQN" not in visitor.get("/cluster").text
        assert visitor.get("/cluster/add").status_code == 403
        for path in ("invite", "withdraw", "accept", "join", "meet", "confirm", "give-up"):
            assert visitor.post(f"/cluster/{path}", TYPED).status_code == 403
    assert site.desk.invitation() is None


def test_an_invitation_shows_code_expiry_and_the_checks_with_causes(alone: Site) -> None:
    visitor = alone.visitor(Role.ADMINISTRATOR)
    assert visitor.post("/cluster/invite", TYPED).location == "/cluster/add"
    invitation = alone.desk.invitation()
    assert invitation is not None
    assert invitation.form == FORM
    page = visitor.get("/cluster/add").text
    assert invitation.code in page
    assert "15:00" in page
    for words in ("filtered", "a firewall drops it", "Allow TCP from", "Nobody has used the code"):
        assert words in page
    assert invitation.code not in alone.visitor(Role.VIEWER).get("/cluster").text


def test_a_wrong_field_is_told_at_its_place_and_the_input_is_kept(alone: Site) -> None:
    answer = alone.visitor(Role.ADMINISTRATOR).post(
        "/cluster/invite", {**TYPED, "other_id": "300", "other_address": "203.0.113.7"}
    )
    assert answer.status_code == 422
    assert "a whole number from 0 to 255" in answer.text
    assert 'value="300"' in answer.text
    assert 'value="203.0.113.7"' in answer.text
    assert 'aria-describedby="invite-other_id-fault' in answer.text
    assert alone.desk.invitation() is None


def test_a_refusal_is_shown_with_the_form_and_keeps_the_input(alone: Site) -> None:
    visitor = alone.visitor(Role.ADMINISTRATOR)
    alone.desk.refusal = "The disk is full. Make room first."
    answer = visitor.post("/cluster/invite", TYPED)
    assert answer.status_code == 422
    assert "The disk is full. Make room first." in answer.text
    assert 'value="192.168.56.112"' in answer.text
    joined = visitor.post("/cluster/join", JOINING)
    assert joined.status_code == 422
    assert "The disk is full." in joined.text
    assert "BQN1-ABC" in joined.text


def test_a_knocking_server_shows_its_fingerprint_and_can_be_accepted(open_site: OpenSite) -> None:
    site = open_site(knocking())
    visitor = site.visitor(Role.ADMINISTRATOR)
    page = visitor.get("/cluster/add").text
    assert "BQN 1 (bqn1) wants to join" in page
    for group in fingerprint_groups(fingerprint(1)):
        assert f"<span>{group}</span>" in page
    answer = visitor.post("/cluster/accept", {"fingerprint": fingerprint(1)})
    assert answer.location == "/unify"
    assert site.desk.unification() is not None
    assert "Unify the configurations" in visitor.get("/cluster/add").text


def test_a_server_that_was_not_seen_is_not_accepted(open_site: OpenSite) -> None:
    site = open_site(knocking())
    visitor = site.visitor(Role.ADMINISTRATOR)
    for seen in (fingerprint(2), ""):
        answer = visitor.post("/cluster/accept", {"fingerprint": seen})
        assert answer.status_code == 422
        assert "Compare the fingerprint again" in answer.text
    assert site.desk.unification() is None


def test_a_refused_acceptance_is_told(open_site: OpenSite) -> None:
    site = open_site(knocking())
    visitor = site.visitor(Role.ADMINISTRATOR)
    site.desk.refusal = "BQN 1 no longer answers."
    answer = visitor.post("/cluster/accept", {"fingerprint": fingerprint(1)})
    assert answer.status_code == 422
    assert "BQN 1 no longer answers." in answer.text


def test_rejecting_closes_the_invitation(open_site: OpenSite) -> None:
    site = open_site(knocking())
    visitor = site.visitor(Role.ADMINISTRATOR)
    assert visitor.post("/cluster/withdraw").location == "/cluster/add"
    assert site.desk.invitation() is None
    assert "Check the way and make a code" in visitor.get("/cluster/add").text


def test_an_expired_invitation_offers_a_new_one(open_site: OpenSite) -> None:
    desk = FakeDesk.alone()
    desk.invited = replace(_invitation(), stage="expired", expires_in_s=0)
    page = open_site(desk).visitor(Role.ADMINISTRATOR).get("/cluster/add").text
    assert "The invitation has expired" in page
    assert "Make a new one" in page


def test_an_invitation_that_was_tried_too_often_says_who_tried_and_offers_a_new_one(
    open_site: OpenSite,
) -> None:
    desk = FakeDesk.alone()
    desk.invited = replace(_invitation(), wrong=(("203.0.113.9", 3),))
    site = open_site(desk)
    page = site.visitor(Role.ADMINISTRATOR).get("/cluster/add").text
    assert "Five wrong codes shut out the address" in page
    assert "3 from" in page
    assert "203.0.113.9" in page
    desk.invited = replace(_invitation(), stage="closed", wrong=(("203.0.113.9", 50),))
    page = site.visitor(Role.ADMINISTRATOR).get("/cluster/add").text
    assert "The invitation was closed" in page
    assert "50 from" in page
    assert "Make a new one" in page
    assert desk.invited.code not in page


def in_trouble() -> FakeDesk:
    """A paused cluster whose servers are in states that need a detail."""
    desk = FakeDesk.cluster_of_three()
    zero, one, two = desk.view.servers
    said = "BQN 2 does not answer since 14:03:22 (connection refused)"
    servers = (
        replace(zero, state="alone since", state_detail="2026-11-22 14:03:22 UTC"),
        replace(one, state="indirect", state_detail="via BQN 2"),
        replace(
            two,
            state="unreachable",
            state_detail="since 2026-11-22 14:03:22 UTC",
            state_sentence=said,
        ),
    )
    desk.view = replace(desk.view, state="paused", servers=servers)
    return desk


def test_states_are_told_with_their_detail_and_every_word_has_a_meaning(
    open_site: OpenSite,
) -> None:
    page = open_site(in_trouble()).visitor(Role.VIEWER).get("/cluster").text
    for words in (
        "alone since 2026-11-22 14:03:22 UTC",
        "indirect via BQN 2",
        "unreachable since 2026-11-22 14:03:22 UTC",
        "connection refused",
    ):
        assert words in page
    for word, meaning in (*MEANINGS.items(), *server_states.MEANINGS.items()):
        assert f"<dt>{word}</dt><dd>{meaning}</dd>" in page


def test_joining_shows_progress_and_this_servers_own_fingerprint(open_site: OpenSite) -> None:
    desk = FakeDesk.alone()
    site = open_site(desk)
    visitor = site.visitor(Role.ADMINISTRATOR)
    assert visitor.post("/cluster/join", JOINING).location == "/cluster/add"
    page = visitor.get("/cluster/add").text
    assert "Waiting to be accepted" in page
    for group in fingerprint_groups(fingerprint(0)):
        assert f"<span>{group}</span>" in page
    assert visitor.post("/cluster/give-up").location == "/cluster/add"
    assert desk.join_progress().stage == "none"


def test_a_wrong_code_is_told_and_kept(alone: Site) -> None:
    answer = alone.visitor(Role.ADMINISTRATOR).post(
        "/cluster/join", {**JOINING, "code": "HELLO-<b>"}
    )
    assert answer.status_code == 422
    assert "This is not a join code." in answer.text
    assert "HELLO-&lt;b&gt;" in answer.text


def test_a_joining_that_fails_later_brings_the_form_back_filled(alone: Site) -> None:
    visitor = alone.visitor(Role.ADMINISTRATOR)
    visitor.post("/cluster/join", {**JOINING, "own_ssh_port": "2222"})
    assert "BQN1-ABC" not in visitor.get("/cluster/add").text
    alone.desk.progress = JoinProgress("failed", "Connection refused.")
    page = visitor.get("/cluster/add").text
    assert "Connection refused." in page
    assert "BQN1-ABC</textarea>" in page
    assert 'value="2222"' in page
    visitor.post("/cluster/give-up")
    assert "BQN1-ABC" not in visitor.get("/cluster/add").text


@pytest.mark.parametrize(
    ("stage", "title"),
    [
        ("checking", "Checking the way"),
        ("accepted", "Accepted"),
        ("joined", "Joined"),
        ("failed", "Joining failed"),
    ],
)
def test_each_stage_of_joining_is_told(
    open_site: OpenSite, stage: Literal["checking", "accepted", "joined", "failed"], title: str
) -> None:
    desk = FakeDesk.alone()
    progress = JoinProgress("none", "The sentence of this stage.", reaches(0, 1))
    desk.progress = replace(progress, stage=stage)
    page = open_site(desk).visitor(Role.ADMINISTRATOR).get("/cluster/add").text
    assert title in page
    assert "The sentence of this stage." in page


def test_a_server_in_a_cluster_offers_no_joining(site: Site) -> None:
    page = site.visitor(Role.ADMINISTRATOR).get("/cluster/add").text
    assert "This server is already in a cluster" in page
    assert 'action="/cluster/join"' not in page


@pytest.mark.parametrize("scene", ["waiting", "knocking", "unifying", "joining"])
def test_the_cluster_page_leads_to_what_waits(open_site: OpenSite, scene: str) -> None:
    desk = FakeDesk.unifying_two() if scene == "unifying" else FakeDesk.alone()
    if scene in ("waiting", "knocking"):
        desk.invite(ADMINISTRATOR, FORM)
    if scene == "knocking":
        desk.knock()
    if scene == "joining":
        desk.progress = JoinProgress("waiting", "Wait.")
    page = open_site(desk).visitor(Role.ADMINISTRATOR).get("/cluster").text
    assert 'id="go-unify"' in page if scene == "unifying" else 'id="go-add"' in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_the_pages_are_accessible_and_fit(
    open_site: OpenSite, browser: Browser, width: Width, theme: Theme
) -> None:
    for desk, path in (
        (FakeDesk.cluster_of_three(), "/cluster"),
        (in_trouble(), "/cluster"),
        (FakeDesk.alone(), "/cluster/add"),
        (knocking(), "/cluster/add"),
    ):
        with visit(browser, open_site(desk), width=width, theme=theme) as page:
            page.goto(path)
            assert_accessible(page)
            assert_fits(page)


@pytest.mark.browser
def test_inviting_goes_on_by_itself_until_the_acceptance(alone: Site, browser: Browser) -> None:
    with visit(browser, alone) as page:
        page.goto("/cluster")
        page.get_by_role("link", name="Add BQN to a cluster").click()
        page.get_by_label("BQN ID of the other server").fill("1")
        page.get_by_label("IP address of the other server").fill("192.168.56.112")
        page.get_by_role("button", name="Check the way and make a code").click()
        code = page.get_by_label("Join code", exact=True)
        expect(code).to_have_value(alone.desk.invited.code if alone.desk.invited else "")
        code.select_text()
        alone.desk.knock()
        page.get_by_role("button", name="The fingerprints are equal: accept").click()
        expect(page.locator("h1")).to_contain_text("Unify")


@pytest.mark.browser
def test_the_code_is_copied_by_a_button(open_site: OpenSite, browser: Browser) -> None:
    desk = FakeDesk.alone()
    desk.invite(ADMINISTRATOR, FORM)
    with visit(browser, open_site(desk)) as page:
        page.goto("/cluster/add")
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("#copy-code")).to_have_text("Copied", use_inner_text=True)


@pytest.mark.browser
def test_joining_works_without_javascript(alone: Site, browser: Browser) -> None:
    with visit(browser, alone, javascript=False) as page:
        page.goto("/cluster/add")
        page.locator("#join-code-in").fill("BQN1-ABC")
        page.get_by_role("button", name="Join", exact=True).click()
        expect(page.get_by_text("Waiting to be accepted")).to_be_visible()
        assert alone.desk.join_progress().stage == "waiting"
