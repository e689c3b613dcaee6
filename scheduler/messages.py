"""The messages of the control port, read strictly and written plainly.

    HELLO    who I am; the first frame in both directions
    PING     my beacon; PONG answers with the answerer's own
    HANDREQ  hand over to me; HANDOK / HANDNO answer
    BYE      I close this connection: because I stop, or because it is one too many
    ERR      your last frame was not acceptable

Unknown fields are left alone and unknown types answered with ERR, so that releases can
differ by one.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from configrepo.model import SCHEMA, ServerId
from scheduler.control_view import Barred, ControlRole
from scheduler.election_values import Beacon, Relay
from scheduler.frames import BadFrame, encode, frame

PROTOCOL = 1
HIGHEST_EPOCH = 10**12 - 1
_TEXT = 256
_RELAYS = 8


class UnknownType(Exception):
    """A message of a type that this release does not know."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks.

    `boot` counts its starts, `run` is drawn at each: two with one key differ in it.
    `version` is shown to people. `schema` is the newest schema of the configuration that
    it reads.
    """

    cluster: str
    id: ServerId
    boot: int
    version: str
    lowest_protocol: int = PROTOCOL
    highest_protocol: int = PROTOCOL
    run: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Ping:
    """A heartbeat; `seq` counts the questions of this session.

    `relays` are beacons of others that its sender passes on.
    """

    seq: int
    beacon: Beacon
    relays: tuple[Relay, ...] = ()


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to the `Ping` with that number."""

    seq: int
    beacon: Beacon


@dataclass(frozen=True, slots=True)
class HandReq:
    """Please hand over to me."""


@dataclass(frozen=True, slots=True)
class HandOk:
    """I do not lead any more."""

    epoch: int
    head: str | None


@dataclass(frozen=True, slots=True)
class HandNo:
    """I do not hand over."""

    why: str


@dataclass(frozen=True, slots=True)
class Bye:
    """I close this connection. `stopping` says that this server stops."""

    stopping: bool
    boot: int


@dataclass(frozen=True, slots=True)
class Err:
    """What is wrong: bad-frame, unknown-type, other-cluster, removed, wrong-identity, …."""

    code: str


Message = Hello | Ping | Pong | HandReq | HandOk | HandNo | Bye | Err


def framed(message: Message) -> bytes:
    """A message as a frame. The same beacon goes to every member: it is written once."""
    match message:
        case Ping(seq=seq, beacon=beacon, relays=relays):
            passed = f',"relays":{_relays_text(relays)}' if relays else ""
            return frame(f'{{"t":"PING","n":{seq},{_beacon_text(beacon)}{passed}}}'.encode())
        case Pong(seq=seq, beacon=beacon):
            return frame(f'{{"t":"PONG","n":{seq},{_beacon_text(beacon)}}}'.encode())
    return encode(to_json(message))


@lru_cache(maxsize=8)
def _beacon_text(beacon: Beacon) -> str:
    return json.dumps(_beacon_to_json(beacon), separators=(",", ":"), allow_nan=False)[1:-1]


@lru_cache(maxsize=8)
def _relays_text(relays: tuple[Relay, ...]) -> str:
    return json.dumps(
        [_relay_to_json(relay) for relay in relays], separators=(",", ":"), allow_nan=False
    )


def to_json(message: Message) -> dict[str, Any]:
    """A message as an object."""
    match message:
        case Hello():
            return {
                "t": "HELLO",
                "pv_min": message.lowest_protocol,
                "pv_max": message.highest_protocol,
                "cluster": message.cluster,
                "id": message.id,
                "boot": message.boot,
                "sw": message.version,
                "schema": message.schema,
                **({"run": message.run} if message.run else {}),
            }
        case Ping(seq=seq, beacon=beacon, relays=relays):
            passed = {"relays": [_relay_to_json(relay) for relay in relays]} if relays else {}
            return {"t": "PING", "n": seq, **_beacon_to_json(beacon), **passed}
        case Pong(seq=seq, beacon=beacon):
            return {"t": "PONG", "n": seq, **_beacon_to_json(beacon)}
        case Bye(stopping=stopping, boot=boot):
            return {"t": "BYE", "stopping": stopping, "boot": boot}
        case Err(code=code):
            return {"t": "ERR", "code": code}
    return _handover_to_json(message)


def _handover_to_json(message: HandReq | HandOk | HandNo) -> dict[str, Any]:
    match message:
        case HandReq():
            return {"t": "HANDREQ"}
        case HandOk(epoch=epoch, head=head):
            return {"t": "HANDOK", "epoch": epoch, "head": head}
        case HandNo(why=why):
            return {"t": "HANDNO", "why": why}


