"""Users, their roles, passwords and tokens: for administrators only."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.site import Site

GOOD = "seven green bicycles"
KEY_PATHS = ("user/ssh-key", "user/ssh-key/remove")


def user_names(site: Site) -> set[str]:
    return {user.name for user in site.desk.users()}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_an_administrator_sees_or_changes_users(site: Site, role: Role) -> None:
    visitor = site.visitor(role)
    for path in ("/users", "/users/user?name=noc"):
        assert visitor.get(path).status_code == 403
    for part in (
        "add",
        "user/role",
        "user/password",
        "user/token",
        "user/token/revoke",
        *KEY_PATHS,
    ):
        fields = {"name": "noc", "role": "administrator", "new": GOOD, "again": GOOD}
        assert visitor.post(f"/users/{part}", fields).status_code == 403


def test_the_list_shows_roles_and_who_can_log_in(site: Site) -> None:
    site.account(Role.OPERATOR)
    page = site.administrator().get("/users").text
    for words in ("noc", "audit", "otto", "operator", "none: no password", "with a password"):
        assert words in page


def test_a_user_is_added_with_a_hash_and_never_with_the_password(site: Site) -> None:
    visitor = site.administrator()
    fields = {"name": "olga", "role": "operator", "new": GOOD, "again": GOOD, "request_id": "r1"}
    answer = visitor.post("/users/add", fields)
    assert answer.location == "/users/user?name=olga"
    repeated = visitor.post("/users/add", fields)
    assert repeated.location == answer.location
    assert "already saved" in visitor.get(repeated.location).text
    account = site.desk.account("olga")
    assert account is not None
    assert account.role is Role.OPERATOR
    assert site.shell.passwords.agrees(account.password_hash, GOOD)
    assert (account.password_hash or "").startswith("$argon2id$")
    assert site.visitor().log_in("olga", GOOD).status_code == 303


def test_a_user_without_a_password_can_be_added_for_tokens(site: Site) -> None:
    answer = site.administrator().post("/users/add", {"name": "robot", "role": "viewer"})
    assert answer.status_code == 303
    account = site.desk.account("robot")
    assert account is not None
    assert account.password_hash is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "", "new": GOOD, "again": GOOD}, "A name has"),
        ({"name": "two words", "new": GOOD, "again": GOOD}, "A name has"),
        ({"name": "../noc", "new": GOOD, "again": GOOD}, "A name has"),
        ({"name": "NOC", "new": GOOD, "again": GOOD}, "already"),
        ({"name": "olga", "new": "short", "again": "short"}, "at least 12 characters"),
        ({"name": "olga", "new": GOOD, "again": GOOD + "x"}, "differ"),
    ],
)
def test_what_is_wrong_with_a_new_user_is_told_and_the_input_kept(
    site: Site, fields: dict[str, str], sentence: str
) -> None:
    before = user_names(site)
    answer = site.administrator().post("/users/add", {"role": "operator", **fields})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert '<option value="operator" selected>' in answer.text
    assert GOOD not in answer.text
    assert user_names(site) == before


def test_a_new_role_and_a_new_password_are_commits(site: Site) -> None:
    visitor = site.administrator()
    visitor.post("/users/user/role", {"name": "noc", "role": "administrator"})
    visitor.post("/users/user/password", {"name": "noc", "new": GOOD, "again": GOOD})
    account = site.desk.account("noc")
    assert account is not None
    assert account.role is Role.ADMINISTRATOR
    assert site.shell.passwords.agrees(account.password_hash, GOOD)
    assert [r.author for r in site.desk.history(limit=2)] == ["admin", "admin"]


def test_a_role_that_does_not_exist_and_an_unknown_user_are_refused(site: Site) -> None:
    visitor = site.administrator()
    answer = visitor.post("/users/user/role", {"name": "noc", "role": "root"})
    assert answer.status_code == 400
    assert visitor.get("/users/user?name=nobody").status_code == 404


def test_a_token_is_shown_once_with_the_exact_command(site: Site) -> None:
    visitor = site.administrator()
    fields = {"name": "audit", "token": "laptop", "days": "30", "request_id": "t1"}
    answer = visitor.post("/users/user/token", fields)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    found = re.search(r'id="token-text">([^<]+)<', answer.text)
    assert found is not None
    account = site.desk.token_account(found[1])
    assert account is not None
    assert account.name == "audit"
    assert "https://audit@localhost/git/cluster.git" in answer.text
    assert "-connect localhost:443" in answer.text
    later = visitor.get("/users/user?name=audit").text
    assert "laptop" in later
    assert found[1] not in later
    again = visitor.post("/users/user/token", fields)
    assert again.status_code == 422
    assert "already" in again.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"token": "", "days": "30"}, "token&#39;s name"),
        ({"token": "a b", "days": "30"}, "token&#39;s name"),
        ({"token": "ok", "days": "0"}, "1 to 3650 days"),
        ({"token": "ok", "days": "99999"}, "1 to 3650 days"),
        ({"token": "ok", "days": "²"}, "1 to 3650 days"),
        ({"token": "ok", "days": "1" * 5000}, "1 to 3650 days"),
    ],
)
def test_a_bad_token_is_told(site: Site, fields: dict[str, str], sentence: str) -> None:
    answer = site.administrator().post("/users/user/token", {"name": "audit", **fields})
    assert answer.status_code == 422
    assert sentence in answer.text


def test_a_revoked_token_opens_nothing(site: Site) -> None:
    visitor = site.administrator()
    page = visitor.post("/users/user/token", {"name": "audit", "token": "t", "days": "1"}).text
    found = re.search(r'id="token-text">([^<]+)<', page)
    assert found is not None
    answer = visitor.post("/users/user/token/revoke", {"name": "audit", "token": "t"})
    assert answer.status_code == 303
    assert site.desk.token_account(found[1]) is None


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"


def keys_of(site: Site, name: str) -> list[str]:
    return [k.name for user in site.desk.users() if user.name == name for k in user.ssh_keys]


def test_an_ssh_key_is_registered_shown_by_its_fingerprint_and_removed(site: Site) -> None:
    visitor = site.administrator()
    fields = {"name": "audit", "token": "laptop", "key": f"{KEY} someone@laptop\n"}
    assert visitor.post("/users/user/ssh-key", fields).status_code == 303
    assert keys_of(site, "audit") == ["laptop"]
    assert "SHA256:" in visitor.get("/users/user?name=audit").text
    again = visitor.post("/users/user/ssh-key", fields)
    assert again.status_code == 422
    assert "already" in again.text
    visitor.post("/users/user/ssh-key/remove", {"name": "audit", "token": "laptop"})
    assert keys_of(site, "audit") == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"token": "", "key": KEY}, "key&#39;s name"),
        ({"token": "ok", "key": ""}, "begins with its type"),
        ({"token": "ok", "key": f"{KEY}\n{KEY}"}, "one key"),
        ({"token": "ok", "key": f'command="sh" {KEY}'}, "begins with its type"),
        ({"token": "ok", "key": "-----BEGIN OPENSSH PRIVATE KEY-----\nc2Vj"}, "private key"),
    ],
)
def test_what_is_no_key_is_told_and_a_private_one_not_shown_again(
    site: Site, fields: dict[str, str], sentence: str
) -> None:
    answer = site.administrator().post("/users/user/ssh-key", {"name": "audit", **fields})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert "c2Vj" not in answer.text
    assert keys_of(site, "audit") == []


def test_a_refusal_is_shown_where_it_belongs_and_the_input_is_kept(site: Site) -> None:
    site.desk.refusal = "No primary can be reached. Try again when one leads."
    visitor = site.administrator()
    answer = visitor.post("/users/add", {"name": "olga", "role": "operator"})
    assert answer.status_code == 409
    assert "No primary can be reached" in answer.text
    assert 'value="olga"' in answer.text
    assert visitor.post("/users/user/role", {"name": "noc", "role": "viewer"}).status_code == 409
    fields = {"name": "audit", "token": "t", "days": "1"}
    assert visitor.post("/users/user/token", fields).status_code == 409


def test_a_secondary_says_who_makes_the_commit(open_site: OpenSite) -> None:
    site = open_site(FakeDesk.cluster_of_three(me=2))
    assert "is a secondary" in site.administrator().get("/users").text


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_pages_are_accessible_and_fit(
    site: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    with visit(browser, site, width=width, theme=theme) as page:
        page.goto("/users")
        assert_accessible(page)
        assert_fits(page)
        page.get_by_role("link", name="Change audit").click()
        page.get_by_label("Name of a new token").fill("laptop")
        assert_accessible(page)
        assert_fits(page)
        page.get_by_role("button", name="Make token").click()
        expect(page.locator("#token-text")).to_be_visible()
        assert_accessible(page)
        assert_fits(page)
