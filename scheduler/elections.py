"""The history of elections of one server: what it saw, kept over restarts and in the audit.

One JSON object a line in `elections.jsonl`, only appended to and synced. A view of the
control room is taken in at once; what must wait for the disk is written by a job, so that
a slow disk never holds the control room up.

Edge: files.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from configrepo.model import ServerId
from scheduler.control_view import Accepted, ControlView
from scheduler.election_events import Memory, noticed
from scheduler.elections_seam import KINDS, ElectionEvent, IfDies
from scheduler.state_dir import append_durably
from scheduler.views import Person, Role

SHOWN = 2000


class Elections:
    """The events of one server; safe for threads.

    Args:
        me: this server.
        path: where they are kept.
        audit: writes a line of the audit log.
        what_if: what would happen if a server died now.
        now: the wall clock, UTC; only shown.
    """

    def __init__(
        self,
        me: ServerId,
        path: Path,
        audit: Callable[[Person, str, str], None],
        what_if: Callable[[], tuple[IfDies, ...]],
        now: Callable[[], datetime],
    ) -> None:
        self._me = me
        self._path = path
        self._audit = audit
        self._what_if = what_if
        self._now = now
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        self._events = _read(path)
        self._unwritten: list[ElectionEvent] = []
        led = [event for event in self._events if event.kind in KINDS[:2] or event.kind == KINDS[3]]
        last = led[-1] if led else None
        self._memory = Memory(None if last is None else Accepted(last.term, last.server))

    def viewed(self, view: ControlView) -> bool:
        """Take in a view; returns whether something is to be written."""
        with self._guard:
            self._memory, events = noticed(self._memory, view, self._now())
            self._events = [*self._events, *events][-SHOWN:]
            self._unwritten += events
            return bool(self._unwritten)

    def write(self) -> str:
        """Put what is new on the disk and into the audit log; returns one sentence.

        Raises:
            OSError: it could not be written; it is tried again.
        """
        with self._writing:
            with self._guard:
                events = list(self._unwritten)
            if not events:
                return "no election"
            self._append(events)
            with self._guard:
                del self._unwritten[: len(events)]
            for event in events:
                person = Person(f"BQN {self._me}", Role.VIEWER)
                self._audit(person, f"election: {event.kind}", event.sentence)
            return events[-1].sentence

    def events(self) -> tuple[ElectionEvent, ...]:
        """See `ElectionsRoom`."""
        with self._guard:
            return tuple(reversed(self._events))

    def nobody_since(self) -> datetime | None:
        """See `ElectionsRoom`."""
        return self._memory.lost_at

    def what_if(self) -> tuple[IfDies, ...]:
        """See `ElectionsRoom`."""
        return self._what_if()

    def _append(self, events: list[ElectionEvent]) -> None:
        lines = [json.dumps(_to_json(event), sort_keys=True) + "\n" for event in events]
        append_durably(self._path, "".join(lines).encode())


def _to_json(event: ElectionEvent) -> dict[str, Any]:
    return {
        "time": event.time.isoformat(timespec="milliseconds"),
        "kind": event.kind,
        "server": event.server,
        "term": event.term,
        "sentence": event.sentence,
        "leaderless_s": event.leaderless_s,
    }


def _read(path: Path) -> list[ElectionEvent]:
    """The events of a file, without the lines that cannot be read."""
    lines = path.read_bytes().splitlines()[-SHOWN:] if path.exists() else []
    return [event for event in map(_event, lines) if event is not None]


def _event(line: bytes) -> ElectionEvent | None:
    try:
        stored = json.loads(line)
        leaderless = stored["leaderless_s"]
        return ElectionEvent(
            time=datetime.fromisoformat(stored["time"]),
            kind=KINDS[KINDS.index(stored["kind"])],
            server=ServerId(int(stored["server"])),
            term=int(stored["term"]),
            sentence=str(stored["sentence"]),
            leaderless_s=None if leaderless is None else float(leaderless),
        )
    except (ValueError, KeyError, TypeError):
        return None
