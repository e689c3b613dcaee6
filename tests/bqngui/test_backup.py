"""Save a server's configuration as a file; load a file into the candidate."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from bqngui.backup import LARGEST_FILE
from scheduler.views import Role
from tests.bqngui.conftest import OpenSite
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import FakeDesk
from tests.support.fake_scenes import example_text
from tests.support.site import Site, Visitor

BROKEN = b'ntp\n server "192.0.2.1\nwire 1 access a internet\n\tmtu 9000\n'


def load(visitor: Visitor, data: bytes, name: str = "x.conf", **fields: str) -> Any:
    return visitor.post("/backup/load", {"file": (io.BytesIO(data), name), **fields})


def test_each_server_can_be_saved_under_a_name_with_id_and_revision(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    revision = site.desk.history(limit=1)[0].id
    for server in site.desk.view.servers:
        answer = visitor.get(f"/backup/save?server={server.id}")
        name = f"bqn{server.id}-{revision[:10]}.conf"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert answer.text == site.desk.saved_text(server.id)
        assert answer.mimetype == "text/plain"
    assert visitor.get("/backup/save?server=17").status_code == 404


def test_a_revision_can_be_saved_and_saving_is_in_the_audit_log(site: Site) -> None:
    first = site.desk.history()[-1].id
    visitor = site.visitor(Role.OPERATOR)
    answer = visitor.get(f"/backup/save?server=0&revision={first}")
    assert f"bqn0-{first[:10]}.conf" in answer.headers["Content-Disposition"]
    assert "save configuration of BQN 0" in site.desk.audit_log()[0].action
    assert visitor.get(f"/backup/save?server=0&revision={'0' * 40}").status_code == 404


def test_a_loaded_file_becomes_the_candidate_and_is_compared(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    answer = load(visitor, example_text(1).encode(), "bqn1-v1.conf", server="1")
    assert answer.location == "/candidate/compare"
    page = visitor.get("/candidate/compare").text
    assert "bqn1-v1.conf is loaded into your candidate" in page
    assert "common/rules/flow.conf" in page


def test_the_own_saved_file_changes_nothing(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    answer = load(visitor, site.desk.saved_text(site.desk.view.me).encode(), server="0")
    assert answer.location == "/backup"
    assert "nothing to change" in visitor.get("/backup").text


def test_all_problems_of_a_file_are_told_at_once_and_nothing_is_loaded(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    answer = load(visitor, BROKEN, "<b>old</b>.conf")
    assert answer.status_code == 422
    assert "Line 2, column 9" in answer.text
    assert "Line 3, column" in answer.text
    assert "&lt;b&gt;old&lt;/b&gt;.conf was not loaded" in answer.text
    assert "in your candidate" not in visitor.get("/configuration").text


def test_bytes_that_are_no_text_are_a_sentence(site: Site) -> None:
    answer = load(site.visitor(Role.OPERATOR), bytes(range(256)) * 10, "picture.png")
    assert answer.status_code == 422
    assert "was not loaded" in answer.text


def test_a_missing_or_too_large_file_is_a_sentence(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    assert "Choose the file" in visitor.post("/backup/load").text
    answer = load(visitor, b"!" * (LARGEST_FILE + 1))
    assert answer.status_code == 422
    assert "larger than 16 MiB" in answer.text
    answer.request.environ["wsgi.input"].close()  # the test client's own spool file


def test_an_unfinished_candidate_is_replaced_only_on_demand(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    visitor.post("/configuration/remove", {"path": "common/ntp.conf"})
    data = example_text(0).encode()
    refused = load(visitor, data, server="0")
    assert refused.status_code == 422
    assert "not committed" in refused.text
    assert load(visitor, data, server="0", replace="yes").status_code == 303


def test_a_viewer_can_save_but_not_load(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    assert "needs the role operator" in visitor.get("/backup").text
    assert load(visitor, b"ntp\n").status_code == 403


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
def test_the_page_is_accessible_and_fits(
    site: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    with visit(browser, site, width=width, theme=theme, allow=(422,)) as page:
        page.goto("/backup")
        assert_accessible(page)
        assert_fits(page)
        file = {"name": "broken.conf", "mimeType": "text/plain", "buffer": BROKEN}
        page.set_input_files("#file", file)  # type: ignore[arg-type]
        page.get_by_role("button", name="Load and compare").click()
        expect(page.get_by_role("alert")).to_contain_text("broken.conf was not loaded")
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.browser
def test_a_file_goes_out_and_comes_back_in(
    open_site: OpenSite, browser: Browser, tmp_path: Path
) -> None:
    site = open_site(FakeDesk.cluster_of_three())
    with visit(browser, site) as page:
        page.goto("/backup")
        with page.expect_download() as download:
            page.get_by_role("link", name="Save the configuration of BQN 2 (bqn2)").click()
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        changed = saved.read_text().replace("hostname bqn2", "hostname bqn2-east")
        saved.write_text(changed)
        page.set_input_files("#file", saved)
        page.select_option("#server", "2")
        page.get_by_role("button", name="Load and compare").click()
        expect(page.locator("ins")).to_have_text("-east")
