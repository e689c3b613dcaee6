"""Damaged and made-up frames: read or refused, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pytest

from scheduler.frames import MAX_BYTES, MAX_BYTES_BEFORE_HELLO, BadFrame, Frames, encode
from scheduler.messages import Bye, UnknownType, from_json, to_json
from tests.faults.control.lines import FUZZED, Line, boots, client_context, hello, ping
from tests.support.control_rooms import Room
from tests.support.identities import identity

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]


def fuzzed(random: Random, number: int) -> bytes:
    """A frame: damaged, out of grammar, or noise."""
    kind = number % 4
    if kind == 0:
        return random.randbytes(random.randrange(0, 200))
    whole = bytearray(
        random.choice(
            (hello(FUZZED, number), ping(FUZZED, number), encode(to_json(Bye(True, number))))
        )
    )
    if kind == 1:
        for _ in range(random.randrange(1, 4)):
            whole[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    elif kind == 2:
        at = random.randrange(4, len(whole))
        body = whole[4:at] + random.randbytes(random.randrange(0, 30)) + whole[at:]
        whole = bytearray(len(body).to_bytes(4, "big") + body)
    else:
        values: tuple[Any, ...] = (
            None,
            -1,
            2**53,
            2**70,
            1e300,
            "x" * 300,
            [],
            [[[[[[[]]]]]]],
            {"a": {}},
            True,
        )
        value = json.loads(whole[4:])
        value[random.choice([*value, "new"])] = random.choice(values)
        body = bytearray(json.dumps(value).encode())
        whole = bytearray(len(body).to_bytes(4, "big") + body)
    return bytes(whole)


def test_no_frame_does_more_than_be_read_or_be_refused(full: bool) -> None:
    random, counts = Random(7), {"read": 0, "refused": 0, "unknown": 0, "incomplete": 0}
    count = 1_000_000 if full else 50_000
    for number in range(count):
        frames = Frames(MAX_BYTES)
        try:
            found = list(frames.feed(fuzzed(random, number)))
            for value in found:
                from_json(value)
            counts["read" if found else "incomplete"] += 1
        except BadFrame:
            counts["refused"] += 1
        except UnknownType:
            counts["unknown"] += 1
    print(f"{count} frames in process: {counts}")
    assert counts["read"] > 0
    assert counts["refused"] > count / 4


def completed(random: Random, data: bytes) -> bytes:
    """The same with as many bytes as its length says: what is half there is waited for."""
    data = data.ljust(4, b"\0")
    length = int.from_bytes(data[:4], "big")
    if length > MAX_BYTES:
        return data
    return data + random.randbytes(max(4 + length - len(data), 0))


def unknown(random: Random) -> bytes:
    """A frame of a type that a later release may have: told so, and the connection goes on."""
    name, depth = f"NEW-{random.randrange(99)}", random.randrange(1, 5)
    value: Any = random.choice([random.random(), "\u00e9\u4e16" * 9, None, -(2**53)])
    for _ in range(depth):
        value = random.choice([[value], {"a": value}])
    return encode({"t": name, "new": value})


class Mirror:
    """Reads what is sent as the port does; knows when the port must have hung up."""

    def __init__(self, limit: int) -> None:
        self._frames = Frames(limit)
        self.counts: Counter[str] = Counter()
        self.ended = False

    def feed(self, data: bytes) -> None:
        """One more frame is sent."""
        try:
            for value in self._frames.feed(data):
                self._read(value)
        except BadFrame:
            self.counts["refused"] += 1
            self.ended = True

    def _read(self, value: dict[str, Any]) -> None:
        try:
            message = from_json(value)
        except UnknownType:
            self.counts["unknown"] += 1
        else:
            self.counts["read"] += 1
            self.ended = self.ended or isinstance(message, Bye)


def abused(line: Line, random: Random, greeted: bool) -> Counter[str]:
    """Send frames until the port must hang up, and see that it does; which frames it read."""
    mirror = Mirror(MAX_BYTES if greeted else MAX_BYTES_BEFORE_HELLO)
    while not mirror.ended:
        tolerated = greeted and random.random() < 0.7
        data = unknown(random) if tolerated else fuzzed(random, random.randrange(10**6))
        whole = completed(random, data)
        before = mirror.counts["unknown"]
        mirror.feed(whole)
        line.say(whole)
        if greeted and not mirror.ended and mirror.counts["unknown"] > before:
            assert line.hear_kind("ERR") == {"t": "ERR", "code": "unknown-type"}
        if not greeted:
            # Also where it was a HELLO after all, this ends it.
            mirror.feed(bytes(4))
            line.say(bytes(4))
    last = None
    while (frame := line.hear()) is not None:
        last = frame
    assert not greeted or not mirror.counts["refused"] or last == {"t": "ERR", "code": "bad-frame"}
    return mirror.counts


def test_damaged_frames_over_tls_end_the_connection_and_nothing_else(
    rooms: tuple[Room, Room], full: bool
) -> None:
    """Before and after HELLO; what was sent counts only if the port told that it was read."""
    zero, _ = rooms
    random, counts, connections = Random(8), Counter[str](), 0
    context = client_context(identity(FUZZED).control_pem)
    goal = 50_000 if full else 5_000
    while counts.total() < goal:
        connections += 1
        with Line(zero, context) as line:
            if greets := connections % 8 != 0:
                line.say(hello(FUZZED, next(boots)))
                assert line.hear_kind("HELLO") is not None
            counts += abused(line, random, greets)
    print(f"{counts.total()} frames over {connections} connections: {dict(counts)}")
    assert counts["refused"] > goal / 5
