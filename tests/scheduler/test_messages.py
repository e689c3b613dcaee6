"""Each message is read back as it was written, and what is not one is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler.control_view import Barred, ControlRole
from scheduler.election_values import Beacon, Relay
from scheduler.frames import MAX_BYTES_BEFORE_HELLO, BadFrame, decode, encode
from scheduler.messages import (
    Bye,
    Err,
    HandNo,
    HandOk,
    HandReq,
    Hello,
    Message,
    MessageReader,
    Ping,
    Pong,
    UnknownType,
    framed,
    from_json,
    to_json,
)

_BEACON = Beacon(ServerId(0), 3, 4, ControlRole.PRIMARY, 5, 6, None, "a" * 40)
_FOLLOWER = Beacon(ServerId(255), 1, 1, ControlRole.SECONDARY, 0, 10**12 - 1, ServerId(0))
_OPTIONAL = {"follow", "head", "barred", "sig", "relays", "lacks", "run", "schema"}
_MESSAGES: list[Message] = [
    Hello("c" * 32, ServerId(0), 1, "R5.0.0"),
    Ping(1, _BEACON),
    Pong(2, _FOLLOWER),
    Ping(9, _FOLLOWER, echo=8, held_ms=391, lacks=1 << 255),
    Pong(9, _BEACON, (Relay(_FOLLOWER, 0.5),), own=10, lacks=3),
    HandReq(),
    HandOk(7, "b" * 40),
    HandOk(7, None),
    HandNo("BQN 1 does not lead"),
    Ping(1, replace(_BEACON, barred=Barred("maintenance until noon", 1_900_000_000.5))),
    Pong(1, replace(_BEACON, barred=Barred("disk"))),
    Ping(1, replace(_BEACON, signature="c2lnbmVk"), (Relay(_FOLLOWER, 0.25), Relay(_BEACON, 2.0))),
    Hello("c" * 32, ServerId(0), 1, "R5.0.0", run="0123456789abcdef"),
    Bye(stopping=True, boot=3),
    Err("removed"),
]


@pytest.mark.parametrize("message", _MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_back_as_it_was_written(message: Message) -> None:
    assert from_json(decode(encode(to_json(message))[4:])) == message


@pytest.mark.parametrize("message", _MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_without_one_of_its_fields_is_refused(message: Message) -> None:
    whole = to_json(message)
    for field in whole.keys() - _OPTIONAL:
        with pytest.raises(BadFrame):
            from_json({key: value for key, value in whole.items() if key != field})


@pytest.mark.parametrize(
    "change",
    [
        {"id": 256},
        {"id": -1},
        {"id": "0"},
        {"id": True},
        {"seq": 1.5},
        {"epoch": 10**12},
        {"role": "king"},
        {"follow": 999},
        {"heads": None},
        {"heads": {"cluster": "A" * 40}},
        {"heads": {"cluster": "a" * 39}},
        {"barred": {"why": 1}},
        {"sig": 1},
        {"e": -1},
        {"held": "1"},
        {"lacks": 3},
        {"lacks": ""},
        {"lacks": "0x1"},
        {"lacks": "f" * 65},
        {"relays": {}},
        {"relays": [1]},
        {"relays": [to_json(Ping(1, _BEACON))]},
        {"relays": [{"age_ms": 1, **to_json(Ping(1, _BEACON))}] * 9},
        {"barred": {"why": "", "until": "noon"}},
        {"t": 1},
        {"t": "x" * 300},
    ],
    ids=str,
)
def test_a_field_that_is_not_as_it_should_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadFrame):
        from_json({**to_json(Ping(1, _BEACON)), **change})


@pytest.mark.parametrize("message", _MESSAGES, ids=lambda message: type(message).__name__)
def test_a_frame_says_what_its_object_says(message: Message) -> None:
    assert from_json(decode(framed(message)[4:])) == message


def _read(reader: Callable[[bytes], Message], body: bytes) -> object:
    """What a reader makes of a body; of a refusal its kind."""
    try:
        message = reader(body)
    except (BadFrame, UnknownType) as refused:
        return type(refused)
    signature = message.beacon.signature if isinstance(message, Ping | Pong) else ""
    return (message, signature)


def _damaged(random: Random, body: bytes) -> bytes:
    """The same with a few bytes that mean something, or any, put in or in place of others."""
    at = random.randrange(len(body))
    new = random.choice(
        [b'"', b"0", b"-1", b",", b"{}", b'"n":1,', b"9" * 17, b"\xff", b"\\", b"."]
    )
    return body[:at] + new + body[at + random.randrange(3) :]


def test_a_remembered_heartbeat_is_read_as_one_that_is_parsed() -> None:
    """Whatever came before on a connection, and however it was damaged."""
    random, reader, remembered = Random(5), MessageReader(), 0
    said = [_BEACON, _FOLLOWER, replace(_BEACON, barred=Barred("disk")), replace(_BEACON, epoch=9)]
    for number in range(1, 20_000):
        beacon = replace(said[number // 50 % 4], seq=number, signature="c2lnbmVk" * (number % 3))
        relays = (Relay(_FOLLOWER, 0.25),) if number % 200 > 150 else ()
        lacks = number // 400
        message = (
            Ping(number, beacon, relays, number - 1, number % 500, lacks),
            Pong(number, beacon, relays, number + 1, lacks),
        )[number // 25 % 2]
        body = framed(message)[4:]
        if random.random() < 0.2:
            body = _damaged(random, body)
        before = reader.parsed
        assert _read(reader.read, body) == _read(lambda body: from_json(decode(body)), body), body
        remembered += reader.parsed == before
    assert remembered > 10_000


def test_an_unknown_type_is_told_apart_from_a_bad_frame() -> None:
    with pytest.raises(UnknownType, match="NOTIFY"):
        from_json({"t": "NOTIFY"})


def test_fields_of_a_newer_release_are_left_alone() -> None:
    assert from_json({**to_json(HandReq()), "new": {"x": [1]}}) == HandReq()


def test_control_characters_do_not_reach_a_log() -> None:
    with pytest.raises(BadFrame):
        from_json({"t": "ERR", "code": "x\x1b[31m\n"})


def test_the_longest_hello_fits_into_what_a_stranger_may_send() -> None:
    hello = Hello("c" * 64, ServerId(255), 2**53, "R" * 256)
    assert len(encode(to_json(hello))) <= MAX_BYTES_BEFORE_HELLO
