"""The list of commits, one commit, and the way back to it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from playwright.sync_api import Browser, expect

from bqngui.history import PAGE_REVISIONS, split_trailers, utc_words
from scheduler.views import Person, Role
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import Site

BOB = Person("bob", Role.OPERATOR, "192.0.2.8")
NTP = "common/ntp.conf"
TRAILERS = "Term: 3\nServer: 0\nRequest-Id: 5a"


def add_server(desk: FakeDesk, number: int, message: str) -> str:
    """Commit one more time server; returns the revision."""
    text = next(b.text for b in desk.configuration(BOB).blocks if b.path == NTP)
    desk.edit(BOB, NTP, f"{text} server 192.0.2.{number}\n")
    desk.commit(BOB, message, f"request-{number}", {})
    return desk.history(limit=1)[0].id


def test_the_list_says_who_when_what_and_which_servers_run_it(site: Site) -> None:
    add_server(site.desk, 9, "Add a <fast> time server")
    page = site.visitor(Role.VIEWER).get("/history").text
    assert "Add a &lt;fast&gt; time server" in page
    assert re.search(r'<time [^>]*datetime="2026-11-22T1\d:\d\d:\d\dZ"', page)
    assert "bob" in page
    assert page.count("bi-play-circle-fill") == 3


def test_the_list_can_be_filtered_by_the_file_that_changed(site: Site) -> None:
    add_server(site.desk, 9, "Add a time server")
    page = site.visitor(Role.VIEWER).get("/history?path=common/clock.conf").text
    assert "Add a time server" not in page
    assert "Factory default" in page
    nothing = site.visitor(Role.VIEWER).get("/history?path=common/none.conf").text
    assert "No commit changed" in nothing


def test_a_long_list_has_pages(site: Site) -> None:
    for number in range(1, PAGE_REVISIONS + 3):
        add_server(site.desk, number, f"Server {number}")
    visitor = site.visitor(Role.VIEWER)
    first, second = visitor.get("/history").text, visitor.get("/history?page=2").text
    assert "Older" in first
    assert "Newer" not in first
    assert "Newer" in second
    assert "Older" not in second
    assert "Factory default" in second


def test_a_revision_shows_its_diff_its_parents_and_its_trailers(site: Site) -> None:
    parent = site.desk.history(limit=1)[0].id
    revision = add_server(site.desk, 9, f"Add one\n\nAsked for by support.\n\n{TRAILERS}")
    page = site.visitor(Role.VIEWER).get(f"/history/{revision}").text
    assert '<p class="revision-text">Asked for by support.</p>' in page
    assert "Request-Id" in page
    assert f"/history/{parent}" in page
    assert "server 192.0.2.9" in page
    assert f"/configuration/text?server=2&amp;revision={revision}" in page


def test_trailers_are_parted_from_the_text_only_if_they_are_a_paragraph_of_their_own() -> None:
    assert split_trailers(f"Why.\n\n{TRAILERS}") == (
        "Why.",
        (("Term", "3"), ("Server", "0"), ("Request-Id", "5a")),
    )
    assert split_trailers(TRAILERS)[0] == ""
    assert split_trailers("Note: this\nis a sentence") == ("Note: this\nis a sentence", ())
    assert split_trailers("") == ("", ())


def test_moments_are_told_in_utc() -> None:
    moment = datetime(2026, 11, 22, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert utc_words(moment, "%Y-%m-%d %H:%M") == "2026-11-21 23:00"
    assert utc_words(datetime(1970, 1, 1, tzinfo=UTC), "%Y") == "1970"


def test_a_revision_that_does_not_exist_is_a_page_with_a_sentence(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    assert visitor.get(f"/history/{'0' * 40}").status_code == 404
    assert "40 hexadecimal digits" in visitor.get("/history/--upload-pack").text


def test_a_rollback_shows_its_diff_first_and_is_a_new_commit(site: Site) -> None:
    old = site.desk.history(limit=1)[0].id
    added = add_server(site.desk, 9, "Add a time server")
    visitor = site.administrator()
    page = visitor.get(f"/history/{old}/rollback").text
    assert "removed: </span> server 192.0.2.9" in page.replace("<del>", "")
    sent = dict(re.findall(r'name="(request_id|base)" value="([^"]*)"', page))
    sent["message"] = "Back to the tested servers"
    answer = visitor.post(f"/history/{old}/rollback", sent)
    assert answer.status_code == 303
    assert visitor.post(f"/history/{old}/rollback", sent).location == answer.location
    newest, before = site.desk.history(limit=2)
    assert (newest.subject, before.id) == ("Back to the tested servers", added)
    assert "192.0.2.9" not in site.desk.saved_text(site.desk.view.me)
    assert "already saved" in visitor.get(answer.location).text


def test_a_rollback_over_a_commit_that_was_not_shown_is_refused(site: Site) -> None:
    old = site.desk.history(limit=1)[0].id
    add_server(site.desk, 9, "Add a time server")
    visitor = site.visitor(Role.OPERATOR)
    page = visitor.get(f"/history/{old}/rollback").text
    sent = dict(re.findall(r'name="(request_id|base)" value="([^"]*)"', page))
    unseen = add_server(site.desk, 10, "Add another")
    answer = visitor.post(f"/history/{old}/rollback", sent | {"message": "Back, my words"})
    assert answer.status_code == 409
    assert "Back, my words" in answer.text
    assert site.desk.history(limit=1)[0].id == unseen


def test_a_rollback_needs_a_message_and_an_operator(site: Site) -> None:
    old = site.desk.history(limit=1)[0].id
    add_server(site.desk, 9, "Add a time server")
    answer = site.visitor(Role.OPERATOR).post(f"/history/{old}/rollback", {"message": ""})
    assert answer.status_code == 422
    viewer = site.visitor(Role.VIEWER)
    assert viewer.get(f"/history/{old}/rollback").status_code == 403
    assert viewer.post(f"/history/{old}/rollback", {"message": "x"}).status_code == 403
    assert "Roll back" not in viewer.get(f"/history/{old}").text


def test_going_back_to_where_one_is_offers_nothing(site: Site) -> None:
    head = site.desk.history(limit=1)[0].id
    visitor = site.visitor(Role.OPERATOR)
    head = site.desk.history(limit=1)[0].id
    page = visitor.get(f"/history/{head}/rollback").text
    assert "nothing to roll back" in page
    assert 'name="message"' not in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_pages_are_accessible_and_fit(
    site: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    old = site.desk.history(limit=1)[0].id
    for number in range(1, PAGE_REVISIONS + 3):
        revision = add_server(site.desk, number, f"Server {number} {'x' * 70}")
    with visit(browser, site, width=width, theme=theme) as page:
        for path in ("/history?page=2", f"/history/{revision}", f"/history/{old}/rollback"):
            page.goto(path)
            assert_accessible(page)
            assert_fits(page)


@pytest.mark.browser
def test_the_readers_own_time_stands_before_utc(site: Site, browser: Browser) -> None:
    context = browser.new_context(
        base_url=site.url, ignore_https_errors=True, timezone_id="Asia/Tokyo"
    )
    name, value = site.settings.cookie_name, site.session_of("admin")
    context.add_cookies([{"name": name, "value": value, "url": site.url, "secure": True}])
    page = context.new_page()
    page.goto("/history")
    expect(page.locator("time").last).to_contain_text("2026-11-22 23:00:00")
    expect(page.locator("time").last).to_contain_text("2026-11-22 14:00:00 UTC")
    context.close()


def test_a_huge_change_makes_a_small_page_and_can_be_saved_whole(site: Site) -> None:
    lines = "".join(f" line {number} of it\n" for number in range(60_000))
    visitor = site.visitor(Role.OPERATOR)
    person = Person(site.account(Role.OPERATOR), Role.OPERATOR, "192.0.2.8")
    site.desk.edit(person, None, f"strange block\n{lines}")
    shown = visitor.get("/candidate/compare").text
    assert "too large to be compared on a page: it has 60,001 lines" in shown
    assert 'href="/candidate/patch"' in shown
    assert len(shown) < 100_000
    saved = visitor.get("/candidate/patch")
    assert saved.headers["Content-Type"].startswith("text/plain")
    assert saved.headers["Content-Disposition"].endswith('"candidate.patch"')
    assert saved.text.count("\n+ line ") == 60_000
    site.desk.commit(person, "A huge block", "request-huge", {})
    revision = site.desk.history(limit=1)[0].id
    shown = visitor.get(f"/history/{revision}").text
    assert len(shown) < 100_000
    assert "too large to be compared on a page: it has 60,001 lines" in shown
    assert f'href="/history/{revision}/patch"' in shown
    assert visitor.get(f"/history/{revision}/patch").text.count("\n+ line ") == 60_000
    back = site.desk.history(limit=2)[1].id
    shown = visitor.get(f"/history/{back}/rollback").text
    assert len(shown) < 100_000
    assert f'href="/history/{back}/rollback/patch"' in shown
    assert visitor.get(f"/history/{back}/rollback/patch").text.count("\n- line ") == 60_000


def test_a_commit_of_thousands_of_blocks_is_a_small_page_that_counts_them(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    person = Person(site.account(Role.OPERATOR), Role.OPERATOR, "192.0.2.8")
    for number in range(1_000):
        site.desk.edit(person, None, f"policy rate many-{number}\n downlink rate 5\n")
    site.desk.commit(person, "Many blocks", "request-many", {})
    revision = site.desk.history(limit=1)[0].id
    shown = visitor.get(f"/history/{revision}").text
    assert "1000 changed blocks" in shown
    assert "600 more changed blocks are not listed here." in shown
    assert len(shown) < 700_000
    assert visitor.get(f"/history/{revision}/patch").text.count("diff --git ") == 1_000
