"""Damaged and made-up frames: read or refused, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scheduler.frames import MAX_BYTES, MAX_BYTES_BEFORE_HELLO, BadFrame, Frames
from scheduler.messages import Bye, Message, Ping, Pong, UnknownType, from_json
from tests.faults.control.lines import (
    FUZZED,
    Line,
    boots,
    client_context,
    hello,
    wait_for_contact,
)
from tests.faults.control.mutations import KINDS, out_of_order, unknown_type
from tests.support.control_rooms import Room
from tests.support.identities import identity
from tests.support.own_delays import own_delays

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

# What is sent over one connection before it is ended, if nothing has ended it.
_MOST = 40
_MORE_MB = 32.0
# A machine that stands still this long may let a member be silent for too long.
_STANDSTILL_S = 0.3
# Of these every single one must be refused.
_NEVER_READ = {"cut_short", "nested_deeply", "key_twice", "too_many_keys", "interleaved"}


class Mirror:
    """Reads what is sent as the port does; knows when the port must have hung up."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._frames = Frames(limit)
        self.verdicts: Counter[str] = Counter()
        self.claims = False
        self.ended = False

    @property
    def lacking(self) -> int:
        """How many bytes are missing from what has begun."""
        begun = self._frames._bytes
        if len(begun) < 4:
            return 4 - len(begun) if begun else 0
        return 4 + int.from_bytes(begun[:4], "big") - len(begun)

    def feed(self, data: bytes) -> None:
        """More is sent."""
        try:
            for value in self._frames.feed(data):
                self._read(value)
        except BadFrame:
            self.verdicts["refused"] += 1
            self.ended = True

    def _read(self, value: dict[str, Any]) -> None:
        if self.ended:
            return
        try:
            message = from_json(value)
        except UnknownType:
            self.verdicts["unknown"] += 1
        else:
            self.verdicts["read"] += 1
            self.claims = self.claims or claims(message)
            self.ended = isinstance(message, Bye)


def claims(message: Message) -> bool:
    """Whether a good frame says what others must act on: a term above theirs."""
    match message:
        case Ping(beacon=beacon) | Pong(beacon=beacon):
            return max(beacon.epoch, beacon.maxep) > 1
    return False


def completed(random: Random, data: bytes, limit: int = MAX_BYTES) -> tuple[bytes, Mirror]:
    """The same with as many bytes as its lengths say: what is half there is waited for."""
    mirror = Mirror(limit)
    mirror.feed(data)
    while not mirror.ended and mirror.lacking:
        more = random.randbytes(mirror.lacking)
        mirror.feed(more)
        data += more
    return data, mirror


def drawn(random: Random, kind: Any, limit: int = MAX_BYTES) -> tuple[bytes, Mirror]:
    """A mutation of a kind, and what must come of it."""
    while True:
        data, mirror = completed(random, kind(random), limit)
        if not mirror.claims:
            return data, mirror


def told(counts: Counter[tuple[str, str]]) -> str:
    """What came of each kind, in one line a kind."""
    kinds = sorted({kind for kind, _ in counts})
    return "\n".join(
        f"  {kind}: " + ", ".join(f"{n} {what}" for (k, what), n in counts.items() if k == kind)
        for kind in kinds
    )


def check_kinds(counts: Counter[tuple[str, str]], goal: int) -> None:
    """Every kind did occur, and did what it is for."""
    for kind in KINDS:
        name = kind.__name__
        of_kind = {what: n for (k, what), n in counts.items() if k == name}
        assert sum(of_kind.values()) >= goal // len(KINDS), name
        assert of_kind.get("read" if kind is out_of_order else "refused", 0) > 0, name
        if name in _NEVER_READ:
            assert of_kind.keys() == {"refused"}, (name, of_kind)


