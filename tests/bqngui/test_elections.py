"""The page of elections: a list with a filter, and what would happen if a server died."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect

from bqngui.elections import gap_words, loss_badge
from configrepo.model import ServerId
from scheduler.elections_seam import KINDS, ElectionEvent, IfDies
from scheduler.views import Role
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.site import Site

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def told(site: Site) -> Site:
    """A cluster that has seen something."""
    site.desk.elections.seen = [
        ElectionEvent(
            START - timedelta(hours=number),
            KINDS[number % len(KINDS)],
            ServerId(number % 3),
            100 - number,
            f"Sentence {number}: BQN 0 does not answer since 03:00:01 (no answer at all).",
            3.4 if number else None,
        )
        for number in range(70)
    ]
    site.desk.elections.deaths = (
        IfDies(ServerId(0), ServerId(1), "BQN 1 would lead.", 2, "2 commits are only there."),
        IfDies(
            ServerId(1), ServerId(0), "BQN 0 goes on leading.", 0, "All is there.", (ServerId(0),)
        ),
        IfDies(ServerId(2), None, "Nobody would lead.", None, "It is not known."),
    )
    return site


def test_the_newest_come_first_with_who_why_and_the_gap(told: Site) -> None:
    page = told.visitor(Role.VIEWER).get("/elections").text
    assert page.index("Sentence 0:") < page.index("Sentence 1:")
    assert "Sentence 50:" not in page
    assert "3.4 s" in page
    assert "not known" in page
    assert "Sentence 50:" in told.visitor(Role.VIEWER).get("/elections?page=2").text


def test_the_list_is_filtered_by_event_and_server(told: Site) -> None:
    visitor = told.visitor(Role.VIEWER)
    only = visitor.get("/elections?kind=step-down").text
    assert "Sentence 2:" in only
    assert "Sentence 0:" not in only
    both = visitor.get("/elections?kind=takeover&server=0").text
    assert "Sentence 0:" in both
    assert "Sentence 5:" not in both
    assert "No such event was seen." in visitor.get("/elections?server=9").text
    assert visitor.get("/elections?page=x&kind=%00").status_code == 200


def test_an_empty_history_says_so(site: Site) -> None:
    assert "No election was seen yet" in site.administrator().get("/elections").text


def test_while_nobody_leads_the_page_says_since_when(site: Site) -> None:
    site.desk.elections.nobody = START
    assert "Nobody leads since" in site.administrator().get("/elections").text


def test_what_if_says_who_leads_and_what_is_not_replicated(told: Site) -> None:
    page = told.administrator().get("/elections").text
    assert "2 not replicated" in page
    assert "nothing lost" in page
    assert "nobody" in page
    assert loss_badge(told.desk.elections.deaths[2]).text == "not known"


def test_foreign_words_are_shown_and_not_run(site: Site) -> None:
    site.desk.elections.seen = [ElectionEvent(START, "takeover", ServerId(1), 2, EVIL, 0.0)]
    page = site.administrator().get("/elections").text
    assert EVIL not in page
    assert "no gap" in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "not known"), (0.0, "no gap"), (3.44, "3.4 s"), (600.0, "10 min"), (90_000.0, "25 h")],
)
def test_gaps_are_said_in_fitting_units(seconds: float | None, words: str) -> None:
    assert gap_words(seconds) == words


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_usable(browser: Browser, told: Site, width: Width, theme: Theme) -> None:
    with visit(browser, told, width=width, theme=theme) as page:
        page.goto("/elections")
        assert_accessible(page)
        assert_fits(page)
        page.get_by_label("Event").select_option("switchover")
        page.get_by_role("button", name="Filter").press("Enter")
        expect(page.get_by_text("Sentence 1:")).to_be_visible()
        expect(page.get_by_text("Sentence 0:")).to_have_count(0)
