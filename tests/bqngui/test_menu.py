from __future__ import annotations

from bqngui.authorization import roles
from bqngui.menu import MENU, Entry, Group, menu_for
from scheduler.views import Role
from tests.support.site import Site

ALL = {
    entry.endpoint: Role.ADMINISTRATOR if entry.endpoint == "audit.show" else Role.VIEWER
    for item in MENU
    for entry in (item.entries if isinstance(item, Group) else (item,))
}


def titles(menu: tuple[Entry | Group, ...]) -> list[str]:
    return [
        entry.title
        for item in menu
        for entry in (item.entries if isinstance(item, Group) else (item,))
    ]


def test_only_pages_that_exist_are_in_the_menu() -> None:
    assert titles(menu_for(Role.VIEWER, {"history.show": Role.VIEWER})) == ["History"]
    assert menu_for(Role.ADMINISTRATOR, {}) == ()


def test_only_pages_that_a_role_may_open_are_in_its_menu() -> None:
    assert "Audit log" in titles(menu_for(Role.ADMINISTRATOR, ALL))
    assert "Audit log" not in titles(menu_for(Role.OPERATOR, ALL))


def test_every_entry_leads_to_a_page_of_the_person(site: Site) -> None:
    pages = roles(site.app)
    for role in Role:
        visitor = site.visitor(role)
        for item in menu_for(role, pages):
            for entry in item.entries if isinstance(item, Group) else (item,):
                with site.app.test_request_context():
                    path = site.app.url_for(entry.endpoint)
                answer = visitor.get(path)
                assert answer.status_code == 200, entry
                assert 'aria-current="page"' in answer.text, entry


def test_a_page_that_is_opened_from_an_entry_marks_it_as_current(site: Site) -> None:
    visitor = site.visitor(Role.ADMINISTRATOR)
    for path in ("/cluster/maintenance", "/cluster/servers/0"):
        page = visitor.get(path).text
        marked = page.split('aria-current="true"')
        assert len(marked) > 1, path
        assert marked[0].rstrip().endswith('href="/cluster"'), path


def test_every_page_of_the_vendors_tree_exists(site: Site) -> None:
    assert set(roles(site.app)) >= set(ALL)
