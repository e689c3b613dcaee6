"""The codec of the control port: what is a frame, and that nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.frames import MAX_BYTES, BadFrame, Frames, decode, encode

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def _deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@given(st.dictionaries(st.text(max_size=8), st.integers(-(2**53), 2**53), max_size=20))
def test_what_is_encoded_is_decoded_again(message: dict[str, Any]) -> None:
    frames = Frames(MAX_BYTES)
    assert list(frames.feed(encode(message))) == [message]
    assert not frames.partial


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3)), st.data())
@settings(max_examples=50)
def test_the_cuts_of_the_network_do_not_matter(messages: list[Any], data: st.DataObject) -> None:
    stream = b"".join(encode(message) for message in messages)
    frames, seen = Frames(MAX_BYTES), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        seen += list(frames.feed(stream[:cut]))
        stream = stream[cut:]
    assert seen == messages


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_random_bytes_are_refused_or_read_but_nothing_else_happens(body: bytes) -> None:
    try:
        message = decode(body)
    except BadFrame:
        return
    assert isinstance(message, dict)


@given(_values, st.binary(min_size=1, max_size=3), st.integers(0, 100))
@settings(max_examples=300)
def test_damaged_frames_are_refused_or_read(value: Any, damage: bytes, at: int) -> None:
    body = json.dumps({"v": value}).encode()
    at %= len(body)
    try:
        decode(body[:at] + damage + body[at + len(damage) :])
    except BadFrame:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1",
        b"[]",
        b"null",
        b'"x"',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":9007199254740993}',
        b'{"a":-9007199254740993}',
        b'{"a":' + b"9" * 60000 + b"}",
        b'{"a":1',
        b'{"a":1}x',
        b"\xff\xfe",
        b'{"a":"\xed\xa0\x80"}',
        b"[" * 60000,
        b'{"a":' * 10000,
        _deep(7),
        json.dumps({str(n): n for n in range(65)}).encode(),
        json.dumps({"a": [{"b": n} for n in range(1000)]}).encode(),
    ],
)
def test_what_is_not_strict_is_refused(body: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(body)


@pytest.mark.parametrize(
    "body", [b"{}", _deep(6), b'{"a":9007199254740992}', json.dumps(dict.fromkeys("ab")).encode()]
)
def test_what_is_just_within_the_limits_is_read(body: bytes) -> None:
    assert decode(body) == json.loads(body)


@pytest.mark.parametrize("length", [0, 1025, 65_537, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_the_body_comes(length: int) -> None:
    with pytest.raises(BadFrame, match="not allowed here"):
        list(Frames().feed(length.to_bytes(4, "big")))


def test_after_hello_larger_frames_are_read() -> None:
    frames = Frames()
    frames.limit = MAX_BYTES
    message = {"text": "x" * 5000}
    assert list(frames.feed(encode(message))) == [message]


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(BadFrame, match="too large"):
        encode({"text": "x" * MAX_BYTES})
