"""From facts to the rows of the replication page.

The words for the state of a server are those of the overview: one rule, one place.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from configrepo.model import ServerId
from scheduler.push_plan import PushState
from scheduler.replication_seam import ReplicaView
from scheduler.views import Overview, ServerView


def rows_of(
    overview: Overview,
    pushes: Mapping[ServerId, PushState],
    lacks_since: Mapping[ServerId, datetime],
    now: datetime,
    monotonic: float,
) -> tuple[ReplicaView, ...]:
    """One row for each server of the cluster.

    Args:
        overview: the cluster as this server sees it.
        pushes: how sending to the others stands; empty unless this server leads.
        lacks_since: when the oldest commit was made that each server does not run yet.
        now: the wall clock, for the lag that is shown.
        monotonic: the clock of the pauses.
    """
    return tuple(
        _row(overview.me, server, pushes.get(server.id), lacks_since, now, monotonic)
        for server in overview.servers
    )


def _row(
    me: ServerId,
    server: ServerView,
    push: PushState | None,
    lacks_since: Mapping[ServerId, datetime],
    now: datetime,
    monotonic: float,
) -> ReplicaView:
    lacking = lacks_since.get(server.id)
    failed = push is not None and not push.ok
    pause = push.next_try if push is not None else None
    return ReplicaView(
        id=server.id,
        name=server.name,
        state=server.sync,
        sentence=server.sync_sentence,
        behind=server.behind,
        lag_s=None if lacking is None else max((now - lacking).total_seconds(), 0.0),
        saved=_saved(server, push),
        since=server.last_contact if server.sync == "unreachable" else None,
        error=push.sentence if push is not None and failed else "",
        next_try_s=None if pause is None else max(pause - monotonic, 0.0),
        last_success=push.last_success if push is not None else None,
        here=server.id == me,
    )


def _saved(server: ServerView, push: PushState | None) -> str | None:
    return push.head if push is not None and push.head is not None else server.head
