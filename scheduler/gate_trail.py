"""What the gate tells the running program, for the audit log: who fetched, who was refused.

The gate (`scheduler/gate`) runs as a process of sshd and cannot write the chained log of the
program; it hands over who came, from which address, what was asked and what came of it. A
key that asks for nonsense again and again fills no disk: each name has a bucket of tokens,
and a push that is refused for the same reason is a line once in ten minutes: servers try again.

Core: writes through a callable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from configrepo.path_names import unescape
from scheduler.token_bucket import TokenBuckets
from scheduler.views import Person, Role

FETCHED: Final = "clone of the configuration over SSH"
REFUSED: Final = "request over SSH"
PUSHED: Final = "push over SSH"
PUSH: Final = "git-receive-pack"
_AUDITOR: Final = "audit:"
_LINES: Final = 4
_RATE_PER_S: Final = 0.2
_BURST: Final = 60
_AGAIN_S: Final = 600.0
_MOST_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class GateNote:
    """One thing that the gate saw. `who` is the id of a server, or `audit:USER`."""

    who: str
    address: str
    result: str
    asked: str

    @property
    def person(self) -> Person:
        """As the audit log names it."""
        name = f"BQN {self.who}"
        if self.who.startswith(_AUDITOR):
            user = self.who.removeprefix(_AUDITOR)
            name = unescape(user) or user
        return Person(name, Role.VIEWER, self.address)

    @property
    def action(self) -> str:
        """What was done, or asked in vain."""
        verb, _, what = self.asked.partition(" ")
        if verb == PUSH:
            return f"{PUSHED}: {_shown(what)}"
        if self.result.startswith("refused"):
            return f"{REFUSED}: {self.asked}"
        return FETCHED


def _shown(foreign: str) -> str:
    """Words that another server has chosen, safe to show and not endless."""
    return "".join(one if one.isprintable() else "?" for one in foreign)[:_MOST_SHOWN]


def note_of(lines: Sequence[str]) -> GateNote:
    """The note in the lines that the gate sent.

    Raises:
        ValueError: it is none.
    """
    if len(lines) != _LINES:
        raise ValueError("not a note of the gate")
    return GateNote(*lines)


class GateTrail:
    """Writes what the gate saw to the audit log."""

    def __init__(
        self, write: Callable[[Person, str, str], None], monotonic: Callable[[], float]
    ) -> None:
        self._write = write
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets = TokenBuckets(_RATE_PER_S, _BURST)
        self._reasons = TokenBuckets(1.0 / _AGAIN_S, 1)

    def write(self, note: GateNote) -> None:
        """Keep a note, unless this name has filled the log already."""
        now = self._monotonic()
        with self._lock:
            pushed = note.action.startswith(PUSHED)
            allowed = not pushed or self._reasons.take(f"{note.who} {note.result}", now)
            allowed = allowed and self._buckets.take(note.who, now)
        if allowed:
            self._write(note.person, note.action, _shown(note.result))