def _beacon_to_json(beacon: Beacon) -> dict[str, Any]:
    return {
        "id": beacon.id,
        "boot": beacon.boot,
        "seq": beacon.seq,
        "role": beacon.role.value,
        "epoch": beacon.epoch,
        "maxep": beacon.maxep,
        "follow": beacon.following,
        "heads": {"cluster": beacon.head},
        **({} if beacon.barred is None else {"barred": _barred_to_json(beacon.barred)}),
        **({"sig": beacon.signature} if beacon.signature else {}),
    }


def _relay_to_json(relay: Relay) -> dict[str, Any]:
    return {"age_ms": max(0, round(relay.age_s * 1000)), **_beacon_to_json(relay.beacon)}


def _barred_to_json(barred: Barred) -> dict[str, Any]:
    return {"why": barred.reason[:_TEXT], "until": barred.until}


def from_json(value: dict[str, Any]) -> Message:
    """The message of an object.

    Raises:
        BadFrame: a field is missing or not what it should be.
        UnknownType: a newer release says something that this one does not know.
    """
    fields = _Fields(value)
    kind = fields.text("t")
    reader = _READERS.get(kind)
    if reader is None:
        raise UnknownType(kind)
    return reader(fields)


class _Fields:
    """Reads fields by type."""

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def number(self, key: str, highest: int = 2**53) -> int:
        value = self._value.get(key)
        if type(value) is not int or not 0 <= value <= highest:
            raise BadFrame(f"{key} is not a number from 0 to {highest}")
        return value

    def text(self, key: str) -> str:
        value = self._value.get(key)
        if not isinstance(value, str) or len(value) > _TEXT or not value.isprintable():
            raise BadFrame(f"{key} is not a short text")
        return value

    def truth(self, key: str) -> bool:
        value = self._value.get(key)
        if not isinstance(value, bool):
            raise BadFrame(f"{key} is neither true nor false")
        return value

    def server(self, key: str) -> ServerId:
        return ServerId(self.number(key, 255))

    def head(self, key: str) -> str | None:
        value = self._value.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) != 40 or set(value) - set("0123456789abcdef"):
            raise BadFrame(f"{key} is not a commit id")
        return value

    def inner(self, key: str) -> _Fields:
        value = self._value.get(key)
        if not isinstance(value, dict):
            raise BadFrame(f"{key} is not an object")
        return _Fields(value)

    def beacon(self) -> Beacon:
        try:
            role = ControlRole(self.text("role"))
        except ValueError as error:
            raise BadFrame("role is not known") from error
        follows = self._value.get("follow")
        return Beacon(
            id=self.server("id"),
            boot=self.number("boot"),
            seq=self.number("seq"),
            role=role,
            epoch=self.number("epoch", HIGHEST_EPOCH),
            maxep=self.number("maxep", HIGHEST_EPOCH),
            following=None if follows is None else self.server("follow"),
            head=self.inner("heads").head("cluster"),
            barred=self.barred() if "barred" in self._value else None,
            signature=self.text("sig") if "sig" in self._value else "",
        )

    def relays(self) -> tuple[Relay, ...]:
        value = self._value.get("relays", [])
        if not isinstance(value, list) or len(value) > _RELAYS:
            raise BadFrame("relays is not a short list")
        return tuple(_relay(item) for item in value)

    def barred(self) -> Barred:
        inner = self.inner("barred")
        until = inner._value.get("until")
        if until is not None and (isinstance(until, bool) or not isinstance(until, int | float)):
            raise BadFrame("until is not a time")
        return Barred(inner.text("why"), None if until is None else float(until))


def _relay(value: object) -> Relay:
    if not isinstance(value, dict):
        raise BadFrame("a relayed beacon is not an object")
    fields = _Fields(value)
    return Relay(fields.beacon(), fields.number("age_ms") / 1000)


def _hello(fields: _Fields) -> Hello:
    return Hello(
        cluster=fields.text("cluster"),
        id=fields.server("id"),
        boot=fields.number("boot"),
        version=fields.text("sw"),
        lowest_protocol=fields.number("pv_min"),
        highest_protocol=fields.number("pv_max"),
        run=fields.text("run") if "run" in fields else "",
        schema=fields.number("schema") if "schema" in fields else 1,
    )


_READERS: dict[str, Callable[[_Fields], Message]] = {
    "HELLO": _hello,
    "PING": lambda fields: Ping(fields.number("n"), fields.beacon(), fields.relays()),
    "PONG": lambda fields: Pong(fields.number("n"), fields.beacon()),
    "HANDREQ": lambda _: HandReq(),
    "HANDOK": lambda fields: HandOk(fields.number("epoch", HIGHEST_EPOCH), fields.head("head")),
    "HANDNO": lambda fields: HandNo(fields.text("why")),
    "BYE": lambda fields: Bye(fields.truth("stopping"), fields.number("boot")),
    "ERR": lambda fields: Err(fields.text("code")),
}
