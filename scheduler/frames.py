"""Frames of the control port: a length, then one strict JSON object.

    u32 big-endian length (1 to 65,536; before HELLO is accepted 1 to 1,024), UTF-8 JSON

A frame that is not exactly that is refused as a whole: duplicate keys, NaN and infinity,
nesting deeper than 6, more than 64 keys, integers beyond 2^53. Fields that nobody knows
are left alone, so that a newer release may add some.

Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

MAX_BYTES = 65_536
MAX_BYTES_BEFORE_HELLO = 1_024
MAX_DEPTH = 6
MAX_KEYS = 64
MAX_INTEGER = 2**53

_HEAD = 4


class BadFrame(ValueError):
    """The bytes are no frame; the connection cannot go on."""


def encode(message: dict[str, Any]) -> bytes:
    """A message as a frame.

    Raises:
        BadFrame: it is larger than a frame may be.
    """
    return frame(json.dumps(message, separators=(",", ":"), allow_nan=False).encode())


def frame(body: bytes) -> bytes:
    """The body of a message, which is one JSON object, as a frame.

    Raises:
        BadFrame: it is larger than a frame may be.
    """
    if len(body) > MAX_BYTES:
        raise BadFrame(f"a frame of {len(body)} bytes is too large")
    return len(body).to_bytes(_HEAD, "big") + body


def decode(body: bytes) -> dict[str, Any]:
    """The message of a frame's body.

    Raises:
        BadFrame: it is not one strict JSON object.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError as error:
        raise BadFrame("nested too deeply") from error
    except ValueError as error:
        raise BadFrame(str(error)) from error
    if not isinstance(value, dict):
        raise BadFrame("not an object")
    _measure(value)
    return value


class Frames:
    """Cuts a stream of bytes into messages. After a `BadFrame` it must not be used."""

    def __init__(self, limit: int = MAX_BYTES_BEFORE_HELLO) -> None:
        self.limit = limit
        self._bytes = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._bytes)

    def add(self, data: bytes | memoryview) -> None:
        """Take bytes that have arrived."""
        self._bytes += data

    def cut(self) -> bytes | None:
        """The body of the next frame; None while it is not complete.

        The limit may be raised between two frames.

        Raises:
            BadFrame: the stream is broken here.
        """
        if len(self._bytes) < _HEAD:
            return None
        length = int.from_bytes(self._bytes[:_HEAD], "big")
        if not 1 <= length <= self.limit:
            raise BadFrame(f"a length of {length} is not allowed here")
        if len(self._bytes) < _HEAD + length:
            return None
        body = bytes(self._bytes[_HEAD : _HEAD + length])
        del self._bytes[: _HEAD + length]
        return body

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Add bytes, and give the messages that are complete.

        Raises:
            BadFrame: the stream is broken here.
        """
        self.add(data)
        while (body := self.cut()) is not None:
            yield decode(body)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadFrame("a key is there twice")
    if len(value) > MAX_KEYS:
        raise BadFrame("too many keys")
    return value


def _integer(digits: str) -> int:
    # Measured by its length first: converting a long one takes quadratic time.
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise BadFrame("an integer is too large")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise BadFrame("a number is too large")
    return value


def _constant(name: str) -> None:
    raise BadFrame(f"{name} is not a number")


def _measure(value: dict[str, Any]) -> None:
    """Refuse what nests too deeply, and more keys than allowed in all objects together."""
    level: list[Any] = [value]
    keys = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            keys += len(item) if isinstance(item, dict) else 0
            children = item.values() if isinstance(item, dict) else item
            below.extend(child for child in children if isinstance(child, dict | list))
        if not below:
            break
        level = below
    else:
        raise BadFrame("nested too deeply")
    if keys > MAX_KEYS * MAX_DEPTH:
        raise BadFrame("too many keys")
