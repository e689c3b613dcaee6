"""Disagreements: what a merge left open is shown with both values and settled one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from bqngui.disagreements import MOST_SHOWN
from configrepo.conflicts import Origin
from configrepo.model import ServerId
from scheduler.disagreements_seam import Choice
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.fake_disagreements import FakeDisagreements, disagreement
from tests.support.site import Site

FIRST = f"{1:016x}"
USER = f"{3:016x}"


@pytest.fixture
def torn(site: Site) -> Site:
    """Three values wait and a line is held."""
    site.desk.disagreements.after_a_cut()
    return site


def fake(site: Site) -> FakeDisagreements:
    return site.desk.disagreements


def test_without_disagreements_the_page_says_so(site: Site) -> None:
    page = site.visitor(Role.VIEWER).get("/disagreements")
    assert page.status_code == 200
    assert "No value waits to be settled." in page.text
    assert "Held lines" not in page.text


def test_each_value_shows_base_both_values_authors_and_times(torn: Site) -> None:
    text = torn.visitor(Role.OPERATOR).get("/disagreements").text
    for word in (
        "downlink rate 20000",
        "downlink rate 25000",
        "downlink rate 30000",
        "ana, on BQN 0, 2026-11-22 13:58:04 UTC",
        "local administrator of BQN 1, on BQN 1, 2026-11-22 13:59:30 UTC",
        "BQN 0 and BQN 1 changed it in different ways",
        "users and members wait for an administrator",
        "changed since the merge",
        "Atlantic/Canary",
    ):
        assert word in text


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"side": "keep", "text": "x"}, Choice("keep")),
        ({"side": "other", "text": "x"}, Choice("other")),
        ({"side": "edit", "text": "a\r\nb"}, Choice("edit", "a\nb")),
    ],
)
def test_a_choice_settles_one_value(torn: Site, fields: dict[str, str], choice: Choice) -> None:
    visitor = torn.visitor(Role.OPERATOR)
    fields = {"entry": FIRST, "request_id": "r1", **fields}
    answer = visitor.post("/disagreements/settle", fields)
    assert answer.status_code == 303
    assert fake(torn).chosen == [(FIRST, choice)]
    assert "Saved on BQN 0." in visitor.get("/disagreements").text


def test_nothing_is_chosen_beforehand_and_without_a_choice_nothing_is_saved(torn: Site) -> None:
    visitor = torn.visitor(Role.OPERATOR)
    assert " checked" not in visitor.get("/disagreements").text
    answer = visitor.post("/disagreements/settle", {"entry": FIRST, "text": "kept text"})
    assert answer.status_code == 422
    assert "Choose a value first." in answer.text
    assert "kept text" in answer.text
    assert fake(torn).chosen == []


def test_a_value_that_cannot_be_taken_is_told_at_its_place_and_kept(torn: Site) -> None:
    visitor = torn.visitor(Role.OPERATOR)
    answer = visitor.post(
        "/disagreements/settle", {"entry": FIRST, "side": "edit", "text": "downlink wrong"}
    )
    assert answer.status_code == 422
    assert "found `wrong`, expected a rate" in answer.text
    assert "downlink wrong" in answer.text


def test_what_was_settled_meanwhile_is_told_at_the_top(torn: Site) -> None:
    visitor = torn.visitor(Role.OPERATOR)
    answer = visitor.post("/disagreements/settle", {"entry": "gone", "side": "keep"})
    assert answer.status_code == 422
    assert "This was settled meanwhile" in answer.text


def test_what_needs_an_administrator_is_locked_for_an_operator(torn: Site) -> None:
    text = torn.visitor(Role.OPERATOR).get("/disagreements").text
    assert "Only an administrator may settle this one." in text
    assert text.count("Settle and commit") == 2
    visitor = torn.visitor(Role.OPERATOR)
    answer = visitor.post("/disagreements/settle", {"entry": USER, "side": "other"})
    assert answer.status_code == 422
    assert torn.administrator().get("/disagreements").text.count("Settle and commit") == 3


def test_a_viewer_looks_and_cannot_settle(torn: Site) -> None:
    visitor = torn.visitor(Role.VIEWER)
    text = visitor.get("/disagreements").text
    assert "settling needs the role operator" in text
    assert "Settle and commit" not in text
    assert "Accept: merge it" not in text
    fields = {"entry": FIRST, "side": "keep"}
    assert visitor.post("/disagreements/settle", fields).status_code == 403


def test_a_held_line_is_shown_with_its_cause_and_an_administrator_decides(torn: Site) -> None:
    operator = torn.visitor(Role.OPERATOR)
    text = operator.get("/disagreements").text
    assert "had confirmed newer commits" in text
    assert "Change the time servers" in text
    assert "Accept: merge it" not in text
    for path in ("accept", "keep"):
        assert operator.post(f"/disagreements/{path}", {"head": "f" * 40}).status_code == 403
    admin = torn.administrator()
    assert admin.post("/disagreements/keep", {"head": "f" * 40}).status_code == 303
    assert "kept held" in admin.get("/disagreements").text
    assert admin.post("/disagreements/accept", {"head": "f" * 40}).status_code == 303
    assert "Held lines" not in admin.get("/disagreements").text


def test_a_refused_decision_says_why(torn: Site) -> None:
    fake(torn).refusal = "The lead changes; try again."
    admin = torn.administrator()
    for path in ("accept", "keep"):
        answer = admin.post(f"/disagreements/{path}", {"head": "f" * 40})
        assert answer.status_code == 409
        assert "The lead changes; try again." in answer.text


def test_a_secondary_says_where_held_lines_are_decided(open_site: OpenSite) -> None:
    site = open_site(FakeDesk.cluster_of_three(me=1))
    fake(site).now = replace(fake(site).now, leads=False)
    assert "decided at the primary" in site.visitor(Role.VIEWER).get("/disagreements").text


def test_foreign_words_are_shown_as_text(torn: Site) -> None:
    listed = fake(torn).now
    first = listed.open[0]
    evil = Origin("<script>alert(1)</script>", "2026-11-22T13:58:04Z", ServerId(1))
    entry = replace(first.entry, other="<b>bold</b>", other_by=evil)
    fake(torn).now = replace(listed, open=(replace(first, entry=entry),))
    text = torn.visitor(Role.VIEWER).get("/disagreements").text
    assert "<script>alert" not in text
    assert "<b>bold" not in text


def test_thousands_of_values_are_counted_and_the_first_ones_shown(torn: Site) -> None:
    desk = torn.desk.disagreements
    many = tuple(
        disagreement(n, f"common/policy/rate/r{n}.conf", None, (None, "a", "b"))
        for n in range(5_000)
    )
    desk.now = replace(desk.now, open=many)
    page = torn.visitor(Role.OPERATOR).get("/disagreements").text
    assert '<span class="count">5,000</span>' in page
    assert page.count('name="entry"') == MOST_SHOWN
    assert "Here are the first 100; the others follow as these are settled." in page
    assert len(page) < 400_000


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_accessible_and_fits(browser: Browser, torn: Site, theme: Theme) -> None:
    width: Width = 1280 if theme == "light" else 390
    with visit(browser, torn, role=Role.ADMINISTRATOR, width=width, theme=theme) as page:
        page.goto("/disagreements")
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.browser
def test_a_value_is_settled_with_the_keyboard_and_without_javascript(
    browser: Browser, torn: Site
) -> None:
    with visit(browser, torn, role=Role.OPERATOR, javascript=False) as page:
        page.goto("/disagreements")
        page.focus("#side-1-keep")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowDown")
        expect(page.locator("#side-1-other")).to_be_checked()
        page.focus("#settle-1")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Saved on BQN 0.")).to_be_visible()
    assert fake(torn).chosen == [(FIRST, Choice("other"))]


def test_a_held_line_can_be_saved_as_a_text(torn: Site) -> None:
    visitor = torn.visitor(Role.VIEWER)
    (held, *_) = torn.desk.disagreements.listed().held
    saved = visitor.get(f"/disagreements/held/{held.head}/patch")
    assert saved.text.count("diff --git ") == len(held.changes) > 0
    assert visitor.get("/disagreements/held/none/patch").status_code == 404
