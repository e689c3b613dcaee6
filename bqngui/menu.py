"""The left menu: the vendor's tree, only the pages that exist.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.views import Role


@dataclass(frozen=True, slots=True)
class Entry:
    """One page of the menu. `section` is its blueprint's name: it is marked as current.

    `below` are the blueprints of pages that are opened from it: there it is current too.
    """

    title: str
    endpoint: str
    icon: str
    below: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """The blueprint that the entry stands for."""
        return self.endpoint.split(".", 1)[0]


@dataclass(frozen=True, slots=True)
class Group:
    """A heading of the menu that opens and closes."""

    title: str
    icon: str
    entries: tuple[Entry, ...]


MENU: tuple[Entry | Group, ...] = (
    Entry("Dashboard", "dashboard.show", "bi-speedometer2"),
    Group("Statistics", "bi-graph-up", (Entry("Elections", "elections.show", "bi-flag"),)),
    Group(
        "Configuration",
        "bi-gear",
        (
            Entry("Text", "configuration.show", "bi-file-text"),
            Entry("Changes from outside", "drift.show", "bi-exclamation-diamond"),
        ),
    ),
    Entry("History", "history.show", "bi-clock-history"),
    Group(
        "Administration",
        "bi-hdd-network",
        (
            Entry("Cluster", "cluster.show", "bi-diagram-3", ("cluster_operations",)),
            Entry("Connectivity", "doctor.show", "bi-activity"),
            Entry("Unify", "unify.show", "bi-union"),
            Entry("Disagreements", "disagreements.show", "bi-signpost-split"),
            Entry("Replication", "replication.show", "bi-send"),
            Entry("Backup", "backup.show", "bi-save"),
            Entry("Users and tokens", "users.show", "bi-people"),
            Entry("Audit log", "audit.show", "bi-journal-text"),
            Entry("Clone and audit", "clone.show", "bi-box-arrow-down"),
        ),
    ),
)


def menu_for(role: Role, pages: Mapping[str, Role]) -> tuple[Entry | Group, ...]:
    """The menu of a person: entries whose page exists and that the role may open.

    Args:
        role: the person's.
        pages: the role that each existing endpoint needs.
    """

    def shown(entry: Entry) -> bool:
        return entry.endpoint in pages and role.includes(pages[entry.endpoint])

    result: list[Entry | Group] = []
    for item in MENU:
        match item:
            case Entry() if shown(item):
                result.append(item)
            case Group(title, icon, entries):
                kept = tuple(entry for entry in entries if shown(entry))
                if kept:
                    result.append(Group(title, icon, kept))
            case _:
                pass
    return tuple(result)
