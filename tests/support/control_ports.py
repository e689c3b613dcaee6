"""Control ports in the test's own event loop, on real sockets, with a clock of their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from configrepo.model import ServerId
from scheduler import tls
from scheduler.control_port import ControlPort
from scheduler.control_session import PeerAddress
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon, Relay
from scheduler.frames import decode
from scheduler.messages import (
    HandNo,
    HandOk,
    HandReq,
    Hello,
    Message,
    Ping,
    Pong,
    framed,
    from_json,
)
from scheduler.presets import Timing
from tests.support.control_rooms import CLUSTER, QUICK
from tests.support.identities import identity

DEADLINE_S = 60.0
Message_ = TypeVar("Message_", bound=Message)


@dataclass
class Listener:
    """Who listens to a port, and remembers what it was told (`scheduler.control_audience`)."""

    id: int
    boot: int
    timing: Timing = QUICK
    broken: bool = False
    seq: int = 0
    answers: int = 0
    events: list[tuple[object, ...]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def beacon(self) -> Beacon:
        if self.broken:
            raise ZeroDivisionError
        self.seq += 1
        return Beacon(ServerId(self.id), self.boot, self.seq, ControlRole.JOINING, 0, 0)

    def relays(self) -> tuple[Relay, ...]:
        return ()

    def lacks(self) -> int:
        return 0

    def pace_s(self, server: ServerId) -> tuple[float, float]:
        return self.timing.hb_s, self.timing.dead_s

    def heard(self, ping: Ping | Pong, took_s: float | None) -> None:
        self.answers += took_s is not None
        self._tell()

    def disputed(self, server: ServerId, why: str | None) -> None:
        self._note("disputed", server, why)

    def refused_by(self, server: ServerId, code: str) -> None:
        self._note("refused by", server, code)

    def not_understood(self, theirs: Hello) -> None:
        self._note("not understood", theirs.id)

    def lost(self, server: ServerId, why: str) -> None:
        self._note("lost", server)

    def left(self, server: ServerId, boot: int) -> None:
        self._note("left", server, boot)

    def asked(self, server: ServerId, message: HandReq | HandOk | HandNo) -> None:
        self._note("asked", server)

    def fail(self, sentence: str) -> None:
        self._note("failed", sentence)

    def deliver(self, connection: socket.socket, address: str, sni: str) -> None:
        connection.close()

    def _note(self, *event: object) -> None:
        self.events.append(event)
        self._tell()

    def _tell(self) -> None:
        asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until something holds; looked at whenever something was told."""
        async with asyncio.timeout(DEADLINE_S), self.changed:
            await self.changed.wait_for(what)

    async def answered_again(self) -> None:
        """Wait for two more round trips."""
        wanted = self.answers + 2
        await self.until(lambda: self.answers >= wanted)


class Server:
    """One server's port, listening, with a clock that the test may put forward."""

    def __init__(
        self, number: int, boot: int, rekey_s: float = 86_400.0, goodbye_s: float = 1.0
    ) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.told = Listener(number, boot)
        self.ahead_s = 0.0
        self.port = ControlPort(
            self.listener,
            identity(number).control_pem,
            QUICK,
            self.told,
            lambda: asyncio.get_running_loop().time() + self.ahead_s,
            rekey_s,
            goodbye_s,
        )
        self.port.start()

    @property
    def at(self) -> int:
        """The number of its port."""
        return int(self.listener.getsockname()[1])

    def join(self, number: int, at: int, address: str = "127.0.0.1") -> None:
        """Let it know another server, at a port of this machine."""
        hello = Hello(
            CLUSTER, ServerId(self.told.id), self.told.boot, "R5.0.0", run=f"run {self.told.boot}"
        )
        known = PeerAddress(ServerId(number), address, at, identity(number).certificate_b64)
        self.port.set_members(hello, (known,))

    async def crash(self) -> None:
        """End without a word."""
        self.listener.close()
        self.port.set_members(None, ())
        await self.stop()

    async def stop(self) -> None:
        """Say good-bye and end."""
        await self.port.stop()
        self.listener.close()


class Line:
    """A connection to a port as another member opens it, spoken frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, number: int, to: Server) -> Line:
        """Greet as that member."""
        pins = [identity(to.told.id).certificate_b64]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            to.at,
            ssl=tls.client_context(identity(number).control_pem, pins),
            server_hostname=tls.SNI_CONTROL,
        )
        line = cls(reader, writer)
        line.say(Hello(CLUSTER, ServerId(number), 1, "R5.0.0"))
        await line.hear(Hello)
        return line

    def say(self, message: Message) -> None:
        """Send a message."""
        self._writer.write(framed(message))

    async def hear(self, kind: type[Message_]) -> Message_:
        """The next message of a kind."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                length = int.from_bytes(await self._reader.readexactly(4), "big")
                message = from_json(decode(await self._reader.readexactly(length)))
                if isinstance(message, kind):
                    return message

    async def close(self) -> None:
        """Close it."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Wire:
    """Passes connections on to a port, and counts those that began and ended."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._tasks: set[asyncio.Task[None]] = set()
        self.began = 0
        self.ended = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen; returns the number of the port."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Wait until both sides of every connection have closed it."""
        assert self._server is not None
        self._server.close()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*self._tasks)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.began += 1
        both = [writer]
        with contextlib.suppress(OSError):
            there, away = await asyncio.open_connection("127.0.0.1", self._to)
            both.append(away)
            await asyncio.gather(_copy(reader, away), _copy(there, writer))
        for one in both:
            one.close()
            with contextlib.suppress(OSError):
                await one.wait_closed()
        self.ended += 1
        self._tasks.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
