"""The connectivity doctor: lets every server try to reach every other one, and collects.

The server that one is logged into asks each member over RPC (`scheduler.probing` answers)
and takes its results in slices, many members at a time. One run at a time; it goes on when
the page is closed, can be cancelled, and its result is kept on the disk.

Core: the network is behind callables.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from configrepo.errors import ConfigRepoError
from configrepo.members import Member, member_file, members_of
from configrepo.model import ServerId
from scheduler import causes
from scheduler.diagnosis import Facts, diagnose
from scheduler.doctor_seam import Diagnosis, DoctorView, Stage
from scheduler.errors import (
    RemoteRefused,
    SchedulerError,
    UnknownRoute,
    Unreachable,
    WrongIdentity,
)
from scheduler.findings import (
    Pair,
    Row,
    Standpoint,
    pair_from_row,
    printable,
    row_of,
    standpoint_from_json,
)
from scheduler.probing import ROUTE
from scheduler.state_dir import read_json, write_json
from scheduler.submission import Call
from scheduler.views import Person, Reach, Refused

ASKED_AT_ONCE = 16
START_S = 10.0
SLICE_S = 15.0

_log = logging.getLogger(__name__)


@dataclass
class _Run:
    """One run; guarded by the lock of the doctor."""

    name: str
    members: tuple[Member, ...]
    by: str
    began: datetime
    ended: datetime | None = None
    stage: Stage = "running"
    pairs: list[Pair] = field(default_factory=list)
    not_asked: dict[ServerId, tuple[str, str]] = field(default_factory=dict)
    standpoints: dict[ServerId, Standpoint] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return len(self.members) * (len(self.members) - 1)


@dataclass
class _Source:
    """A server that is being asked: how many of its rows have come."""

    member: Member
    taken: int = 0
    started: bool = False


class Doctor:
    """The doctor of one server.

    Args:
        me: this server.
        path: where the last result is kept.
        members: the active members as they are committed, this server included.
        call: asks another member.
        own: asks this server itself, as the others are asked.
        check: tries an address that is not a member's.
        audit: writes a line of the audit log.
        now: the wall clock, UTC; only shown.
    """

    def __init__(
        self,
        me: ServerId,
        path: Path,
        members: Callable[[], tuple[Member, ...]],
        call: Call,
        own: Callable[[ServerId, Mapping[str, Any]], dict[str, Any]],
        check: Callable[[str, int, int], tuple[Reach, ...]],
        audit: Callable[[Person, str, str], None],
        now: Callable[[], datetime],
    ) -> None:
        self._me = me
        self._path = path
        self._members = members
        self._call = call
        self._own = own
        self._check = check
        self._audit = audit
        self._now = now
        self._changed = threading.Condition()
        self._told: tuple[tuple[str, int, str], Diagnosis] | None = None
        self._thread: threading.Thread | None = None
        self._run = self._kept()

    # --- what people ask --------------------------------------------------------------

    def view(self) -> DoctorView:
        """See `DoctorRoom`."""
        with self._changed:
            run = self._run
            if run is None:
                nothing = Diagnosis(0, 0, ())
                return DoctorView("none", _SAID["none"], 0, 0, "", None, None, nothing)
            done = len(run.pairs) + sum(len(run.members) - 1 for _ in run.not_asked)
            return DoctorView(
                stage=run.stage,
                sentence=_SAID[run.stage],
                done=min(done, run.total),
                total=run.total,
                by=run.by,
                began=run.began,
                ended=run.ended,
                diagnosis=self._diagnosis(run),
            )

    def start(self, person: Person) -> Refused | None:
        """See `DoctorRoom`."""
        members = self._members()
        if len(members) < 2:
            return Refused("This server is in no cluster: there is no pair to try.")
        with self._changed:
            if self._run is not None and self._run.stage == "running":
                return Refused("A run goes on already; its progress is below.")
            run = _Run(secrets.token_hex(8), members, person.name, self._now())
            thread = threading.Thread(target=self._work, args=(run,), name="doctor")
            thread.start()
            self._run, self._thread = run, thread  # now, that it goes on
        self._audit(person, "connectivity doctor", f"started, {run.total} pairs")
        return None

    def cancel(self, person: Person) -> None:
        """See `DoctorRoom`."""
        with self._changed:
            if self._run is not None and self._run.stage == "running":
                self._end(self._run, "cancelled")
                self._audit(person, "connectivity doctor", "cancelled")

    def check_address(
        self, person: Person, address: str, control_port: int, ssh_port: int
    ) -> tuple[Reach, ...]:
        """See `DoctorRoom`."""
        found = self._check(address, control_port, ssh_port)
        said = ", ".join(f"{reach.what} {reach.cause}" for reach in found)
        self._audit(person, f"connectivity doctor: try {address}", said)
        return found

    def wait(self, timeout_s: float) -> bool:
        """Wait until no run goes on; False if the time is over before."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._run is None or self._run.stage != "running", timeout_s
            )

    def close(self) -> None:
        """End the run that goes on."""
        with self._changed:
            if self._run is not None and self._run.stage == "running":
                self._end(self._run, "cancelled")
            thread = self._thread
        if thread is not None:
            thread.join()

    # --- the run ----------------------------------------------------------------------

    def _work(self, run: _Run) -> None:
        sources = [_Source(member) for member in run.members]
        with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="doctor-asks") as pool:
            while sources and run.stage == "running":
                # The more servers are asked, the shorter one may make the others wait.
                wait_s = min(1.0, ASKED_AT_ONCE / len(sources) / 2)
                more = list(pool.map(partial(self._ask, run, wait_s), sources))
                sources = [source for source, on in zip(sources, more, strict=True) if on]
            if run.stage != "running":
                list(pool.map(partial(self._tell_cancelled, run), sources))
        with self._changed:
            if run.stage == "running":
                self._end(run, "done")
        self._keep(run)

    def _ask(self, run: _Run, wait_s: float, source: _Source) -> bool:
        """Ask a server once; returns whether it has more to tell."""
        server = source.member.id
        try:
            if run.stage != "running":
                return True
            if not source.started:
                self._begin(run, source)
                return True
            body = {"do": "results", "run": run.name, "from": source.taken, "wait_s": wait_s}
            return self._take(run, source, self._asked(source.member, body, SLICE_S))
        except SchedulerError as error:
            with self._changed:
                run.pairs = [pair for pair in run.pairs if pair.source != server]
                run.not_asked[server] = _cause_of(error), printable(str(error))
            return False
        except Exception as error:  # noqa: BLE001 (one server's answer must not end the run)
            _log.exception("asking BQN %d failed", server)
            with self._changed:
                run.not_asked[server] = causes.NO_ANSWER, printable(repr(error))
            return False

    def _begin(self, run: _Run, source: _Source) -> None:
        targets = [m.id for m in run.members if m.id != source.member.id]
        body = {"do": "start", "run": run.name, "targets": targets}
        answer = self._asked(source.member, body, START_S)
        source.started = True
        with self._changed:
            run.standpoints[source.member.id] = standpoint_from_json(answer)

    def _take(self, run: _Run, source: _Source, answer: Mapping[str, Any]) -> bool:
        rows = answer.get("rows")
        if not isinstance(rows, list) or len(rows) + source.taken >= len(run.members):
            raise RemoteRefused(f"BQN {source.member.id} answers in a form that is not understood")
        targets = {m.id for m in run.members} - {source.member.id}
        pairs = [pair_from_row(source.member.id, row, targets) for row in rows]
        source.taken += len(rows)
        with self._changed:
            run.pairs += pairs
        return answer.get("done") is not True

    def _asked(self, member: Member, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        if member.id == self._me:
            return self._own(self._me, body)
        return self._call(member.seen_by(self._me), ROUTE, body, timeout_s)

    def _tell_cancelled(self, run: _Run, source: _Source) -> None:
        if source.started:
            try:
                self._asked(source.member, {"do": "cancel", "run": run.name}, START_S)
            except SchedulerError:
                return  # it ends by itself when nobody asks for results

    def _end(self, run: _Run, stage: Stage) -> None:
        run.stage = stage
        run.ended = self._now()
        self._changed.notify_all()

    def _diagnosis(self, run: _Run) -> Diagnosis:
        key = (run.name, len(run.pairs), f"{run.stage} {len(run.not_asked)}")
        if self._told is None or self._told[0] != key:
            # In whatever order the answers came: after a restart it reads the same.
            pairs = sorted(run.pairs, key=lambda pair: (pair.source, pair.target))
            self._told = (key, diagnose(Facts(run.members, pairs, run.not_asked, run.standpoints)))
        return self._told[1]

    # --- what is kept -----------------------------------------------------------------

    def _keep(self, run: _Run) -> None:
        with self._changed:
            value = _to_json(run)
        try:
            write_json(self._path, value)
        except OSError as error:
            _log.warning("the result of the doctor could not be kept: %s", error)

    def _kept(self) -> _Run | None:
        try:
            stored = read_json(self._path)
            return None if stored is None else _from_json(stored)
        except (SchedulerError, ConfigRepoError, LookupError, TypeError, ValueError) as error:
            _log.warning("the last result of the doctor cannot be read: %s", error)
            return None


_SAID: Mapping[Stage, str] = {
    "none": "The servers were not tried yet.",
    "running": "The servers are being tried.",
    "done": "Every server tried every other one.",
    "cancelled": "The run was cancelled; what it had found is kept.",
}


def _cause_of(error: SchedulerError) -> str:
    match error:
        case Unreachable(cause=cause):
            return cause
        case WrongIdentity():
            return causes.WRONG_IDENTITY
        case UnknownRoute():
            return causes.VERSION
    return causes.NO_ANSWER


def _to_json(run: _Run) -> dict[str, Any]:
    rows: dict[ServerId, list[Row]] = {}
    for pair in run.pairs:
        rows.setdefault(pair.source, []).append(row_of(pair))
    return {
        "run": run.name,
        "by": run.by,
        "began": run.began.isoformat(),
        "ended": None if run.ended is None else run.ended.isoformat(),
        "stage": run.stage,
        "members": dict(member_file(member) for member in run.members),
        "rows": [[source, found] for source, found in rows.items()],
        "not_asked": [[server, *why] for server, why in run.not_asked.items()],
        "standpoints": [[s, asdict(place)] for s, place in run.standpoints.items()],
    }


def _from_json(stored: Mapping[str, Any]) -> _Run:
    members = members_of(dict(stored["members"]))
    ids = {member.id for member in members}
    return _Run(
        name=str(stored["run"]),
        members=members,
        by=str(stored["by"]),
        began=datetime.fromisoformat(stored["began"]),
        ended=datetime.fromisoformat(stored["ended"]),
        stage=stored["stage"],
        pairs=[pair_from_row(s, row, ids) for s, found in stored["rows"] for row in found],
        not_asked={s: (cause, sentence) for s, cause, sentence in stored["not_asked"]},
        standpoints={s: standpoint_from_json(place) for s, place in stored["standpoints"]},
    )
