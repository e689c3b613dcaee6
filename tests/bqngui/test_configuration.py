"""The pages of the configuration as text: list of blocks, editor, whole file."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from bqngui.block_tree import PAGE_BLOCKS
from bqngui.configuration import PAGE_LINES
from scheduler.views import CandidateView, Person, Role
from tests.bqngui.conftest import OpenSite
from tests.support import fake_scenes
from tests.support.browser import Theme, Width, assert_accessible, assert_fits, visit
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk
from tests.support.site import Site

NTP = "common/ntp.conf"
VIDEO = "common/profile/dpi/video.conf"
BROKEN = 'ntp\n server "192.0.2.1\n'


class ForgetfulDesk(FakeDesk):
    """A desk that, as the real one, has no candidate for what equals the commit."""

    def candidate(self, person: Person) -> CandidateView | None:
        return None


def ntp_text(site: Site) -> str:
    blocks = site.desk.configuration(ADMINISTRATOR).blocks
    return next(b.text for b in blocks if b.path == NTP)


def test_the_blocks_are_listed_by_section_and_by_server(site: Site) -> None:
    page = site.visitor(Role.VIEWER).get("/configuration").text
    assert page.index("Interfaces") < page.index("Profiles") < page.index("General")
    for words in ("BQN 0 (bqn0)", "BQN 1 (bqn1)", "BQN 2 (bqn2)", "Common", "profile dpi video"):
        assert words in page


def test_the_list_is_filtered_by_text_section_and_part(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    assert "policy rate rate-20Mbps" not in visitor.get("/configuration?q=ntp").text
    found = visitor.get("/configuration?server=1").text
    assert "hostname bqn1" in found
    assert "hostname bqn0" not in found
    assert "No block matches" in visitor.get("/configuration?q=no+such+thing").text


def test_thousands_of_blocks_are_sent_page_by_page_and_found_by_the_filter(
    open_site: OpenSite,
) -> None:
    many = {
        f"common/policy/rate/many-{n:04}.conf": f"policy rate many-{n:04}\n downlink rate 1\n"
        for n in range(5_000)
    }
    files = {**fake_scenes.cluster_files((0, 1)), **many}
    site = open_site(FakeDesk(fake_scenes.overview_of([0, 1]), files))
    visitor = site.visitor(Role.VIEWER)
    total = len(site.desk.configuration(ADMINISTRATOR).blocks)
    page = visitor.get("/configuration")
    assert page.text.count('class="block-name"') == PAGE_BLOCKS
    assert len(page.text) < 150_000
    assert f"{total:,} blocks, page 1 of 26" in page.text
    found = visitor.get("/configuration?q=MANY-499&section=Rates,+flows,+monitoring").text
    assert f"10 of {total:,} blocks" in found
    assert "many-4999" in found
    second = visitor.get("/configuration?q=many&page=2").text
    assert "many-0200" in second
    assert 'href="/configuration?q=many&amp;section=&amp;server=&amp;page=3"' in second


def test_a_viewer_sees_a_block_but_cannot_change_it(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    page = visitor.get(f"/configuration/block?path={NTP}").text
    assert "readonly" in page
    assert "Keep in candidate" not in page
    for path in ("/configuration/block", "/configuration/new", "/configuration/remove"):
        assert visitor.post(path, {"path": NTP, "text": "ntp\n"}).status_code == 403
    assert visitor.get("/configuration/new").status_code == 403


def test_an_edited_block_goes_into_the_candidate_and_changes_nothing_else(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    before = ntp_text(site)
    text = (before + " server 192.0.2.9\n").replace("\n", "\r\n")
    answer = visitor.post("/configuration/block", {"path": NTP, "text": text})
    assert answer.status_code == 303
    page = visitor.get(answer.location).text
    assert "server 192.0.2.9" in page
    assert "edited in your candidate" in page
    assert "1 change</strong> in your candidate" in page
    assert ntp_text(site) == before


def test_a_text_that_changes_nothing_is_told_apart(open_site: OpenSite) -> None:
    site = open_site(ForgetfulDesk.cluster_of_three())
    visitor = site.visitor(Role.OPERATOR)
    answer = visitor.post("/configuration/block", {"path": NTP, "text": ntp_text(site)})
    assert "nothing to change" in visitor.get(answer.location).text


def test_a_text_that_cannot_be_read_is_kept_and_its_place_is_shown(site: Site) -> None:
    answer = site.visitor(Role.OPERATOR).post("/configuration/block", {"path": NTP, "text": BROKEN})
    assert answer.status_code == 422
    assert "Line 2, column 9" in answer.text
    assert 'class="bad">2<' in answer.text
    assert " server &#34;192.0.2.1" in answer.text
    assert site.desk.candidate(ADMINISTRATOR) is None


def test_a_new_block_finds_its_place_by_its_first_line(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    answer = visitor.post("/configuration/new", {"text": "profile dpi games\n signature a.test\n"})
    assert answer.location.endswith("path=common/profile/dpi/games.conf")
    refused = visitor.post("/configuration/new", {"text": "  \n"})
    assert refused.status_code == 422
    assert "nothing to add" in refused.text


def test_a_removed_block_can_be_kept_after_all(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    visitor.post("/configuration/remove", {"path": VIDEO})
    page = visitor.get("/configuration").text
    assert "Removed in your candidate" in page
    gone = visitor.get(f"/configuration/block?path={VIDEO}")
    assert gone.status_code == 404
    assert "Your candidate removes it" in gone.text
    visitor.post("/candidate/discard", {"path": VIDEO})
    assert visitor.get(f"/configuration/block?path={VIDEO}").status_code == 200


def test_an_empty_text_removes_the_block(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    answer = visitor.post("/configuration/block", {"path": VIDEO, "text": "\r\n"})
    assert answer.location == "/configuration"
    assert "Removed in your candidate" in visitor.get("/configuration").text


def test_a_block_that_does_not_exist_is_a_sentence(site: Site) -> None:
    answer = site.visitor(Role.VIEWER).get("/configuration/block?path=common/none.conf")
    assert answer.status_code == 404
    assert "There is no block at common/none.conf" in answer.text


def test_the_whole_text_of_any_server_has_numbered_lines(site: Site) -> None:
    visitor = site.visitor(Role.VIEWER)
    page = visitor.get("/configuration/text?server=2").text
    lines = site.desk.saved_text(site.desk.view.servers[2].id).splitlines()
    assert f'id="L{len(lines)}"' in page
    assert "hostname bqn2" in page
    assert "hostname bqn0" not in page
    assert "hostname bqn0" in visitor.get("/configuration/text").text
    assert visitor.get("/configuration/text?server=9").status_code == 404
    assert visitor.get("/configuration/text?server=x").status_code == 404
    assert visitor.get("/configuration/text?revision=HEAD").status_code == 404


def test_a_very_long_text_has_pages(site: Site) -> None:
    ranges = "".join(f" ip-range 10.{n // 250}.{n % 250}.0/24\n" for n in range(PAGE_LINES))
    text = f"subscriber-group many\n{ranges}"
    site.desk.edit(ADMINISTRATOR, None, text)
    site.desk.commit(ADMINISTRATOR, "Many", "many", {})
    visitor = site.visitor(Role.VIEWER)
    assert "Lines after" in visitor.get("/configuration/text").text
    last = visitor.get("/configuration/text?page=99").text
    assert "Lines before" in last
    assert f'id="L{PAGE_LINES + 1}"' in last


def test_what_is_in_a_block_is_text_and_never_markup(site: Site) -> None:
    visitor = site.visitor(Role.OPERATOR)
    text = 'snmp\n contact "<script>alert(1)</script>"\n'
    visitor.post("/configuration/block", {"path": "common/snmp.conf", "text": text})
    for path in ("/configuration", "/configuration/block?path=common/snmp.conf"):
        assert "<script>alert" not in visitor.get(path).text
    assert "<script>alert" not in visitor.get("/candidate/compare").text


def test_a_secondary_says_who_makes_the_commit(open_site: OpenSite) -> None:
    page = open_site(FakeDesk.cluster_of_three(me=1)).visitor(Role.OPERATOR).get("/configuration")
    words = "BQN 1 (bqn1) is a secondary: the commit is made by the primary, BQN 0 (bqn0)"
    assert words in page.text
    primary = open_site(FakeDesk.cluster_of_three()).visitor(Role.OPERATOR).get("/configuration")
    assert "is a secondary" not in primary.text


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_pages_are_accessible_and_fit(
    site: Site, browser: Browser, width: Width, theme: Theme
) -> None:
    with visit(browser, site, width=width, theme=theme, allow=(422,)) as page:
        page.goto(f"/configuration/block?path={NTP}")
        page.fill("#text", ntp_text(site) + " server 192.0.2.9\n")
        page.get_by_role("button", name="Keep in candidate").click()
        for path in ("/configuration", "/configuration/new", "/configuration/text"):
            page.goto(path)
            assert_accessible(page)
            assert_fits(page)
        page.goto(f"/configuration/block?path={NTP}")
        page.fill("#text", BROKEN)
        page.get_by_role("button", name="Keep in candidate").click()
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.browser
def test_line_numbers_follow_the_text_and_a_problem_leads_to_its_place(
    site: Site, browser: Browser
) -> None:
    with visit(browser, site, allow=(422,)) as page:
        page.goto("/configuration/new")
        page.fill("#text", "profile dpi games\n" + " signature a.test\n" * 40)
        expect(page.locator(".editor-lines span").last).to_have_text(re.compile("^4[0-9]$"))
        page.fill("#text", BROKEN)
        page.get_by_role("button", name="Keep in candidate").click()
        page.get_by_role("link", name="Line 2, column 9").click()
        expect(page.locator("#text")).to_be_focused()
        assert page.evaluate("document.getElementById('text').selectionStart") == len("ntp\n") + 8


@pytest.mark.browser
def test_a_change_is_edited_compared_and_committed_without_javascript(
    site: Site, browser: Browser
) -> None:
    with visit(browser, site, javascript=False) as page:
        page.goto("/configuration?q=ntp")
        page.get_by_role("link", name="ntp", exact=True).click()
        page.fill("#text", ntp_text(site) + " server 192.0.2.9\n")
        page.get_by_role("button", name="Keep in candidate").click()
        page.get_by_role("link", name="Compare").click()
        expect(page.locator(".diff-added .diff-new.diff-text")).to_contain_text("server 192.0.2.9")
        page.fill("#message", "Add a time server")
        page.get_by_role("button", name="Commit", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Add a time server")
    assert "server 192.0.2.9" in ntp_text(site)
