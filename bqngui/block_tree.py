"""The list of blocks on the Configuration page: which are shown, and in which groups.

A group is a section (Interfaces, Profiles, …) of the common part or of one server. A filter
text selects the blocks whose title, path or text contain it; where only the text does, the
lines that do are shown with the block. Otherwise its first lines are. A long list is cut
into pages.

It knows nothing of requests or HTML.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from configrepo.model import ServerId
from scheduler.views import BlockView, ConfigurationView

PAGE_BLOCKS = 200
LINES_SHOWN = 3
COMMON = "common"
SECTION_ORDER = (
    "Interfaces",
    "Profiles",
    "Rates, flows, monitoring",
    "Rates",
    "Flows",
    "Monitoring",
    "Time",
    "Groups",
    "REST API",
    "General",
)


@dataclass(frozen=True, slots=True)
class Filter:
    """What the operator asked to see; `server` is "" (all), "common" or an id in digits."""

    text: str = ""
    section: str = ""
    server: str = ""
    page: int = 1

    @property
    def active(self) -> bool:
        """Whether anything is left out."""
        return bool(self.text or self.section or self.server)


@dataclass(frozen=True, slots=True)
class Entry:
    """One block of the list with a few of its lines; `more` counts those left out."""

    block: BlockView
    lines: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks of one section, all common or all of one server."""

    section: str
    server: ServerId | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class BlockTree:
    """One page of the list, with what there is to choose from."""

    groups: tuple[Group, ...]
    found: int
    total: int
    page: int
    pages: int
    sections: tuple[str, ...]
    servers: tuple[ServerId, ...]


def block_tree(view: ConfigurationView, wanted: Filter) -> BlockTree:
    """Select, order and group the blocks that `wanted` asks for."""
    needle = wanted.text.casefold().strip()
    sections = sorted({block.section for block in view.blocks}, key=_section_rank)
    rank = {section: place for place, section in enumerate(sections)}
    found = [block for block in view.blocks if _wanted(block, wanted, needle)]
    found.sort(key=lambda b: (rank[b.section], -1 if b.server is None else b.server, b.title))
    pages = max(1, -(-len(found) // PAGE_BLOCKS))
    page = min(max(1, wanted.page), pages)
    shown = found[(page - 1) * PAGE_BLOCKS : page * PAGE_BLOCKS]
    return BlockTree(
        groups=tuple(_groups([_entry(block, needle) for block in shown])),
        found=len(found),
        total=len(view.blocks),
        page=page,
        pages=pages,
        sections=tuple(sections),
        servers=tuple(sorted({b.server for b in view.blocks if b.server is not None})),
    )


def server_title(server: ServerId | None, names: Mapping[ServerId, str]) -> str:
    """How a group names whose blocks it holds: the common part, or one server by its name."""
    if server is None:
        return "Common"
    name = names.get(server)
    return f"BQN {server} ({name})" if name else f"BQN {server}"


def _wanted(block: BlockView, wanted: Filter, needle: str) -> bool:
    if wanted.section and block.section != wanted.section:
        return False
    if wanted.server and wanted.server != (COMMON if block.server is None else str(block.server)):
        return False
    return not needle or _named(block, needle) or needle in block.text.casefold()


def _named(block: BlockView, needle: str) -> bool:
    return needle in block.title.casefold() or needle in block.path.casefold()


def _entry(block: BlockView, needle: str) -> Entry:
    if not needle or _named(block, needle):
        return _cut(block, [line.strip() for line in block.text.splitlines()[1:]])
    return _cut(block, [x.strip() for x in block.text.splitlines() if needle in x.casefold()])


def _cut(block: BlockView, lines: list[str]) -> Entry:
    return Entry(block, tuple(lines[:LINES_SHOWN]), max(0, len(lines) - LINES_SHOWN))


def _section_rank(section: str) -> tuple[int, str]:
    """The order of the vendor's menu; what it does not know comes last, by name."""
    known = section in SECTION_ORDER
    return (SECTION_ORDER.index(section) if known else len(SECTION_ORDER), section)


def _groups(entries: Sequence[Entry]) -> Iterable[Group]:
    start = 0
    for n in range(1, len(entries) + 1):
        if n == len(entries) or _group_key(entries[n]) != _group_key(entries[start]):
            yield Group(*_group_key(entries[start]), tuple(entries[start:n]))
            start = n


def _group_key(entry: Entry) -> tuple[str, ServerId | None]:
    return entry.block.section, entry.block.server
