"""Damage done to frames of the control port, each kind by name.

A mutation begins with frames as a member sends them and gives bytes: too few, too many, in
another order, or with another content. What a member that lies may say in good frames (a
higher term, that it leads) is no damage; other tests say it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from configrepo.model import ServerId
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon, Relay
from scheduler.frames import MAX_BYTES, MAX_KEYS, encode
from scheduler.messages import Bye, Err, HandNo, HandOk, HandReq, Message, Ping, Pong, to_json
from tests.faults.control.lines import FUZZED, hello

_HUGE = ("1e999", "-1e999", "NaN", "-Infinity", "9007199254740993", "-9007199254740993")
_OTHER_TYPES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    "",
    "x" * 300,
    "\u0007",
    [],
    [[1]],
    {},
    {"a": {"b": None}},
)


def good(random: Random) -> bytes:
    """A frame that a member may send, if perhaps not now."""
    if random.random() < 0.2:
        return hello(FUZZED, random.randrange(1, 1000))
    number, boot = random.randrange(1, 10**6), random.randrange(1, 1000)
    beacon = Beacon(ServerId(FUZZED), boot, number, ControlRole.SECONDARY, 0, 0)
    relay = Relay(Beacon(ServerId(3), 1, number, ControlRole.SECONDARY, 0, 0), 0.1)
    messages: tuple[Message, ...] = (
        Ping(number, beacon),
        Ping(number, beacon, (relay,), echo=number, held_ms=3, lacks=6),
        Pong(number, beacon),
        Pong(number, beacon, (relay,), own=number),
        HandReq(),
        HandOk(0, None),
        HandNo("another one leads"),
        Err("unknown-type"),
    )
    return encode(to_json(random.choice(messages)))


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def _members(random: Random) -> list[tuple[str, str]]:
    """Keys and values of a good frame, each value as its text."""
    value: dict[str, Any] = json.loads(good(random)[4:])
    return [(key, json.dumps(inner)) for key, inner in value.items()]


def _written(members: list[tuple[str, str]]) -> bytes:
    inner = ",".join(f"{json.dumps(key)}:{text}" for key, text in members)
    return _framed(f"{{{inner}}}".encode())


def _with_value(random: Random, text: str) -> bytes:
    """A good frame in which one value, or a new one, is this."""
    members = _members(random)
    at = random.randrange(len(members) + 1)
    members[at : at + 1] = [(members[at][0] if at < len(members) else "new", text)]
    return _written(members)


def bits_flipped(random: Random) -> bytes:
    whole = bytearray(good(random))
    for at in random.sample(range(len(whole)), random.randrange(1, 5)):
        whole[at] ^= 1 << random.randrange(8)
    return bytes(whole)


def cut_short(random: Random) -> bytes:
    """The length is that of what is left."""
    body = good(random)[4:]
    return _framed(body[: random.randrange(1, len(body))])


def length_lies(random: Random) -> bytes:
    body = good(random)[4:]
    claimed = random.choice(
        (
            0,
            random.randrange(1, len(body)),
            len(body) + random.randrange(1, 200),
            MAX_BYTES + random.randrange(1, 1000),
            random.randrange(2**31, 2**32),
        )
    )
    return claimed.to_bytes(4, "big") + body


def nested_deeply(random: Random) -> bytes:
    """From one level too many to nearly as many as a frame can hold."""
    depth = random.choice((7, 8, 20, 500, 1100, 10_000 if random.random() < 0.1 else 9))
    opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
    return _with_value(random, opening * depth + "1" + closing * depth)


def wrong_type(random: Random) -> bytes:
    return _with_value(random, json.dumps(random.choice(_OTHER_TYPES)))


def huge_number(random: Random) -> bytes:
    digits = random.choice("123456789") * random.choice((17, 30, 400, 5000))
    return _with_value(random, random.choice((*_HUGE, digits, f"-{digits}", f"{digits}.5e9")))


def key_twice(random: Random) -> bytes:
    members = _members(random)
    again = random.choice(members)
    members.insert(random.randrange(len(members) + 1), (again[0], random.choice(members)[1]))
    return _written(members)


def too_many_keys(random: Random) -> bytes:
    more = [(f"k{number}", "1") for number in range(MAX_KEYS + random.randrange(500))]
    return _written([*_members(random), *more])


def interleaved(random: Random) -> bytes:
    """A frame in the middle of another one."""
    outer, inner = good(random), good(random)
    at = random.randrange(1, len(outer))
    return outer[:at] + inner + outer[at:]


def bytes_put_in(random: Random) -> bytes:
    body = good(random)[4:]
    at = random.randrange(len(body))
    return _framed(body[:at] + random.randbytes(random.randrange(1, 30)) + body[at:])


def noise(random: Random) -> bytes:
    return random.randbytes(random.randrange(1, 200))


def out_of_order(random: Random) -> bytes:
    """Good frames that answer nothing, greet again, count back, or end what goes on."""
    last = encode(to_json(Bye(random.random() < 0.5, random.randrange(1, 1000))))
    frames = [good(random) for _ in range(random.randrange(1, 4))]
    return b"".join([*frames, last] if random.random() < 0.1 else frames)


def unknown_type(random: Random) -> bytes:
    """What a later release may say."""
    value: Any = random.choice([random.random(), "\u00e9\u4e16" * 9, None, -(2**53)])
    for _ in range(random.randrange(4)):
        value = random.choice([[value], {"a": value}])
    return encode({"t": f"NEW-{random.randrange(99)}", "new": value})


KINDS: tuple[Callable[[Random], bytes], ...] = (
    bits_flipped,
    cut_short,
    length_lies,
    nested_deeply,
    wrong_type,
    huge_number,
    key_twice,
    too_many_keys,
    interleaved,
    bytes_put_in,
    noise,
    out_of_order,
)
