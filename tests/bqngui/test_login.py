"""Logging in, staying logged in, and being logged out."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, expect

from bqngui import local_admin
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import ADMINISTRATOR
from tests.support.site import NAMES, PASSWORD, Site, Visitor, password_hash

WRONG = "not the right password"


def test_a_right_password_opens_the_page_that_was_asked_for(site: Site) -> None:
    visitor = site.visitor()
    sent_away = visitor.get("/account/password?x=1")
    assert (sent_away.status_code, sent_away.location) == (
        303,
        "/login?next=/account/password?x%3D1",
    )
    answer = visitor.log_in("admin", PASSWORD, next="/account/password?x=1")
    assert (answer.status_code, answer.location) == (303, "/account/password?x=1")
    assert visitor.get("/account/password").status_code == 200
    assert [(e.person, e.action, e.result) for e in site.desk.audited] == [
        ("admin", "login", "done")
    ]


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "evil", "/a\nb", ""]
)
def test_a_login_never_leads_to_another_site(site: Site, target: str) -> None:
    assert site.visitor().log_in("admin", PASSWORD, next=target).location == "/"


def test_a_user_of_the_configuration_logs_in_with_the_role_of_the_block(site: Site) -> None:
    name = site.account(Role.VIEWER)
    visitor = site.visitor()
    assert visitor.log_in(name, PASSWORD).status_code == 303
    page = visitor.get("/account/password")
    assert "vera, viewer" in page.text
    assert visitor.get("/audit").status_code == 403


def test_wrong_name_and_wrong_password_get_the_same_answer(site: Site) -> None:
    visitor = site.visitor()
    known = visitor.log_in("admin", WRONG)
    unknown = visitor.log_in("nobody", WRONG)
    assert known.status_code == unknown.status_code == 401
    assert "Name or password is wrong." in known.text
    assert known.text.replace("admin", "nobody").count("<") == unknown.text.count("<")
    # A name that is not an account may be a password in the wrong field: it is not kept.
    assert [e.person for e in site.desk.audited] == ["admin", "unknown"]


def test_known_and_unknown_names_take_the_same_work(site: Site) -> None:
    visitor = site.visitor()
    visitor.get("/login")

    def work_s(name: str) -> float:
        begun = time.thread_time()
        visitor.post("/login", {"name": name, "password": WRONG})
        worked = time.thread_time() - begun
        site.shell.attempts.right(name, "127.0.0.1")
        return worked

    known = min(work_s("admin") for _ in range(8))
    unknown = min(work_s("nobody") for _ in range(8))
    assert 0.7 < known / unknown < 1.4


def test_five_wrong_passwords_are_free_and_then_one_waits(site: Site) -> None:
    visitor = site.visitor()
    assert [visitor.log_in("admin", WRONG).status_code for _ in range(4)] == [401] * 4
    fifth = visitor.log_in("admin", WRONG)
    assert fifth.status_code == 429
    assert 28 <= int(fifth.headers["Retry-After"]) <= 30
    assert "Too many wrong passwords" in fifth.text
    # Also the right one is not looked at now.
    assert visitor.log_in("admin", PASSWORD).status_code == 429
    assert visitor.log_in(site.account(Role.VIEWER), PASSWORD).status_code == 303


def test_passwords_sent_side_by_side_are_not_looked_at_more_often(site: Site) -> None:
    visitors = [site.visitor() for _ in range(12)]
    for visitor in visitors:
        visitor.get("/login")
    together = threading.Barrier(len(visitors))

    def guess(visitor: Visitor) -> int:
        together.wait(60)
        return visitor.log_in("admin", WRONG).status_code

    with ThreadPoolExecutor(len(visitors)) as pool:
        answers = list(pool.map(guess, visitors))
    assert set(answers) <= {401, 429}
    assert [one.result for one in site.desk.audited] == ["refused: wrong name or password"] * 5


def test_a_stranger_elsewhere_does_not_keep_a_person_out(site: Site) -> None:
    stranger = site.visitor()
    stranger.client.environ_base["REMOTE_ADDR"] = "198.51.100.7"
    assert [stranger.log_in("admin", WRONG).status_code for _ in range(6)] == [401] * 4 + [429] * 2
    assert site.visitor().log_in("admin", PASSWORD).status_code == 303


def test_a_name_without_password_hash_cannot_log_in(site: Site) -> None:
    site.desk.put_user(ADMINISTRATOR, "vera", Role.VIEWER, None, "r1")
    assert site.visitor().log_in("vera", "").status_code == 401


def test_the_token_changes_at_login_and_at_logout(site: Site) -> None:
    visitor = site.visitor()
    visitor.get("/login")
    before = visitor.token
    visitor.log_in("admin", PASSWORD)
    during = visitor.token
    assert during != before
    assert visitor.post("/logout").location == "/login"
    assert visitor.token not in {before, during}
    stolen = site.visitor()
    stolen.client.set_cookie(site.settings.cookie_name, during, domain="localhost", secure=True)
    assert stolen.get("/account/password").location.startswith("/login")


def test_the_cookie_is_for_this_host_over_https_and_hidden_from_scripts(site: Site) -> None:
    cookies = site.visitor().log_in("admin", PASSWORD).headers.getlist("Set-Cookie")
    assert len(cookies) == 1
    name_and_value, *attributes = cookies[0].split("; ")
    assert name_and_value.startswith("__Host-bqn-0=")
    assert set(attributes) == {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"}


def test_assets_set_no_cookie(site: Site) -> None:
    with site.app.test_request_context(base_url="https://localhost"):
        url = site.app.jinja_env.globals["asset"]("app.css")  # type: ignore[operator]
    answer = site.visitor().get(url)
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")


def test_a_session_ends_when_the_role_changes(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    assert visitor.get("/account/password").status_code == 200
    site.desk.put_user(ADMINISTRATOR, "otto", Role.VIEWER, None, "r1")
    site.desk.hashes["otto"] = password_hash()
    answer = visitor.get("/account/password")
    assert answer.status_code == 303
    assert "ended=1" in answer.location
    assert "The session has ended" in visitor.get(answer.location).text


def test_a_session_ends_when_the_password_changes(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    site.desk.hashes["otto"] = site.shell.passwords.hashed("an entirely different one")
    assert visitor.get("/account/password").status_code == 303


def test_a_session_ends_when_the_account_goes(site: Site) -> None:
    visitor = site.administrator()
    (site.settings.state_dir / "local_admin.json").unlink()
    assert visitor.get("/account/password").status_code == 303


def test_a_script_is_told_that_the_session_ended(site: Site) -> None:
    answer = site.visitor().client.get(
        "/audit", base_url="https://localhost", headers={"BQN-Background": "1"}
    )
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["sentence"] == "The session has ended. Log in again."


def test_the_one_time_code_only_opens_the_page_for_a_password(open_site: OpenSite) -> None:
    site = open_site()
    code = local_admin.create(site.settings.state_dir)
    visitor = site.visitor()
    assert visitor.log_in("admin", code).location == "/account/password"
    assert visitor.get("/audit").location == "/account/password"
    page = visitor.get("/account/password").text
    assert "Set a password" in page
    assert "Audit log" not in page  # no menu yet: every page would lead back here
    answer = visitor.post("/account/password", {"new": PASSWORD, "again": PASSWORD})
    assert answer.status_code == 303
    assert visitor.get("/audit").status_code == 200
    assert site.visitor().log_in("admin", code).status_code == 401
    assert site.visitor().log_in("admin", PASSWORD).status_code == 303


def test_the_local_administrator_gets_in_when_the_configuration_is_broken(site: Site) -> None:
    site.desk.view = replace(site.desk.view, state="degraded", state_sentence="broken")
    assert site.visitor().log_in("admin", PASSWORD).status_code == 303


def test_a_second_login_page_is_not_shown_to_somebody_who_is_in(site: Site) -> None:
    assert site.administrator().get("/login?next=/audit").location == "/audit"


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_login_page_is_usable_and_quiet(
    browser: Browser, site: Site, width: Width, theme: Theme
) -> None:
    with visit(browser, site, role=None, width=width, theme=theme) as page:
        page.goto("/login")
        expect(page.get_by_label("User name")).to_be_focused()
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.browser
def test_a_person_logs_in_and_out_by_keyboard_without_javascript(
    browser: Browser, site: Site
) -> None:
    site.account(Role.VIEWER)
    with visit(browser, site, role=None, javascript=False, allow=[401]) as page:
        page.goto("/account/password")
        page.get_by_label("User name").fill(NAMES[Role.VIEWER])
        page.get_by_label("Password").fill(WRONG)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Change password")).to_be_visible()
        page.locator("summary", has_text="Account").press("Enter")
        page.get_by_role("button", name="Log out").press("Enter")
        expect(page.get_by_role("heading", name="bqn0: sign in to start session")).to_be_visible()
