"""Compare, check, commit and discard: nothing unseen is committed and no input is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from configrepo.model import Problem, ServerId, Severity
from configrepo.unify import Answer, RowId
from scheduler.apply_turn import Staging
from scheduler.views import CommitOutcome, Committed, Comparison, Person, Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import NAMES, Site, Visitor

RATE = "common/policy/rate/rate-20Mbps.conf"
OTHER = Person("bea", Role.OPERATOR, "192.0.2.8")


class WarningDesk(FakeDesk):
    """A desk that finds something in every candidate, and counts the commits asked for."""

    found: tuple[Problem, ...] = ()
    asked: int = 0

    def compare(self, person: Person) -> Comparison | None:
        comparison = super().compare(person)
        return replace(comparison, problems=self.found) if comparison else None

    def commit(
        self,
        person: Person,
        message: str,
        request_id: str,
        choices: Mapping[RowId, Answer],
        staging: Staging | None = None,
    ) -> CommitOutcome:
        self.asked += 1
        return super().commit(person, message, request_id, choices, staging)


class FarDesk(FakeDesk):
    """A desk of a secondary that the commit has not reached yet."""

    def commit(
        self,
        person: Person,
        message: str,
        request_id: str,
        choices: Mapping[RowId, Answer],
        staging: Staging | None = None,
    ) -> CommitOutcome:
        return Committed("f" * 40, ServerId(0), "Saved on BQN 0. Only on this server (BQN 0).")


class CrashedDesk(FakeDesk):
    """A desk whose server was killed after a commit, before the candidate was put away."""

    def commit(
        self,
        person: Person,
        message: str,
        request_id: str,
        choices: Mapping[RowId, Answer],
        staging: Staging | None = None,
    ) -> CommitOutcome:
        kept = self._candidates[person.name]
        outcome = super().commit(person, message, request_id, choices, staging)
        self._candidates[person.name] = kept
        return outcome


def text_of(desk: FakeDesk, path: str = RATE) -> str:
    return next(b.text for b in desk.configuration(OTHER).blocks if b.path == path)


def with_candidate(site: Site, uplink: int = 5000) -> Visitor:
    """An operator whose candidate changes one rate."""
    visitor = site.visitor(Role.OPERATOR)
    text = text_of(site.desk).replace("uplink rate 4000", f"uplink rate {uplink}")
    assert visitor.post("/configuration/block", {"path": RATE, "text": text}).status_code == 303
    return visitor


def somebody_else_commits(desk: FakeDesk, uplink: int) -> None:
    text = text_of(desk).replace("uplink rate 4000", f"uplink rate {uplink}")
    desk.edit(OTHER, RATE, text)
    desk.commit(OTHER, "Another rate", f"other-{uplink}", {})


def fields(page: str) -> dict[str, str]:
    """The hidden fields of the commit form."""
    found = re.findall(r'name="(request_id|shown|choice-\d+-row)" value="([^"]*)"', page)
    assert found, page
    return dict(found)


def test_the_comparison_shows_each_block_and_the_servers_that_change(site: Site) -> None:
    page = with_candidate(site).get("/candidate/compare").text
    assert "policy rate rate-20Mbps" in page
    assert '<span class="visually-hidden">removed: </span>' in page
    assert '<span class="visually-hidden">added: </span>' in page
    assert "<ins>5000</ins>" in page
    for words in ("BQN 0 (bqn0)", "BQN 1 (bqn1)", "BQN 2 (bqn2)"):
        assert words in page


def test_a_block_of_one_server_changes_only_that_server(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    path = "servers/1/hostname.conf"
    visitor.post("/configuration/block", {"path": path, "text": "hostname west\n"})
    page = visitor.get("/candidate/compare").text
    assert 'aria-hidden="true"></i> BQN 1 (bqn1)</span>' in page
    assert 'aria-hidden="true"></i> BQN 2 (bqn2)</span>' not in page


def test_a_commit_leads_to_its_revision_and_a_second_sending_is_already_saved(site: Site) -> None:
    visitor = with_candidate(site)
    sent = fields(visitor.get("/candidate/compare").text) | {"message": "Faster\r\n\r\nAsked for."}
    first = visitor.post("/candidate/commit", sent)
    second = visitor.post("/candidate/commit", sent)
    assert first.location == second.location
    assert "already saved" in visitor.get(second.location).text
    newest = site.desk.history(limit=1)[0]
    assert (newest.subject, newest.body, newest.author) == ("Faster", "Asked for.", "otto")
    assert "uplink rate 5000" in text_of(site.desk)


def test_a_commit_that_has_not_arrived_yet_is_told_on_the_list_of_all(open_site: OpenSite) -> None:
    site = open_site(FarDesk.cluster_of_three())
    visitor = with_candidate(site)
    sent = fields(visitor.get("/candidate/compare").text) | {"message": "Faster"}
    answer = visitor.post("/candidate/commit", sent)
    assert (answer.status_code, answer.location) == (303, "/history")
    assert "Only on this server (BQN 0)" in visitor.get(answer.location).text


def test_a_form_that_was_committed_just_before_a_crash_is_already_saved(
    open_site: OpenSite,
) -> None:
    visitor = with_candidate(open_site(CrashedDesk.cluster_of_three()))
    sent = fields(visitor.get("/candidate/compare").text) | {"message": "Faster"}
    first = visitor.post("/candidate/commit", sent)
    second = visitor.post("/candidate/commit", sent)
    assert (second.status_code, second.location) == (303, first.location)
    assert "already saved" in visitor.get(second.location).text


def test_a_commit_needs_a_message(site: Site) -> None:
    visitor = with_candidate(site)
    sent = fields(visitor.get("/candidate/compare").text)
    answer = visitor.post("/candidate/commit", sent | {"message": " \n "})
    assert answer.status_code == 422
    assert "Write a message" in answer.text
    assert sent["request_id"] in answer.text


def test_a_refusal_keeps_the_message_the_candidate_and_the_request(site: Site) -> None:
    visitor = with_candidate(site)
    sent = fields(visitor.get("/candidate/compare").text) | {"message": "Faster for <all>"}
    site.desk.refusal = "No primary can be reached. Try again when one leads."
    answer = visitor.post("/candidate/commit", sent)
    assert answer.status_code == 409
    assert "No primary can be reached" in answer.text
    assert "Faster for &lt;all&gt;</textarea>" in answer.text
    assert fields(answer.text)["request_id"] == sent["request_id"]
    site.desk.refusal = None
    assert visitor.post("/candidate/commit", sent).status_code == 303


def test_what_was_not_seen_is_not_committed(open_site: OpenSite) -> None:
    desk = WarningDesk.cluster_of_three()
    visitor = with_candidate(open_site(desk))
    sent = fields(visitor.get("/candidate/compare").text) | {"message": "Faster"}
    visitor.post("/configuration/remove", {"path": "common/ntp.conf"})
    answer = visitor.post("/candidate/commit", sent)
    assert answer.status_code == 422
    assert "not what this page showed" in answer.text
    assert isinstance(desk, WarningDesk)
    assert desk.asked == 0


def test_an_error_forbids_the_commit_and_a_warning_does_not(open_site: OpenSite) -> None:
    desk = WarningDesk.cluster_of_three()
    assert isinstance(desk, WarningDesk)
    visitor = with_candidate(open_site(desk))
    desk.found = (Problem(Severity.WARNING, 0, 0, "Two profiles overlap.", RATE, "rule"),)
    page = visitor.get("/candidate/compare").text
    assert "Two profiles overlap." in page
    assert "disabled" not in page
    assert "can be committed" in visitor.get("/candidate/check").text
    desk.found = (Problem(Severity.ERROR, 0, 0, "There is no policy of that name.", RATE),)
    page = visitor.get("/candidate/compare").text
    assert "Errors forbid the commit" in page
    assert "disabled" in page
    assert "cannot be committed" in visitor.get("/candidate/check").text


def test_the_check_of_nothing_says_so(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    assert "You have no candidate" in visitor.get("/candidate/check").text
    assert "changes nothing" in visitor.get("/candidate/compare").text


def test_a_disagreement_is_asked_and_the_choice_is_committed(site: Site) -> None:
    visitor = with_candidate(site, 5000)
    somebody_else_commits(site.desk, 6000)
    page = visitor.get("/candidate/compare").text
    assert "Keep what is committed now" in page
    sent = fields(page) | {"message": "Faster"}
    open_question = visitor.post("/candidate/commit", sent)
    assert open_question.status_code == 409
    assert "Choose below" in open_question.text
    answer = visitor.post("/candidate/commit", sent | {"choice-1": "joiner"})
    assert answer.status_code == 303
    assert "uplink rate 5000" in text_of(site.desk)


def test_a_disagreement_can_be_settled_with_another_text(site: Site) -> None:
    visitor = with_candidate(site, 5000)
    somebody_else_commits(site.desk, 6000)
    sent = fields(visitor.get("/candidate/compare").text) | {"message": "Faster"}
    other = text_of(site.desk).replace("6000", "5500")
    choice = {"choice-1": "edit", "text-1": other}
    assert visitor.post("/candidate/commit", sent | choice).status_code == 303
    assert "uplink rate 5500" in text_of(site.desk)


def test_one_change_can_be_dropped_or_all_of_them(site: Site) -> None:
    visitor = with_candidate(site)
    visitor.post("/configuration/remove", {"path": "common/ntp.conf"})
    answer = visitor.post("/candidate/discard", {"path": RATE, "back": "compare"})
    assert answer.location == "/candidate/compare"
    assert "1 change</strong>" in visitor.get("/configuration").text
    assert visitor.post("/candidate/discard").location == "/configuration"
    assert "in your candidate" not in visitor.get("/configuration").text


def test_without_a_primary_the_page_says_so_and_edits_are_kept(site: Site) -> None:
    visitor = with_candidate(site)
    site.desk.view = replace(site.desk.view, read_only_reason="No primary can be reached.")
    page = visitor.get("/candidate/compare").text
    assert "No primary can be reached." in page
    assert "kept in your candidate" in page


def test_a_viewer_compares_but_does_not_commit_or_discard(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    assert visitor.get("/candidate/compare").status_code == 200
    assert visitor.post("/candidate/commit", {"message": "x"}).status_code == 403
    assert visitor.post("/candidate/discard").status_code == 403


def test_each_person_has_an_own_candidate(site: Site) -> None:
    with_candidate(site)
    assert "in your candidate" not in site.administrator().get("/configuration").text
    assert site.desk.candidate(Person(NAMES[Role.OPERATOR], Role.OPERATOR)) is not None


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_the_pages_are_accessible_and_fit(
    site: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    with_candidate(site)
    somebody_else_commits(site.desk, 6000)
    with visit(browser, site, role=Role.OPERATOR, width=width, theme=theme) as page:
        for path in ("/candidate/check", "/candidate/compare"):
            page.goto(path)
            assert_accessible(page)
            assert_fits(page)
        page.get_by_label("Another value").check()
        expect(page.get_by_label(re.compile("^The other value"))).to_be_visible()
        page.get_by_text("Discard…").click()
        expect(page.get_by_role("button", name="Discard the candidate")).to_be_visible()
        assert_accessible(page)
