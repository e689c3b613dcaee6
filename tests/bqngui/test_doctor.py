"""The page of the connectivity doctor: one button, progress, causes with rules, a matrix."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect

from bqngui.doctor import cause_badge, doctor_page
from configrepo.model import ServerId
from scheduler import causes
from scheduler.findings import Finding, Standpoint
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.fake_doctor import NOW, OK, FakeDoctor
from tests.support.site import Site

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def broken(site: Site) -> Site:
    """Three servers with a firewall, a wrong key and a wrong clock between them."""
    doctor = site.desk.doctor
    doctor.found[0, 1] = (Finding("filtered", 4000), OK)
    doctor.found[2, 1] = (OK, Finding("wrong key", 30))
    doctor.found[1, 2] = (Finding("clock far off", 3, "its clock differs by 60 min"), OK)
    doctor.finish()
    return site


def test_before_the_first_run_the_page_says_so(site: Site) -> None:
    page = site.administrator().get("/doctor").text
    assert "The servers were not tried yet." in page
    assert "Try all pairs" in page


def test_a_run_shows_its_progress_and_can_be_cancelled(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    assert visitor.post("/doctor/start").status_code == 303
    page = visitor.get("/doctor").text
    assert "0 of 6 pairs tried" in page
    assert "Try all pairs" not in page
    assert visitor.post("/doctor/start").status_code == 303
    assert "A run goes on already" in visitor.get("/doctor").text
    visitor.post("/doctor/cancel")
    assert "The run was cancelled" in visitor.get("/doctor/live").text


def test_alone_the_page_says_that_there_is_no_pair(open_site: OpenSite) -> None:
    visitor = open_site(FakeDesk.alone()).administrator()
    visitor.post("/doctor/start")
    assert "in no cluster" in visitor.get("/doctor").text


def test_each_exception_has_its_cause_and_the_rule_to_add(broken: Site) -> None:
    page = broken.visitor(Role.VIEWER).get("/doctor").text
    assert "3 of 6 pairs are ok in both checks" in page
    assert "BQN 0 does not reach BQN 1 on its control port" in page
    assert "nft insert rule inet filter input ip saddr 192.168.56.111 tcp dport 63501" in page
    assert "iptables -I INPUT -p tcp -s 192.168.56.111 --dport 63501 -j ACCEPT" in page
    assert "but its clock differs by 60 min" in page
    assert "Try all pairs" not in page, "a viewer starts nothing"


def test_what_other_servers_say_is_shown_and_not_run(site: Site) -> None:
    site.desk.doctor.found[0, 1] = (Finding("version", 1, EVIL), OK)
    site.desk.doctor.standpoints = {ServerId(1): Standpoint(EVIL, ("10.0.0.1",))}
    site.desk.doctor.finish()
    page = site.administrator().get("/doctor").text
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_many_servers_are_a_few_lines_and_no_matrix(site: Site) -> None:
    doctor = FakeDoctor(tuple(ServerId(n) for n in range(256)), ServerId(0))
    doctor.found = {(a, 7): (Finding("refused"), OK) for a in range(256) if a != 7}
    site.desk.doctor = doctor
    doctor.finish()
    page = site.administrator().get("/doctor").text
    assert "65,025 of 65,280 pairs are ok" in page
    assert "No other server reaches BQN 7" in page
    assert "Every pair" not in page
    assert len(page) < 40_000


def test_more_exceptions_than_anybody_reads_are_counted() -> None:
    doctor = FakeDoctor(tuple(ServerId(n) for n in range(256)), ServerId(0))
    causes_ = sorted(causes.WORDS - {"ok"})
    doctor.found = {
        (a, (a + 1 + n) % 256): (Finding(cause), OK)
        for a in range(256)
        for n, cause in enumerate(causes_[:2])
    }
    doctor.finish()
    page = doctor_page(doctor.view(), NOW + timedelta(hours=1))
    assert len(page.lines) == 200
    assert page.more == 512 - 200


@pytest.mark.parametrize("cause", sorted(causes.WORDS))
def test_every_cause_has_a_mark_with_its_word(cause: str) -> None:
    mark = cause_badge(cause)
    assert mark.text == cause
    assert mark.tone == {True: "warn", False: "bad"}[cause in causes.REACHED] or cause == "ok"


def test_an_address_is_tried_before_anything_is_set_up(site: Site) -> None:
    typed = {"address": " 192.168.56.118 ", "control_port": "63507", "ssh_port": "22"}
    page = site.administrator().post("/doctor/address", typed)
    assert page.status_code == 200
    assert site.desk.doctor.tried == [("192.168.56.118", 63507, 22)]
    assert "BQN 7 answers on its control port." in page.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("address", ""),
        ("address", "a b"),
        ("address", "x" * 300),
        ("control_port", "0"),
        ("control_port", "70000"),
        ("ssh_port", "ssh"),
        ("ssh_port", "²"),
        ("control_port", "000000001" + "9" * 5000),
        ("ssh_port", "00000000199999999"),
    ],
)
def test_a_wrong_field_is_told_and_keeps_what_was_typed(site: Site, name: str, value: str) -> None:
    typed = {"address": "kept.example", "control_port": "63501", "ssh_port": "22", name: value}
    page = site.administrator().post("/doctor/address", typed)
    assert page.status_code == 422
    assert f'id="trial-{name}-fault"' in page.text
    assert name == "address" or "kept.example" in page.text
    assert site.desk.doctor.tried == []


def test_who_may_do_what(site: Site) -> None:
    viewer, operator = site.visitor(Role.VIEWER), site.visitor(Role.OPERATOR)
    assert viewer.get("/doctor").status_code == 200
    assert viewer.post("/doctor/start").status_code == 403
    assert operator.post("/doctor/address", {}).status_code == 403
    assert "Try an address" not in operator.get("/doctor").text


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_usable(browser: Browser, broken: Site, width: Width, theme: Theme) -> None:
    with visit(browser, broken, width=width, theme=theme) as page:
        page.goto("/doctor")
        expect(page.get_by_role("heading", name="Every pair")).to_be_visible()
        expect(page.get_by_text("nft insert rule")).to_be_visible()
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.browser
def test_a_run_is_started_followed_and_reloaded(browser: Browser, site: Site) -> None:
    with visit(browser, site, role=Role.OPERATOR) as page:
        page.goto("/doctor")
        page.get_by_role("button", name="Try all pairs").press("Enter")
        expect(page.get_by_label("0 of 6 pairs tried")).to_be_visible()
        page.reload()
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        site.desk.doctor.finish()
        expect(page.get_by_text("6 of 6 pairs are ok")).to_be_visible(timeout=30_000)


@pytest.mark.browser
def test_an_address_is_tried_without_javascript(browser: Browser, site: Site) -> None:
    with visit(browser, site, javascript=False) as page:
        page.goto("/doctor")
        page.get_by_role("textbox", name="Address").fill("192.168.56.118")
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_label("What was found")).to_contain_text("control port")
