"""Which blocks the Configuration page shows, and in which groups."""

from __future__ import annotations

from bqngui.block_tree import PAGE_BLOCKS, Filter, block_tree, server_title
from configrepo.model import ServerId
from scheduler.views import BlockView, ConfigurationView


def block(path: str, section: str, text: str, server: int | None = None) -> BlockView:
    owner = None if server is None else ServerId(server)
    return BlockView(path, text.splitlines()[0], section, owner, text)


VIEW = ConfigurationView(
    "0" * 40,
    (
        block("common/ntp.conf", "General", "ntp\n server 192.0.2.1\n"),
        block("common/profile/dpi/video.conf", "Profiles", "profile dpi video\n signature a.b\n"),
        block("servers/1/hostname.conf", "Interfaces", "hostname b\n", 1),
        block("servers/0/hostname.conf", "Interfaces", "hostname a\n", 0),
        block("common/x.conf", "Something new", "x\n 1\n 2\n 3\n 4\n 5\n"),
    ),
)


def shown(wanted: Filter) -> list[tuple[str, int | None, list[str]]]:
    tree = block_tree(VIEW, wanted)
    return [(g.section, g.server, [e.block.title for e in g.entries]) for g in tree.groups]


def test_groups_follow_the_menu_and_name_the_server_even_if_its_id_is_0() -> None:
    assert shown(Filter()) == [
        ("Interfaces", 0, ["hostname a"]),
        ("Interfaces", 1, ["hostname b"]),
        ("Profiles", None, ["profile dpi video"]),
        ("General", None, ["ntp"]),
        ("Something new", None, ["x"]),
    ]


def test_the_filter_finds_titles_paths_and_lines_in_any_case() -> None:
    assert [titles for _, _, titles in shown(Filter(text="VIDEO"))] == [["profile dpi video"]]
    assert [titles for _, _, titles in shown(Filter(text="servers/0"))] == [["hostname a"]]
    tree = block_tree(VIEW, Filter(text="192.0.2"))
    (entry,) = tree.groups[0].entries
    assert (entry.block.title, entry.lines, tree.found) == ("ntp", ("server 192.0.2.1",), 1)


def test_the_filter_can_ask_for_the_common_part_one_server_or_a_section() -> None:
    assert [g[1] for g in shown(Filter(server="0"))] == [0]
    assert {g[1] for g in shown(Filter(server="common"))} == {None}
    assert [g[0] for g in shown(Filter(section="Profiles"))] == ["Profiles"]


def test_a_long_block_shows_its_first_lines_and_counts_the_others() -> None:
    tree = block_tree(VIEW, Filter(section="Something new"))
    (entry,) = tree.groups[0].entries
    assert (entry.lines, entry.more) == (("1", "2", "3"), 2)


def test_a_long_list_is_cut_into_pages_and_a_page_too_far_is_the_last_one() -> None:
    many = tuple(block(f"common/{n:05}.conf", "Profiles", f"x {n:05}\n") for n in range(950))
    tree = block_tree(ConfigurationView("0" * 40, many), Filter(page=99))
    assert (tree.page, tree.pages, tree.found) == (5, 5, 950)
    assert sum(len(g.entries) for g in tree.groups) == 950 - 4 * PAGE_BLOCKS


def test_a_server_is_named_by_id_and_name() -> None:
    names = {ServerId(0): "west"}
    assert server_title(ServerId(0), names) == "BQN 0 (west)"
    assert server_title(ServerId(7), names) == "BQN 7"
    assert server_title(None, names) == "Common"