def test_no_frame_does_more_than_be_read_or_be_refused(full: bool) -> None:
    random, counts = Random(7), Counter[tuple[str, str]]()
    count = 1_000_000 if full else 50_000
    for kind in islice(cycle((*KINDS, unknown_type)), count):
        frames, name = Frames(MAX_BYTES), kind.__name__
        try:
            found = list(frames.feed(kind(random)))
            for value in found:
                from_json(value)
            counts[name, "read" if found else "incomplete"] += 1
        except BadFrame:
            counts[name, "refused"] += 1
        except UnknownType:
            counts[name, "unknown"] += 1
    print(f"{count} mutated frames in process:\n{told(counts)}")
    assert counts["noise", "refused"] > 0
    assert counts["length_lies", "incomplete"] > 0
    assert counts["unknown_type", "unknown"] == count // (len(KINDS) + 1)


@dataclass
class Abuse:
    """Sends mutated frames over connections to a port, and sees what comes of each."""

    room: Room
    random: Random = field(default_factory=lambda: Random(8))
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    connections: int = 0

    def __post_init__(self) -> None:
        self._context = client_context(identity(FUZZED).control_pem)
        self._kinds = cycle(KINDS)

    def connection(self) -> None:
        """One connection, until something sent over it ends it."""
        self.connections += 1
        with Line(self.room, self._context) as line:
            if self.connections % 8 == 0:
                self._as_a_stranger(line)
            else:
                self._as_a_member(line)

    def _as_a_member(self, line: Line) -> None:
        line.say(hello(FUZZED, next(boots)))
        assert line.hear_kind("HELLO") is not None
        sent: Counter[tuple[str, str]] = Counter()
        answers = 0
        for kind in islice(self._kinds, _MOST):
            data, mirror = drawn(self.random, kind)
            line.say(data)
            answers += mirror.verdicts["unknown"]
            sent[kind.__name__, "refused" if mirror.verdicts["refused"] else "read"] += 1
            if mirror.ended:
                break
        else:
            line.say(bytes(4))
        errors = [frame["code"] for frame in _rest(line) if frame["t"] == "ERR"]
        said_good_bye = mirror.ended and not mirror.verdicts["refused"]
        # Frames are read in order: the last answer is the proof that all were.
        assert errors == ["unknown-type"] * answers + ["bad-frame"] * (not said_good_bye)
        self.counts += sent

    def _as_a_stranger(self, line: Line) -> None:
        """Before HELLO: whatever it is, the port hangs up."""
        kind = next(self._kinds)
        data, mirror = drawn(self.random, kind, MAX_BYTES_BEFORE_HELLO)
        line.say(data)
        if not mirror.ended:
            line.say(bytes(4))
        list(_rest(line))
        self.counts[kind.__name__, "refused" if mirror.verdicts["refused"] else "read"] += 1


def _rest(line: Line) -> Iterator[dict[str, Any]]:
    while (frame := line.hear()) is not None:
        yield frame


def _memory_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def _control_process(room: Room) -> int:
    process = room.room._process
    assert process is not None
    assert process.poll() is None
    return process.pid


def test_mutated_frames_over_tls_end_the_connection_and_nothing_else(
    rooms: tuple[Room, Room], full: bool
) -> None:
    """Before and after HELLO, to a real control process, beside a member that is in order."""
    zero, one = rooms
    abuse, goal = Abuse(zero), 50_000 if full else 5_000
    process, said = _control_process(zero), len(zero.sentences)
    zero.seen.clear()
    with own_delays() as late:
        while abuse.counts.total() < goal // 10:
            abuse.connection()
        before_mb = _memory_mb(process)
        while abuse.counts.total() < goal:
            abuse.connection()
            if abuse.connections % 500 == 0:
                wait_for_contact(zero, 1, datetime.now(UTC))
    after_mb = _memory_mb(process)
    print(
        f"{abuse.counts.total()} mutated frames over {abuse.connections} connections, "
        f"{before_mb:.0f} MB before, {after_mb:.0f} MB after:\n{told(abuse.counts)}"
    )
    check_kinds(abuse.counts, goal)
    assert _control_process(zero) == process
    assert after_mb < before_mb + _MORE_MB
    states = {state for number, state in zero.seen if number == 1}
    assert states <= {"alive", "suspect", "indirect"} or max(late) > _STANDSTILL_S, states
    assert not any("ended" in sentence for sentence in zero.sentences[said:])
    asked = datetime.now(UTC)
    wait_for_contact(zero, 1, asked)
    wait_for_contact(one, 0, asked)
