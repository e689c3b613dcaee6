"""Asks the other servers what they run and carry, and keeps their last reports.

A report ages from the moment it was asked for; what is too old proves nothing (see
`scheduler.overview`), nor does what a server said before it was lost sight of: when it is
back it may run something else, so it must say it anew. One slow server
does not delay the others: at most `PARALLEL` are asked at once, each with its own time
limit, and a round that is still under way is not started again.

Core: the network is behind a callable.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler import causes
from scheduler.errors import RemoteRefused, SchedulerError, Unreachable
from scheduler.overview import Report, report_from_json
from scheduler.submission import Call

_NEVER = float("-inf")
PARALLEL = 8
ANSWERS_WITHIN_S = 2.0
ROUTE = "/report"
LOST = frozenset({"dead", "left", "unknown"})
"""States of a server (`scheduler.control_view`) in which nothing is known of it now."""

_log = logging.getLogger(__name__)


class Observer:
    """The last report of every other server."""

    def __init__(
        self,
        me: ServerId,
        members: Callable[[], tuple[Member, ...]],
        call: Call,
        clock: Callable[[], float],
    ) -> None:
        self._me = me
        self._members = members
        self._call = call
        self._clock = clock
        self._guard = threading.Lock()
        self._reports: dict[ServerId, tuple[Report, float]] = {}
        self._lost_at: dict[ServerId, float] = {}
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="observe")

    def reports(self) -> Mapping[ServerId, tuple[Report, float]]:
        """Each server's last report with its age in seconds."""
        now = self._clock()
        with self._guard:
            return {server: (report, now - at) for server, (report, at) in self._reports.items()}

    def lost(self, servers: Collection[ServerId]) -> None:
        """These servers are not seen now: what they said until now proves nothing any more."""
        now = self._clock()
        with self._guard:
            for server in servers:
                self._lost_at[server] = now
                if server in self._reports:
                    self._reports[server] = (self._reports[server][0], _NEVER)

    def observe(self) -> str:
        """Ask every other server once; returns one sentence for the log."""
        others = [member for member in self._members() if member.id != self._me]
        answered = sum(self._pool.map(self._ask, others))
        with self._guard:
            known = {member.id for member in others}
            self._reports = {s: kept for s, kept in self._reports.items() if s in known}
        return f"{answered} of {len(others)} servers reported"

    def _ask(self, member: Member) -> bool:
        asked_at = self._clock()
        try:
            answer = self._call(member, ROUTE, {}, ANSWERS_WITHIN_S)
            report = report_from_json(answer)
            if report.id != member.id:
                raise RemoteRefused("the report is of another server")
        except SchedulerError as error:
            # A slow answer may still come, and the control port tells who is gone; but where
            # nobody listens any more, whoever comes back is another process.
            if isinstance(error, Unreachable) and error.cause == causes.REFUSED:
                self.lost([member.id])
            return False
        except Exception:  # noqa: BLE001 (or nobody after it in the round would be heard)
            _log.exception("asking BQN %d what it runs failed", member.id)
            return False
        with self._guard:
            fresh = asked_at > self._lost_at.get(member.id, _NEVER)
            self._reports[member.id] = (report, asked_at if fresh else _NEVER)
        return True

    def close(self) -> None:
        """Stop asking."""
        self._pool.shutdown(wait=True, cancel_futures=True)
