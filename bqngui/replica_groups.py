"""The rows of the replication page: equal results in one line, exceptions one by one.

Servers whose state, reason, error and newest commit are the same are told together as soon
as there are `TOGETHER` of them; their ids are shown as ranges.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bqngui.badges import Badge, replica_badge
from configrepo.model import ServerId
from scheduler.replication_seam import ReplicationView, ReplicaView
from scheduler.views import RevisionView

TOGETHER = 4
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: one server, or many with the same result.

    `one` is None where the line stands for several; `ids` names them in ranges.
    """

    badge: Badge
    ids: str
    count: int
    sentence: str
    error: str
    saved: str | None
    one: ReplicaView | None
    lag: str
    next_try: str


def lines_of(view: ReplicationView) -> tuple[Line, ...]:
    """The lines of the table: exceptions first, then what is the same for many."""
    groups: dict[tuple[object, ...], list[ReplicaView]] = {}
    for server in view.servers:
        groups.setdefault(_key(server), []).append(server)
    single: list[Line] = []
    many: list[Line] = []
    for servers in groups.values():
        if len(servers) >= TOGETHER:
            many.append(_line(servers, None))
        else:
            single += [_line([server], server) for server in servers]
    single.sort(key=lambda line: line.one.id if line.one else 0)
    return (*single, *many)


def ranges(ids: Iterable[ServerId]) -> str:
    """Ids as ranges, as in *1 to 3, 7*, with a dash for *to*."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{low}\u2013{high}" if low < high else str(low) for low, high in runs)


def duration(seconds: float | None) -> str:
    """A duration in words, rounded down; "" for None."""
    if seconds is None:
        return ""
    for unit, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"


def size_words(size: int) -> str:
    """A number of bytes in the largest unit that gives a short number."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def saved_words(revision: RevisionView) -> str:
    """On how many servers a commit is: *saved here*, *on n servers* or *on all*."""
    have, of = len(revision.saved.servers), revision.saved.members
    if of > 1 and have >= of:
        return "on all"
    return f"on {have} servers" if have > 1 else "saved here"


def running_words(revision: RevisionView) -> str:
    """On how many servers a commit runs: *running on n*, or *running on all*."""
    run, of = len(revision.running_on), revision.saved.members
    if run == 0:
        return "running on no server"
    return "running on all" if 1 < of <= run else f"running on {run}" if of > 1 else "running here"


def _key(server: ReplicaView) -> tuple[object, ...]:
    return (server.state, server.sentence, server.error, server.behind or 0, server.saved)


def _line(servers: list[ReplicaView], one: ReplicaView | None) -> Line:
    first = servers[0]
    lags = [server.lag_s for server in servers if server.lag_s is not None]
    tries = [server.next_try_s for server in servers if server.next_try_s is not None]
    return Line(
        badge=replica_badge(first.state, first.behind),
        ids=ranges(server.id for server in servers),
        count=len(servers),
        sentence=first.sentence,
        error=first.error,
        saved=first.saved,
        one=one,
        lag=duration(max(lags)) if lags else "",
        next_try=f"in {duration(min(tries))}" if tries else "",
    )
