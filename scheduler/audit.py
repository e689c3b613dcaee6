"""The audit log: who did what, when, from where, with which result.

One JSON object a line; each carries the SHA-256 of the line before it, so a changed or
removed line shows. The log never holds secrets: callers pass names, not values.

Edge: files.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from scheduler.views import AuditEntry, Person

START = "0" * 64


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

    def _lines(self) -> list[bytes]:
        return self._path.read_bytes().splitlines() if self._path.exists() else []

    def write(self, person: Person, action: str, result: str) -> None:
        """Append one line, durably."""
        with self._guard:
            entry = {
                "time": self._now().isoformat(timespec="milliseconds"),
                "person": ("local:" if person.local else "") + person.name,
                "address": person.address,
                "action": action,
                "result": result,
                "previous": self._previous,
            }
            line = json.dumps(entry, ensure_ascii=True, sort_keys=True).encode()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._previous = _digest(line)

    def newest(self, limit: int) -> tuple[AuditEntry, ...]:
        """The newest entries, newest first; a line that cannot be read is shown as such."""
        return tuple(_entry(line) for line in reversed(self._lines()[-limit:]))

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
            time=datetime.fromisoformat(stored["time"]),
            person=stored["person"],
            address=stored["address"],
            action=stored["action"],
            result=stored["result"],
        )
    except (ValueError, KeyError, TypeError):
        return AuditEntry(datetime.fromtimestamp(0, UTC), "?", "", "damaged line", "see the file")
