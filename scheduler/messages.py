"""The messages of the control port, read strictly and written plainly.

    HELLO    who I am; the first frame in both directions
    PING     my beacon, and a question; PONG answers with the answerer's own beacon
    HANDREQ  hand over to me; HANDOK / HANDNO answer
    BYE      I close this connection: because I stop, or because it is one too many
    ERR      your last frame was not acceptable

PING and PONG have a number (`n`) of their sender and say which number of the other side they
answer (`e`), so two frames are a heartbeat with a round trip for both sides. A heartbeat that
differs from the last one in its numbers only is not parsed again (`MessageReader`).

Unknown fields are left alone and unknown types answered with ERR, so that releases can
differ by one.

Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from configrepo.model import SCHEMA, ServerId
from scheduler.control_view import Barred, ControlRole
from scheduler.election_values import Beacon, Relay
from scheduler.frames import BadFrame, decode, encode, frame

PROTOCOL = 1
HIGHEST_EPOCH = 10**12 - 1
_TEXT = 256
_RELAYS = 8
# One hexadecimal digit for four servers.
_LACKS = re.compile("[0-9a-f]{1,64}")


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
    """A heartbeat that wants to be answered; `seq` is its number in this session.

    `echo` is the number of the other side that it answers, which came `held_ms` ago; 0:
    none. `relays` are beacons of others that its sender passes on. `lacks` are the
    members that its sender does not hear itself: bit 0 stands for BQN 0.
    """

    seq: int
    beacon: Beacon
    relays: tuple[Relay, ...] = ()
    echo: int = 0
    held_ms: int = 0
    lacks: int = 0


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to the `Ping` with the number `seq`; `own` is its own number, 0: none."""

    seq: int
    beacon: Beacon
    relays: tuple[Relay, ...] = ()
    own: int = 0
    lacks: int = 0


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
        case Ping(seq=seq, echo=echo, held_ms=held_ms):
            head = f'{{"t":"PING","n":{seq},"e":{echo},"held":{held_ms},'
        case Pong(seq=seq, own=own):
            head = f'{{"t":"PONG","n":{own},"e":{seq},"held":0,'
        case _:
            return encode(to_json(message))
    passed = f',"relays":{_relays_text(message.relays)}' if message.relays else ""
    return frame(f"{head}{_said_text(message.beacon, message.lacks)}{passed}}}".encode())


@lru_cache(maxsize=8)
def _said_text(beacon: Beacon, lacks: int) -> str:
    """What `MessageReader` looks at first stands first."""
    said = _beacon_to_json(beacon)
    ordered = {"seq": said.pop("seq"), "sig": said.pop("sig", ""), **said, **_lacks_to_json(lacks)}
    return json.dumps(ordered, separators=(",", ":"), allow_nan=False)[1:-1]


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
        case Ping(seq=seq, echo=echo, held_ms=held_ms):
            numbers = {"n": seq, "e": echo, "held": held_ms}
            return {"t": "PING", **numbers, **_said_to_json(message)}
        case Pong(seq=seq, own=own):
            return {"t": "PONG", "n": own, "e": seq, **_said_to_json(message)}
        case Bye(stopping=stopping, boot=boot):
            return {"t": "BYE", "stopping": stopping, "boot": boot}
        case Err(code=code):
            return {"t": "ERR", "code": code}
    return _handover_to_json(message)


def _said_to_json(message: Ping | Pong) -> dict[str, Any]:
    relays = [_relay_to_json(relay) for relay in message.relays]
    return {
        **_beacon_to_json(message.beacon),
        **_lacks_to_json(message.lacks),
        **({"relays": relays} if relays else {}),
    }


def _lacks_to_json(lacks: int) -> dict[str, str]:
    return {"lacks": f"{lacks:x}"} if lacks else {}


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

    def lacks(self) -> int:
        value = self._value.get("lacks", "0")
        if not isinstance(value, str) or not _LACKS.fullmatch(value):
            raise BadFrame("lacks is not a set of servers")
        return int(value, 16)

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


def _ping(fields: _Fields) -> Ping:
    return Ping(
        fields.number("n"),
        fields.beacon(),
        fields.relays(),
        fields.number("e"),
        fields.number("held"),
        fields.lacks(),
    )


def _pong(fields: _Fields) -> Pong:
    seq, own = fields.number("e"), fields.number("n")
    return Pong(seq, fields.beacon(), fields.relays(), own, fields.lacks())


_READERS: dict[str, Callable[[_Fields], Message]] = {
    "HELLO": _hello,
    "PING": _ping,
    "PONG": _pong,
    "HANDREQ": lambda _: HandReq(),
    "HANDOK": lambda fields: HandOk(fields.number("epoch", HIGHEST_EPOCH), fields.head("head")),
    "HANDNO": lambda fields: HandNo(fields.text("why")),
    "BYE": lambda fields: Bye(fields.truth("stopping"), fields.number("boot")),
    "ERR": lambda fields: Err(fields.text("code")),
}


# --- Heartbeats that say nothing new --------------------------------------------------------

_NUMBER = rb"(0|[1-9][0-9]{0,14})"
_HEARTBEAT = re.compile(
    rb'\{"t":"(PING|PONG)","n":%b,"e":%b,"held":%b,"seq":%b,"sig":"([A-Za-z0-9+/=]{0,128})",(.+)\}'
    % ((_NUMBER,) * 4),
    re.DOTALL,
)


class MessageReader:
    """Reads the messages of one connection.

    Nearly all of them are heartbeats that differ from the last one in four numbers and the
    signature. Where all the rest is byte for byte what was read before, it is not read
    again: what comes out is the same. `parsed` counts those that were read in full.
    """

    def __init__(self) -> None:
        self.parsed = 0
        self._kind = self._rest = b""
        self._last: Message | None = None

    def read(self, body: bytes) -> Message:
        """The message of a frame's body.

        Raises:
            BadFrame: it is not one strict JSON object, or a field is not what it should be.
            UnknownType: a newer release says something that this one does not know.
        """
        heartbeat = _HEARTBEAT.fullmatch(body)
        if heartbeat is None:
            return self._parse(body)
        kind, number, echo, held, seq, signature, rest = heartbeat.groups()
        if rest != self._rest or kind != self._kind:
            message = self._parse(body)
            self._kind, self._rest, self._last = kind, rest, message
            return message
        match self._last:
            case Ping(beacon=said, relays=relays, lacks=lacks):
                beacon = _renumbered(said, int(seq), signature.decode())
                return Ping(int(number), beacon, relays, int(echo), int(held), lacks)
            case Pong(beacon=said, relays=relays, lacks=lacks):
                beacon = _renumbered(said, int(seq), signature.decode())
                return Pong(int(echo), beacon, relays, int(number), lacks)
        raise AssertionError(kind)

    def _parse(self, body: bytes) -> Message:
        self.parsed += 1
        return from_json(decode(body))


def _renumbered(said: Beacon, seq: int, signature: str) -> Beacon:
    return Beacon(
        said.id,
        said.boot,
        seq,
        said.role,
        said.epoch,
        said.maxep,
        said.following,
        said.head,
        said.barred,
        signature,
    )
