"""What the pages ask about changes from outside, on this server and on the others.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from configrepo.layout import path_allowed
from configrepo.model import ServerId
from scheduler.errors import RemoteRefused
from scheduler.views import Edited, FileChange, Person, Refused


@dataclass(frozen=True, slots=True)
class DriftView:
    """A server whose running configuration was changed from outside.

    `changes` lead from what `commit` wants to what runs; every secret is sealed. `unread`
    says why there are none: the server did not answer, or what runs is no configuration.
    `changed_by` is empty where the system does not know. Times are UTC.
    """

    server: ServerId
    sentence: str
    commit: str | None = None
    seen_at: datetime | None = None
    changed_at: datetime | None = None
    changed_by: str = ""
    changes: tuple[FileChange, ...] = ()
    unread: str = ""

    @property
    def own(self) -> tuple[FileChange, ...]:
        """What may be kept as this server's own: its interfaces, routes, undefined blocks."""
        return tuple(c for c in self.changes if c.path.startswith(f"servers/{self.server}/"))

    @property
    def shared(self) -> tuple[FileChange, ...]:
        """What is common to all servers, so that it cannot differ on one."""
        return tuple(c for c in self.changes if c.path.startswith("common/"))


@dataclass(frozen=True, slots=True)
class OverwrittenView:
    """The last change from outside that a server overwrote, kept in its `outside.conf`.

    `changes` lead from what is committed and runs there now to what ran then; every secret is
    sealed. `unread` says why there are none.
    """

    server: ServerId
    at: datetime | None = None
    changes: tuple[FileChange, ...] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Restoring:
    """The server was told to apply the newest commit again."""

    sentence: str


class DriftDesk(Protocol):
    """The part of the desk for changes from outside."""

    def drifts(self) -> tuple[DriftView, ...]:
        """Every server that reports one, with what each of them says about it."""
        ...

    def drift(self, server: ServerId) -> DriftView | None:
        """One server's; None if it runs what was applied there."""
        ...

    def overwritten(self, server: ServerId) -> OverwrittenView | None:
        """What that server overwrote last; None if it never did."""
        ...

    def restore(self, person: Person, server: ServerId) -> Restoring | Refused:
        """Apply the newest commit again on that server; the change is kept in a file there."""
        ...

    def adopt(self, person: Person, server: ServerId) -> Edited | Refused:
        """Make what runs there the person's candidate, against the commit that it ran."""
        ...

    def keep(self, person: Person, server: ServerId) -> Edited | Refused:
        """The same, only with what is that server's own."""
        ...


def drift_to_json(view: DriftView) -> dict[str, Any]:
    """A view as it travels between servers."""
    times = {
        key: None if value is None else value.isoformat()
        for key, value in (("seen_at", view.seen_at), ("changed_at", view.changed_at))
    }
    return {**asdict(view), **times}


def overwritten_to_json(view: OverwrittenView) -> dict[str, Any]:
    """A view as it travels between servers."""
    return {**asdict(view), "at": None if view.at is None else view.at.isoformat()}


def overwritten_from_json(stored: Mapping[str, Any]) -> OverwrittenView:
    """The inverse of `overwritten_to_json`.

    Raises:
        RemoteRefused: it has the wrong form, or names files that no server has.
    """
    try:
        server = int(stored["server"])
        return OverwrittenView(
            server=ServerId(server),
            at=_time(stored["at"]),
            changes=tuple(_change(change, server) for change in stored["changes"]),
            unread=str(stored["unread"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteRefused(f"what was overwritten arrived in a wrong form ({error!r})") from error


def drift_from_json(stored: Mapping[str, Any]) -> DriftView:
    """The inverse of `drift_to_json`.

    Raises:
        RemoteRefused: it has the wrong form, or names files that no server has.
    """
    try:
        changes = tuple(_change(change, int(stored["server"])) for change in stored["changes"])
        return DriftView(
            server=ServerId(int(stored["server"])),
            sentence=str(stored["sentence"]),
            commit=None if stored["commit"] is None else str(stored["commit"]),
            seen_at=_time(stored["seen_at"]),
            changed_at=_time(stored["changed_at"]),
            changed_by=str(stored["changed_by"]),
            changes=changes,
            unread=str(stored["unread"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteRefused(f"the drift of a server arrived in a wrong form ({error!r})") from error


def _time(value: Any) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _change(stored: Mapping[str, Any], server: int) -> FileChange:
    change = FileChange(**stored)
    texts = (change.before, change.after)
    if not all(text is None or isinstance(text, str) for text in texts):
        raise TypeError("a text is no text")
    scopes = ("common/", f"servers/{server}/")
    if not change.path.startswith(scopes) or not path_allowed(change.path):
        raise ValueError(change.path)
    return change
