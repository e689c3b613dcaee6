"""The releases that run beside each other in one cluster (I11).

While a cluster is updated its servers are of two releases. What they say to each other goes
through the real codec then. The *newer* one writes fields that this one does not know and
sends messages of a type that it does not know, and its times are a tenth longer; the *older*
one lacks those rules that are not needed for safety (`rules.HARMLESS`). Each start draws the
release of a server anew, as an update or the way back from one does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from scheduler.election_values import Beacon, Relay
from scheduler.frames import decode, encode
from scheduler.messages import Message, Ping, UnknownType, from_json, to_json
from scheduler.presets import Timing
from tests.simulator.rules import Rules, older

_LENGTH_BYTES = 4
_SLOWER = 1.1


@dataclass(frozen=True)
class Release:
    """What one server runs."""

    name: str
    rules: Rules
    timing: Timing

    def passed(self, beacon: Beacon, relays: tuple[Relay, ...]) -> tuple[Beacon, tuple[Relay, ...]]:
        """A heartbeat as the others read it."""
        message = to_json(Ping(0, beacon, relays))
        if self.name == "newer":
            message = _with_news(message)
        read = _read(message)
        assert isinstance(read, Ping)
        return read.beacon, read.relays


def releases(rules: Rules, timing: Timing) -> tuple[Release, ...]:
    """This release with those before and after it."""
    longer = slower(timing)
    return (
        Release("this", rules, timing),
        Release("older", older(), timing),
        Release("newer", rules, longer),
    )


@cache
def slower(timing: Timing) -> Timing:
    """The times of the newer release."""
    return Timing(*(_SLOWER * getattr(timing, one.name) for one in fields(timing)))


def is_left_alone() -> bool:
    """Whether a message of a type that this release does not know is answered, not fatal."""
    try:
        _read({"t": "FORECAST", "n": 1, "of": {"traffic": [1, 2, 3]}})
    except UnknownType:
        return True
    return False


def _read(message: dict[str, Any]) -> Message:
    return from_json(decode(encode(message)[_LENGTH_BYTES:]))


def _with_news(message: dict[str, Any]) -> dict[str, Any]:
    """The same with fields of a later release in every object."""
    more = {
        key: _with_news(value)
        if isinstance(value, dict)
        else [_with_news(one) for one in value]
        if key == "relays"
        else value
        for key, value in message.items()
    }
    return {**more, "mood": "calm", "archive": {"head": None, "parts": [1, 2]}}
