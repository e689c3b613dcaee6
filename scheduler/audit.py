"""The audit log: who did what, when, from where, with which result.

One JSON object a line; each carries the SHA-256 of the line before it, so a changed or
removed line shows. The log never holds secrets: callers pass names, not values.

What people do must not fail because it cannot be written down: while the disk takes no line
(it is full), lines wait in memory, are shown, and are in the log of the program as well. They
are written, in their order, as soon as there is room.

Edge: files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from scheduler.state_dir import append_durably
from scheduler.views import AuditEntry, Person

START = "0" * 64
MOST_WAITING = 10_000
"""How many lines can wait; of more the oldest are in the log of the program only."""

# Each append waits for the disk, and whoever wants to log in waits for that.
_AT_ONCE = 100

_log = logging.getLogger(__name__)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()


class AuditLog:
    """The audit log of one server; safe for threads."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._now = now
        self._guard = threading.Lock()
        last = deque(self._lines(), maxlen=1)
        self._previous = _digest(last[0]) if last else START
        self._waiting: deque[dict[str, str]] = deque(maxlen=MOST_WAITING)

    def _lines(self) -> list[bytes]:
        return self._path.read_bytes().splitlines() if self._path.exists() else []

    def write(self, person: Person, action: str, result: str) -> None:
        """Append one line, durably; it waits if the disk does not take it."""
        with self._guard:
            entry = {
                "time": self._now().isoformat(timespec="milliseconds"),
                "person": ("local:" if person.local else "") + person.name,
                "address": person.address,
                "action": action,
                "result": result,
            }
            self._waiting.append(entry)
            error = self._write_waiting()
            if error is not None:
                told = json.dumps(entry, ensure_ascii=True, sort_keys=True)
                _log.error("the audit log takes no line (%s): %s", error, told)

    def write_waiting(self) -> str:
        """Write the lines that wait; a job. Returns one sentence."""
        with self._guard:
            error, left = self._write_waiting(), len(self._waiting)
        return "no line waits" if error is None else f"{left} lines wait: {error}"

    def alarms(self) -> tuple[str, ...]:
        """What people must know of it."""
        left = len(self._waiting)
        if not left:
            return ()
        return (
            f"{left} line{'s' if left != 1 else ''} of the audit log of this server cannot be "
            f"written to its disk; they wait in memory, and stand in the log of the program.",
        )

    def _write_waiting(self) -> OSError | None:
        while self._waiting:
            batch = list(islice(self._waiting, _AT_ONCE))
            lines, previous = b"", self._previous
            for entry in batch:
                stored = {**entry, "previous": previous}
                line = json.dumps(stored, ensure_ascii=True, sort_keys=True).encode()
                lines, previous = lines + line + b"\n", _digest(line)
            try:
                append_durably(self._path, lines)
            except OSError as error:
                return error
            for _ in batch:
                self._waiting.popleft()
            self._previous = previous
        return None

    def newest(self, limit: int) -> tuple[AuditEntry, ...]:
        """The newest entries, newest first; a line that cannot be read is shown as such."""
        with self._guard:
            lines = self._lines()[-limit:]
            waiting = [json.dumps(entry).encode() for entry in self._waiting]
        return tuple(_entry(line) for line in reversed((lines + waiting)[-limit:]))

    def broken_at(self) -> int | None:
        """The first line (from 1) whose chain does not hold, or None."""
        previous = START
        for number, line in enumerate(self._lines(), start=1):
            try:
                stored = json.loads(line)["previous"]
            except (ValueError, KeyError, TypeError):
                return number
            if stored != previous:
                return number
            previous = _digest(line)
        return None


def _entry(line: bytes) -> AuditEntry:
    try:
        stored = json.loads(line)
        return AuditEntry(
            time=datetime.fromisoformat(stored["time"]).astimezone(UTC),
            person=_shown(stored["person"]),
            address=_shown(stored["address"]),
            action=_shown(stored["action"]),
            result=_shown(stored["result"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return AuditEntry(datetime.fromtimestamp(0, UTC), "?", "", "damaged line", "see the file")


def _shown(text: str) -> str:
    """Half a character of JSON (a lone surrogate) can stand in the file, but on no page."""
    return text.encode("utf-8", "replace").decode()
