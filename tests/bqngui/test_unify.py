"""Unify: answers that stay, a commit that is refused while a row is open."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from configrepo.unify import Edit, RowId, Take
from scheduler.views import Role, Unification
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk
from tests.support.site import Site, Visitor

HOURS = RowId("common/profile/time/peak-time.conf|hours")
DOWNLINK = RowId("common/policy/rate/rate-20Mbps.conf|downlink rate")
UPLINK = RowId("common/policy/rate/rate-20Mbps.conf|uplink rate")
CLOCK = RowId("common/clock.conf|")
DOS = RowId("common/dos.conf|minimum-rate")
ANSWERS = {
    f"take:{HOURS}": "joiner",
    f"take:{DOWNLINK}": "cluster",
    f"take:{UPLINK}": "edit",
    f"edit:{UPLINK}": "uplink rate 4500",
    f"take:{CLOCK}": "proposal",
    f"take:{DOS}": "cluster",
}


@pytest.fixture
def unifying(open_site: OpenSite) -> Site:
    """BQN 2 waits to be unified with the cluster of BQN 0 and 1."""
    return open_site(FakeDesk.unifying())


def waiting(site: Site) -> Unification:
    found = site.desk.unification()
    assert found is not None
    return found


def answered(site: Site) -> None:
    """Answer every row."""
    now = waiting(site)
    answers = dict.fromkeys((HOURS, DOWNLINK, UPLINK), Take("joiner"))
    site.desk.answer(ADMINISTRATOR, answers, frozenset(now.open_rows))


def shown_to(visitor: Visitor) -> dict[str, str]:
    """What the form of the effect says of the effect that it shows."""
    return dict(
        re.findall(r'name="(shown)" value="([0-9a-f]+)"', visitor.get("/unify/compare").text)
    )


def test_without_a_joiner_the_page_says_what_it_is_for(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    assert "No configuration waits to be unified." in visitor.get("/unify").text
    assert "No configuration waits to be unified." in visitor.get("/unify/compare").text
    assert visitor.post("/unify", ANSWERS).status_code == 409
    assert visitor.post("/unify/answers", ANSWERS).status_code == 409
    answer = visitor.post("/unify/commit", {"message": "x", "request_id": "r"})
    assert answer.status_code == 409
    assert "No unification is waiting." in answer.text


def test_a_secondary_says_where_servers_are_unified(open_site: OpenSite) -> None:
    page = open_site(FakeDesk.cluster_of_three(1)).visitor(Role.VIEWER).get("/unify").text
    assert "Joining servers are unified at the primary" in page
    assert "BQN 0 bqn0" in page


def test_each_row_shows_both_values_the_default_and_the_reason(unifying: Site) -> None:
    page = unifying.visitor(Role.VIEWER).get("/unify").text
    for row in waiting(unifying).proposal.rows:
        assert row.reason in page
    for words in ("hours 19:00-23:00", "hours 18:00-24:00", "clock timezone Europe/Madrid"):
        assert words in page
    assert "5 of 5 open" in page
    assert "Changes what BQN 0 and BQN 1 run now" in page
    assert "ours" not in re.sub(r"hours|Yours|colours|sources", "", page)
    assert "theirs" not in page


def test_server_specific_files_are_listed_and_not_asked(unifying: Site) -> None:
    page = unifying.visitor(Role.VIEWER).get("/unify").text
    assert "servers/2/wire.conf" in page
    assert 'name="take:servers/' not in page


def test_what_the_replaced_hardware_knew_is_listed(unifying: Site) -> None:
    assert "What the old hardware" not in unifying.visitor(Role.VIEWER).get("/unify").text
    now = waiting(unifying)
    unifying.desk.unifying_now = replace(
        now, replaces=True, secrets=(("common/snmp.conf", "community"),)
    )
    page = unifying.visitor(Role.ADMINISTRATOR).get("/unify").text
    assert "What the old hardware of BQN 2 knew" in page
    assert "<code>common/snmp.conf</code></a> community" in page
    unifying.desk.unifying_now = replace(now, replaces=True)
    assert "It knew no secret." in unifying.visitor(Role.VIEWER).get("/unify").text


def test_a_viewer_looks_and_an_operator_cannot_answer(unifying: Site) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        visitor = unifying.visitor(role)
        page = visitor.get("/unify").text
        assert "Save answers" not in page
        assert "answering needs the role administrator" in page
        for path in ("/unify", "/unify/answers", "/unify/commit"):
            assert visitor.post(path, ANSWERS).status_code == 403
    assert waiting(unifying).answers == {}


def test_answers_are_kept_and_shown_again(unifying: Site) -> None:
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    assert visitor.post("/unify", {**ANSWERS, "action": "save"}).location == "/unify"
    assert waiting(unifying).answers == {
        HOURS: Take("joiner"),
        DOWNLINK: Take("cluster"),
        UPLINK: Edit("uplink rate 4500"),
        DOS: Take("cluster"),
    }
    assert waiting(unifying).acknowledged == {CLOCK}
    page = visitor.get("/unify").text
    assert "all 5 answered" in page
    assert "uplink rate 4500</textarea>" in page


def test_a_script_gets_what_is_open_and_faulty(unifying: Site) -> None:
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    fields = {f"take:{HOURS}": "edit", f"edit:{HOURS}": "hours banana"}
    told = visitor.post("/unify/answers", fields).get_json()
    assert len(told["open"]) == 4
    assert "4 of 5 open" in told["status"]
    (problem,) = told["problems"].values()
    assert "banana" in problem
    assert "line 1, column" in problem


def test_a_refusal_is_told_and_keeps_the_input(unifying: Site) -> None:
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    unifying.desk.refusal = "BQN 0 is not the primary any more."
    answer = visitor.post("/unify", ANSWERS)
    assert answer.status_code == 422
    assert "BQN 0 is not the primary any more." in answer.text
    assert "uplink rate 4500</textarea>" in answer.text
    told = visitor.post("/unify/answers", ANSWERS)
    assert told.status_code == 422
    assert told.get_json()["refused"] == "BQN 0 is not the primary any more."


def test_an_answer_that_cannot_be_read_is_kept_and_told_at_its_row(unifying: Site) -> None:
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    fields = {**ANSWERS, f"edit:{UPLINK}": "uplink rate fast", "action": "compare"}
    answer = visitor.post("/unify", fields)
    assert answer.status_code == 422
    assert "Your answers are kept. 1 row has an error to correct." in answer.text
    assert "found `fast`" in answer.text
    assert waiting(unifying).answers[UPLINK] == Edit("uplink rate fast")
    assert visitor.get("/unify/compare").status_code == 422


def test_all_open_rows_can_be_answered_at_once(unifying: Site) -> None:
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    fields = {f"take:{HOURS}": "joiner", "action": "open-rows-cluster"}
    visitor.post("/unify", fields)
    assert waiting(unifying).open_rows == ()
    assert waiting(unifying).answers[HOURS] == Take("joiner")
    assert waiting(unifying).answers[CLOCK] == Take("cluster")


def test_comparing_and_committing_are_refused_while_a_row_is_open(unifying: Site) -> None:
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    head = unifying.desk.history(limit=1)[0].id
    almost = {k: v for k, v in ANSWERS.items() if DOS not in k}
    answer = visitor.post("/unify", {**almost, "action": "compare"})
    assert answer.status_code == 422
    assert "1 row is still open" in answer.text
    page = visitor.get("/unify/compare")
    assert page.status_code == 422
    assert "Commit the unification" not in page.text
    answer = visitor.post("/unify/commit", {"message": "x", "request_id": "r"})
    assert answer.status_code == 422
    assert "still open" in answer.text
    assert unifying.desk.history(limit=1)[0].id == head


def test_the_effect_is_shown_before_the_commit(unifying: Site) -> None:
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    answer = visitor.post("/unify", {**ANSWERS, "action": "compare"})
    assert answer.location == "/unify/compare"
    page = visitor.get("/unify/compare").text
    assert "on BQN 0 and BQN 1" in page
    assert "Unify BQN 2 (bqn2) with the cluster" in page
    assert "common/policy/rate/rate-20Mbps.conf" in page
    assert "Added with BQN 2" in page
    assert "common/dos.conf" not in page


def test_the_effect_can_be_saved_as_a_text(unifying: Site) -> None:
    visitor = unifying.visitor(Role.VIEWER)
    assert visitor.get("/unify/compare/patch").text == ""
    answered(unifying)
    saved = visitor.get("/unify/compare/patch")
    assert saved.headers["Content-Disposition"].endswith('"unification.patch"')
    assert "diff --git a/common/" in saved.text


def test_a_commit_makes_the_cluster_complete_and_the_same_request_is_done_once(
    unifying: Site,
) -> None:
    answered(unifying)
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    before = len(unifying.desk.history())
    fields = {"message": "Unify BQN 2", "request_id": "r-1", **shown_to(visitor)}
    assert visitor.post("/unify/commit", fields).location == "/cluster"
    assert visitor.post("/unify/commit", fields).location == "/cluster"
    assert len(unifying.desk.history()) == before + 1
    page = visitor.get("/cluster").text
    assert "Committed on BQN 0." in page
    assert "BQN 2" in page
    tree = {b.path: b.text for b in unifying.desk.configuration(ADMINISTRATOR).blocks}
    assert "hours 18:00-24:00" in tree["common/profile/time/peak-time.conf"]
    assert "servers/2/hostname.conf" in tree


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"message": " \r\n", "request_id": "r"}, "Write a message"),
        ({"message": "Unify"}, "The form was incomplete"),
    ],
)
def test_a_commit_without_a_message_or_a_request_is_refused(
    unifying: Site, fields: dict[str, str], sentence: str
) -> None:
    answered(unifying)
    answer = unifying.visitor(Role.ADMINISTRATOR).post("/unify/commit", fields)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert unifying.desk.unification() is not None


def test_a_refused_commit_keeps_message_and_request(unifying: Site) -> None:
    answered(unifying)
    visitor = unifying.visitor(Role.ADMINISTRATOR)
    unifying.desk.refusal = "The disk is full."
    fields = {"message": "My <own> words", "request_id": "r-7", **shown_to(visitor)}
    answer = visitor.post("/unify/commit", fields)
    assert answer.status_code == 422
    assert "The disk is full." in answer.text
    assert "My &lt;own&gt; words" in answer.text
    assert 'name="request_id" value="r-7"' in answer.text


def test_an_error_in_the_result_forbids_the_commit(unifying: Site) -> None:
    answered(unifying)
    rule = RowId("common/rules/rate.conf|rule access plan-100M")
    now = waiting(unifying)
    edited = {**now.answers, rule: Edit("rule access plan-100M policy no-such-policy")}
    unifying.desk.answer(ADMINISTRATOR, edited, now.acknowledged)
    page = unifying.visitor(Role.ADMINISTRATOR).get("/unify/compare").text
    assert "Errors forbid the commit" in page
    assert "no-such-policy" in page
    assert re.search(r"<button[^>]*disabled", page)


def many(desk: FakeDesk, count: int) -> FakeDesk:
    """The same question `count` times over."""
    now = desk.unification()
    assert now is not None
    first = now.proposal.rows[0]
    rows = tuple(
        replace(first, id=RowId(f"{first.path}|k{n}"), key=f"downlink rate {n}")
        for n in range(count)
    )
    proposal = replace(now.proposal, rows=rows + now.proposal.rows)
    desk.unifying_now = replace(now, proposal=proposal, open_rows=tuple(r.id for r in rows))
    return desk


def test_thousands_of_rows_are_cut_into_pages_of_one_form_each(open_site: OpenSite) -> None:
    site = open_site(many(FakeDesk.unifying(), 5_000))
    visitor = site.visitor(Role.ADMINISTRATOR)
    page = visitor.get("/unify").text
    assert "5,000 of 5,005 open" in page
    assert "1 of 5,003" in page
    assert "On this page: 1 to 100." in page
    assert page.count('<fieldset class="ask') == 100
    assert len(page) < 500_000
    assert "servers/2/wire.conf" not in page
    last = visitor.get("/unify?page=999").text
    assert "Page 51 of 51" in last
    assert "servers/2/wire.conf" in last
    assert 'href="/unify#row-1">next open row (page 1)</a>' in last


def test_answers_of_a_page_are_kept_on_the_way_to_another_one(open_site: OpenSite) -> None:
    site = open_site(many(FakeDesk.unifying(), 250))
    visitor = site.visitor(Role.ADMINISTRATOR)
    ids = [row.id for row in waiting(site).proposal.rows]
    here = {f"take:{row}": "cluster" for row in ids[100:200]}
    answer = visitor.post("/unify", {**here, "page": "2", "action": "page-3"})
    assert answer.location == "/unify?page=3"
    assert "155 rows are still open." in visitor.get("/unify?page=3").text
    answer = visitor.post("/unify", {f"take:{ids[249]}": "cluster", "page": "3", "action": "save"})
    assert answer.location == "/unify?page=3"
    assert waiting(site).answers.keys() == {*ids[100:200], ids[249]}
    told = visitor.post("/unify/answers", {f"take:{ids[248]}": "cluster", "page": "3"}).get_json()
    assert told["open"] == [*range(201, 249), *range(251, 256)]
    assert "#row-201" in told["status"]


def test_what_stops_the_way_on_is_shown_on_its_page(open_site: OpenSite) -> None:
    site = open_site(many(FakeDesk.unifying(), 250))
    visitor = site.visitor(Role.ADMINISTRATOR)
    ids = [row.id for row in waiting(site).proposal.rows]
    taken = {f"take:{row}": "cluster" for row in ids[:150]}
    answer = visitor.post("/unify", {**taken, "page": "3", "action": "compare"})
    assert answer.status_code == 422
    assert "105 rows are still open." in answer.text
    assert "Page 3 of 4" in answer.text
    answer = visitor.post("/unify", {"page": "1", "action": "compare"})
    assert "Page 2 of 4" in answer.text
    wrong = {f"take:{UPLINK}": "edit", f"edit:{UPLINK}": "uplink rate fast", "page": "1"}
    assert visitor.post("/unify", {**wrong, "action": "page-2"}).status_code == 303
    answer = visitor.post("/unify", {"page": "1", "action": "save"})
    assert answer.status_code == 422
    assert "1 row has an error to correct." in answer.text
    assert "Page 3 of 4" in answer.text


def test_who_only_looks_turns_pages_by_links(open_site: OpenSite) -> None:
    page = open_site(many(FakeDesk.unifying(), 250)).visitor(Role.VIEWER).get("/unify?page=2").text
    assert 'rel="prev" href="/unify?page=1"' in page
    assert 'rel="next" href="/unify?page=3"' in page
    assert "Save, next page" not in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_pages_are_accessible_and_fit(
    unifying: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    with visit(browser, unifying, width=width, theme=theme) as page:
        page.goto("/unify")
        _choose(page, UPLINK, "edit")
        assert_accessible(page)
        assert_fits(page)
        answered(unifying)
        page.goto("/unify/compare")
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_pages_are_turned_with_the_answers_given_so_far(
    open_site: OpenSite, browser: Browser, width: Width, theme: Theme
) -> None:
    site = open_site(many(FakeDesk.unifying(), 102))
    with visit(browser, site, width=width, theme=theme) as page:
        page.goto("/unify?page=2")
        assert_accessible(page)
        assert_fits(page)
        row = waiting(site).proposal.rows[101].id
        _choose(page, row, "cluster")
        page.get_by_role("button", name="Save and show page before").click()
        notice = page.locator(".notice-success")
        expect(notice).to_contain_text("Your answers are saved. 106 rows are still open.")
        expect(notice).to_be_focused()
        assert waiting(site).answers == {row: Take("cluster")}


def _choose(page: Page, row: RowId, value: str) -> None:
    page.locator(f'input[name="take:{row}"][value="{value}"]').check()


@pytest.mark.browser
def test_answers_survive_a_reload_without_being_saved_by_hand(
    unifying: Site, browser: Browser
) -> None:
    with visit(browser, unifying) as page:
        page.goto("/unify")
        _choose(page, HOURS, "joiner")
        expect(page.locator("#unify-status")).to_contain_text("4 of 5 open")
        _choose(page, UPLINK, "edit")
        text = page.locator(f'textarea[name="edit:{UPLINK}"]')
        text.fill("uplink rate banana")
        expect(page.locator("#unify-status")).to_contain_text("problems in 1 row")
        expect(page.get_by_text("found `banana`")).to_be_visible()
        page.reload()
        expect(page.locator(f'input[name="take:{HOURS}"][value="joiner"]')).to_be_checked()
        expect(text).to_have_value("uplink rate banana")
        text.fill("uplink rate 4500")
        expect(page.locator("#unify-status")).not_to_contain_text("problems")
        expect(page.get_by_text("found `banana`")).to_be_hidden()


@pytest.mark.browser
def test_everything_is_reached_by_keyboard(unifying: Site, browser: Browser) -> None:
    with visit(browser, unifying) as page:
        page.goto("/unify")
        page.locator("#next-open").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        expect(page.locator("#unify-status")).to_contain_text("4 of 5 open")
        expect(page.locator("#next-open")).to_be_visible()


@pytest.mark.browser
def test_a_unification_is_answered_and_committed_without_javascript(
    unifying: Site, browser: Browser
) -> None:
    with visit(browser, unifying, javascript=False, allow=(422,)) as page:
        page.goto("/unify")
        for row in (HOURS, DOWNLINK, UPLINK):
            _choose(page, row, "joiner")
        _choose(page, CLOCK, "proposal")
        page.get_by_role("button", name="Compare and commit").click()
        expect(page.get_by_text("1 row is still open")).to_be_visible()
        _choose(page, DOS, "cluster")
        page.get_by_role("button", name="Compare and commit").click()
        page.get_by_role("button", name="Commit the unification").click()
        expect(page.get_by_text("Committed on BQN 0.")).to_be_visible()
        assert unifying.desk.unification() is None


def test_an_effect_that_was_not_shown_is_not_committed(unifying: Site) -> None:
    answered(unifying)
    visitor, head = unifying.visitor(Role.ADMINISTRATOR), unifying.desk.history(limit=1)[0].id
    fields = {"message": "Unify BQN 2", "request_id": "r-1"}
    stale = shown_to(visitor)
    now = waiting(unifying)
    # In another window, after the effect was shown in this one.
    unifying.desk.answer(ADMINISTRATOR, {**now.answers, HOURS: Take("cluster")}, now.acknowledged)
    for shown in (stale, {}):
        answer = visitor.post("/unify/commit", {**fields, **shown})
        assert answer.status_code == 422
        assert "not what this page showed" in answer.text
        assert 'name="request_id" value="r-1"' in answer.text
    assert unifying.desk.history(limit=1)[0].id == head
    assert visitor.post("/unify/commit", {**fields, **shown_to(visitor)}).location == "/cluster"
    tree = {b.path: b.text for b in unifying.desk.configuration(ADMINISTRATOR).blocks}
    assert "hours 19:00-23:00" in tree["common/profile/time/peak-time.conf"]
