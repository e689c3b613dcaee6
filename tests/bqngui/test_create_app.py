"""What holds for every address of the GUI, whoever wrote the page."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.routing import Rule

from bqngui.authorization import needed_role, verify_every_view_is_marked
from bqngui.headers import CONTENT_SECURITY_POLICY
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.site import Site

UNTOKENED = "git_http"
SAMPLES = {"int": "1", "string": "x", "path": "x", "default": "x"}


def address(rule: Rule) -> str:
    """An address that the rule matches."""
    return re.sub(
        r"<(?:(\w+)(?:\([^)]*\))?:)?\w+>", lambda m: SAMPLES[m[1] or "default"], rule.rule
    )


def rules(app: Flask, method: str) -> Iterator[tuple[Rule, str]]:
    for rule in app.url_map.iter_rules():
        if method in (rule.methods or ()):
            yield rule, address(rule)


def test_every_post_needs_a_form_token(site: Site) -> None:
    visitor = site.administrator()
    posts = [(r, a) for r, a in rules(site.app, "POST") if not r.endpoint.startswith(UNTOKENED)]
    assert len(posts) > 5
    for _, path in posts:
        bare = visitor.client.post(
            path, base_url="https://localhost", data={}, headers={"Accept": "text/html"}
        )
        assert bare.status_code == 400, path
        assert "does not belong to this session" in bare.text
        foreign = visitor.post(path, {"csrf_token": site.administrator().form_token})
        assert foreign.status_code == 400, path


def test_nothing_is_changed_by_a_page_of_another_site(site: Site) -> None:
    visitor = site.administrator()
    for _, path in rules(site.app, "POST"):
        for hint in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "https://localhost:8441"},
        ):
            answer = visitor.post(path, headers={"Accept": "text/html", **hint})
            assert answer.status_code == 403, (path, hint)


def test_the_own_origin_is_let_through(site: Site) -> None:
    answer = site.administrator().post("/logout", headers={"Origin": "https://localhost"})
    assert answer.status_code == 303


@pytest.mark.parametrize("role", [None, *Role])
def test_every_address_asks_for_its_role(open_site: OpenSite, role: Role | None) -> None:
    site = open_site()
    visitor = site.visitor(role)
    if role is None:
        visitor.get("/login")
    for method in ("GET", "POST"):
        for rule, path in rules(site.app, method):
            needed = needed_role(site.app, rule.endpoint)
            if needed is None or (role is not None and role.includes(needed)):
                continue
            polled = getattr(site.app.view_functions[rule.endpoint], "background", False)
            answer = visitor.get(path) if method == "GET" else visitor.post(path)
            if role is None and polled:
                assert answer.status_code == 401, path
            elif role is None:
                assert answer.status_code == 303, path
                assert answer.location.startswith("/login?"), path
            else:
                assert answer.status_code == 403, path
                assert f"needs the role {needed.value}" in answer.text, path


def test_a_refusal_is_written_down(site: Site) -> None:
    site.visitor(Role.VIEWER).get("/audit")
    entry = site.desk.audited[-1]
    assert (entry.person, entry.action) == ("vera", "GET /audit")
    assert entry.result == "refused: needs administrator"


def test_every_answer_carries_the_headers(site: Site) -> None:
    visitor = site.administrator()
    paths = [path for _, path in rules(site.app, "GET")]
    answers = [visitor.get(path) for path in [*paths, "/nothing/here", "/favicon.ico"]]
    answers.append(visitor.client.post("/login", base_url="https://localhost"))
    answers.append(visitor.client.delete("/login", base_url="https://localhost"))
    assert {answer.status_code for answer in answers} >= {200, 303, 400, 403, 404, 405}
    for answer in answers:
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Strict-Transport-Security" not in answer.headers
        if not answer.request.path.startswith(("/assets/", "/favicon", "/git/")):
            assert answer.headers["Cache-Control"] == "no-store", answer.request.path


def test_only_the_named_hosts_are_served(open_site: OpenSite) -> None:
    site = open_site(trusted_hosts=("bqn0.example", "192.0.2.1"))
    client = site.app.test_client()
    for host, status in (("bqn0.example", 200), ("192.0.2.1:8443", 200), ("evil.example", 400)):
        answer = client.get("/login", base_url=f"https://{host}", headers={"Accept": "text/html"})
        assert answer.status_code == status, host
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_a_view_without_a_role_stops_the_start() -> None:
    app = Flask(__name__)
    app.add_url_rule("/oops", "oops", lambda: "open to all")
    with pytest.raises(RuntimeError, match="oops"):
        verify_every_view_is_marked(app)


def test_a_configuration_of_sixteen_mebibytes_fits_into_a_form(site: Site) -> None:
    visitor = site.administrator()
    sixteen = "x" * (16 * 1024 * 1024)
    assert visitor.post("/account/password", {"filler": sixteen}).status_code == 422
    answer = visitor.post("/account/password", {"filler": sixteen + "x" * (5 * 1024 * 1024)})
    assert answer.status_code == 413
