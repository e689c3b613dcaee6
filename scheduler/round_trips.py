"""The round trips of one session: who asks when, what was asked, what is still to be answered.

A heartbeat is two frames. The side with the lower id asks (PING) at its pace; the other one
answers at once (PONG). The answer has a number of its own, which the next PING answers in
turn, saying how long it was held: so each side has a round trip every heartbeat, from one
frame in each direction. The other side asks by itself only while it is not asked.

A number counts once: who hears the same answer again hears nothing new, so one-way loss
makes both sides silent.

Pure.
"""

from __future__ import annotations

_OUTSTANDING = 16
# Heartbeats come with a jitter of a tenth.
_ON_TIME = 0.9
_OVERDUE = 1.25


class RoundTrips:
    """What one side of a session keeps count of. `asks`: this side has the lower id."""

    def __init__(self, *, asks: bool, now: float) -> None:
        self.answered_at = now
        self._asks = asks
        self._asked_at = now
        self._led_at = float("-inf")
        self._number = 0
        self._sent: dict[int, float] = {}
        self._owed: tuple[int, float] | None = None

    def due(self, interval_s: float, now: float) -> bool:
        """Whether it is time to ask."""
        if self._asked_at > now - _ON_TIME * interval_s:
            return False
        return self._asks or self._led_at < now - _OVERDUE * interval_s

    def ask(self, now: float) -> tuple[int, int, int]:
        """The number of a question, the number that it answers (or 0), held for so many ms."""
        self._asked_at = now
        owed, self._owed = self._owed, None
        echo, came_at = (0, now) if owed is None else owed
        return self._new_number(now), echo, round((now - came_at) * 1000)

    def answer(self, now: float) -> int:
        """The number of an answer."""
        return self._new_number(now)

    def owe(self, number: int, now: float) -> None:
        """An answer of the other side came, which the next question answers."""
        self._owed = (number, now) if number else None

    def led(self, now: float) -> None:
        """The other side asks, and has answered in the same frame."""
        self._led_at = now

    def took_s(self, number: int, held_s: float, now: float) -> float | None:
        """How long an answer was under way; None if it answers nothing that is open."""
        sent_at = self._sent.pop(number, None)
        if sent_at is None:
            return None
        self.answered_at = now
        return max(0.0, now - sent_at - held_s)

    def _new_number(self, now: float) -> int:
        self._number += 1
        self._sent[self._number] = now
        if len(self._sent) > _OUTSTANDING:
            del self._sent[next(iter(self._sent))]
        return self._number
