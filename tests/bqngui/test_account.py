from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect
from werkzeug.test import TestResponse

from scheduler.views import Account, Disagreed, Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import PASSWORD, Site, Visitor

NEW = "several unrelated words"


def change(visitor: Visitor, old: str = PASSWORD, new: str = NEW, again: str = NEW) -> TestResponse:
    return visitor.post("/account/password", {"old": old, "new": new, "again": again})


def test_the_local_administrator_changes_the_password_of_this_server(site: Site) -> None:
    visitor, elsewhere = site.administrator(), site.administrator()
    before = visitor.token
    assert change(visitor).location == "/"
    assert visitor.token != before
    assert visitor.get("/account/password").status_code == 200
    assert elsewhere.get("/account/password").status_code == 303
    assert site.visitor().log_in("admin", PASSWORD).status_code == 401
    assert site.visitor().log_in("admin", NEW).status_code == 303
    assert site.desk.history()[0].subject.startswith("Factory")  # nothing of it enters Git


def test_a_user_of_the_configuration_changes_it_by_a_commit(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    commits = len(site.desk.history())
    assert change(visitor).location == "/"
    assert len(site.desk.history()) == commits + 1
    assert "The password is changed." in visitor.get("/account/password").text
    assert site.visitor().log_in("ada", NEW).status_code == 303


def test_a_form_that_is_sent_twice_changes_once(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    fields = {"old": PASSWORD, "new": NEW, "again": NEW, "request_id": "one"}
    visitor.post("/account/password", fields)
    commits = len(site.desk.history())
    visitor.post("/account/password", {**fields, "old": NEW, "new": NEW + "!", "again": NEW + "!"})
    assert len(site.desk.history()) == commits


@pytest.mark.parametrize(
    ("old", "new", "again", "words"),
    [
        ("wrong", NEW, NEW, "The old password is wrong."),
        (PASSWORD, NEW, NEW + "x", "The two new passwords differ."),
        (PASSWORD, "short", "short", "at least 12 characters"),
        (PASSWORD, "adminadmin1234", "adminadmin1234", "tried first"),
        (PASSWORD, PASSWORD, PASSWORD, "The new password is the old one."),
        (PASSWORD, "", "", "at least 12 characters"),
    ],
)
def test_a_bad_change_is_told_and_changes_nothing(
    site: Site, old: str, new: str, again: str, words: str
) -> None:
    visitor = site.administrator()
    answer = change(visitor, old, new, again)
    assert answer.status_code == 422
    assert words in answer.text
    assert site.visitor().log_in("admin", PASSWORD).status_code == 303


def test_the_old_password_cannot_be_guessed_in_an_open_session(site: Site) -> None:
    visitor = site.administrator()
    for _ in range(5):
        change(visitor, "wrong guess here")
    answer = change(visitor)
    assert (answer.status_code, "Too many wrong passwords" in answer.text) == (422, True)


def test_a_refusal_of_the_desk_is_shown(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    site.desk.refusal = "No primary can be reached."
    answer = change(visitor)
    assert (answer.status_code, "No primary can be reached." in answer.text) == (422, True)


def test_a_change_at_the_same_moment_asks_to_try_again(open_site: OpenSite) -> None:
    class Busy(FakeDesk):
        def change_own_password(self, *_: object) -> Disagreed:
            return Disagreed(())

    desk = Busy.cluster_of_three()
    site = open_site(desk)
    desk.hashes["noc"] = site.shell.passwords.hashed(PASSWORD)
    visitor = site.visitor()
    visitor.log_in("noc", PASSWORD)
    assert "at the same moment" in change(visitor).text


def test_a_session_of_a_secondary_outlives_the_way_of_the_commit_to_the_primary(
    open_site: OpenSite,
) -> None:
    class Secondary(FakeDesk):
        """The new password is seen at the third look."""

        looks = 0
        before = ""

        def account(self, name: str) -> Account | None:
            account = super().account(name)
            if account is None or account.password_hash == self.before or not self.before:
                return account
            self.looks += 1
            return replace(account, password_hash=self.before) if self.looks < 3 else account

    desk = Secondary.cluster_of_three()
    assert isinstance(desk, Secondary)
    site = open_site(desk)
    visitor = site.visitor(Role.OPERATOR)
    desk.before = desk.hashes["otto"]
    assert change(visitor).status_code == 303
    assert desk.looks >= 3
    assert visitor.get("/account/password").status_code == 200


@pytest.mark.browser
def test_a_person_changes_the_password_on_a_small_screen(browser: Browser, site: Site) -> None:
    with visit(browser, site, width=390, theme="dark") as page:
        page.goto("/account/password")
        assert_accessible(page)
        assert_fits(page)
        page.get_by_label("Old password").fill(PASSWORD)
        page.get_by_label("New password", exact=True).fill(NEW)
        page.get_by_label("New password again").fill(NEW)
        page.get_by_role("button", name="Set password").click()
        expect(
            page.get_by_role("status").filter(has_text="The password is changed.")
        ).to_be_visible()
