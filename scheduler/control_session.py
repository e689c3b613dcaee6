"""One connection of the control port between two members, after TLS.

Both sides say HELLO first; from then on frames go in both directions. The claimed id
must own the certificate that was shown, and both must be of the same cluster. Every
wait has a deadline: HELLO complete within 5 s, the rest of a begun frame within 2 s,
and a connection that stays silent for `dead` is closed.

Edge: sockets (asyncio).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from configrepo.model import ServerId
from scheduler import causes, tls
from scheduler.compatibility import common_protocol, not_understood
from scheduler.control_audience import Contact
from scheduler.frames import MAX_BYTES, BadFrame, Frames
from scheduler.messages import (
    Bye,
    Err,
    Hello,
    Message,
    Ping,
    Pong,
    UnknownType,
    framed,
    from_json,
)

_HELLO_S = 5.0
_FRAME_S = 2.0
_USER_TIMEOUT_MS = 8000
_OUTSTANDING = 16
_READ_BYTES = 1 << 16
_UNSENT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """How to reach another member, and its pinned certificate (base64 DER)."""

    id: ServerId
    address: str
    port: int
    certificate: str
    removed: bool = False


class NoSession(Exception):
    """A connection did not become a session.

    `cause` is one of `scheduler.causes`, `code` what the other side said in ERR. `theirs` is
    the HELLO of a member with whose release this one has no protocol in common.
    """

    def __init__(
        self, cause: str, detail: str = "", code: str = "", theirs: Hello | None = None
    ) -> None:
        super().__init__(detail or causes.said(cause))
        self.cause = cause
        self.code = code
        self.theirs = theirs


class Session:
    """An open connection to a member."""

    def __init__(
        self, stream: _Stream, ours: Hello, theirs: Hello, *, initiator: ServerId, now: float
    ) -> None:
        self.peer = theirs.id
        self.boot = theirs.boot
        self.contact = Contact(theirs.version, schema=theirs.schema)
        self.run = theirs.run
        self.initiator = initiator
        self.opened_at = now
        self.answered_at = now
        self.pinged_at = now
        self.dismissed = False
        self._ours = ours
        self._stream = stream
        self._sent: dict[int, float] = {}
        self._seq = 0

    def ping(self, ping_of: Ping, now: float) -> None:
        """Ask; `ping_of.seq` is replaced by this session's own count."""
        self._seq += 1
        self._sent[self._seq] = now
        while len(self._sent) > _OUTSTANDING:
            del self._sent[next(iter(self._sent))]
        self.pinged_at = now
        self.send(Ping(self._seq, ping_of.beacon, ping_of.relays))

    def round_trip_s(self, pong: Pong, now: float) -> float | None:
        """How long the answer took; None if nothing was asked that it answers."""
        sent = self._sent.pop(pong.seq, None)
        if sent is None:
            return None
        self.answered_at = now
        return now - sent

    def send(self, message: Message) -> None:
        """Send a message; to a connection that takes nothing, it is closed instead."""
        if self._stream.unsent > _UNSENT_BYTES:
            self._stream.abort()
            return
        self._stream.send(message)

    def dismiss(self) -> None:
        """Close a connection that is one too many; the other side must not see a loss."""
        self.dismissed = True
        self.send(Bye(stopping=False, boot=self._ours.boot))
        self._stream.close()

    def abort(self) -> None:
        """Drop the connection of a server that is not there any more."""
        self.dismissed = True
        self._stream.abort()

    async def messages(self, silence_s: Callable[[], float]) -> AsyncIterator[Message]:
        """What arrives, until the connection ends.

        Raises:
            NoSession: it ended, or was silent, or sent what is no message.
        """
        while True:
            try:
                yield await self._stream.receive(silence_s())
            except UnknownType:
                self.send(Err("unknown-type"))

    def close(self) -> None:
        """Close it, sending what waits."""
        self._stream.close()


class _Stream:
    """Messages over one TLS connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = Frames()
        self._ready: list[Message | UnknownType] = []
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._end = 0.0
        _tune(writer.get_extra_info("socket"))

    @property
    def unsent(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    @property
    def shown_digest(self) -> str:
        secured = self._writer.get_extra_info("ssl_object")
        return tls.shown_digest(secured) if isinstance(secured, ssl.SSLObject) else ""

    def greeted(self) -> None:
        """Larger frames are allowed from now on."""
        self._frames.limit = MAX_BYTES

    def send(self, message: Message) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(framed(message))

    async def receive(self, silence_s: float) -> Message:
        """The next message. Raises NoSession, UnknownType."""
        while not self._ready:
            self._allow(_FRAME_S if self._frames.partial else silence_s)
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError as error:
                raise NoSession(causes.cause_of(error)) from error
            if not data:
                raise NoSession(causes.NO_ANSWER, "closed")
            self._parse(data)
        message = self._ready.pop(0)
        if isinstance(message, UnknownType):
            raise message
        return message

    def _allow(self, seconds: float) -> None:
        """Give the other side that long for its next bytes."""
        now = self._loop.time()
        self._end = now + seconds
        # A timer that runs is left alone and looks again when it fires: most reads are
        # answered long before, and a timer for each costs more than the message.
        if self._timer is None or self._timer.when() > self._end:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._end, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self._loop.time() < self._end:
            self._set_timer()
        else:
            self.abort()

    def _parse(self, data: bytes) -> None:
        try:
            for value in self._frames.feed(data):
                try:
                    self._ready.append(from_json(value))
                except UnknownType as unknown:
                    self._ready.append(unknown)
        except BadFrame as error:
            self.send(Err("bad-frame"))
            raise NoSession(causes.NOT_OUR_PROGRAM, f"bad frame: {error}") from error

    def close(self) -> None:
        self._stop_timer()
        self._writer.close()

    def abort(self) -> None:
        self._stop_timer()
        self._writer.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _tune(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


async def dial(
    member: PeerAddress,
    context: ssl.SSLContext,
    ours: Hello,
    now: float,
    within_s: float = _HELLO_S,
) -> Session:
    """Open a session to a member, or give up: a lost packet is sooner sent anew than waited for.

    Raises:
        NoSession: with the cause.
    """
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(
                member.address, member.port, ssl=context, server_hostname=tls.SNI_CONTROL
            )
    except (OSError, UnicodeError) as error:
        raise NoSession(causes.cause_of(error)) from error
    stream = _Stream(reader, writer)
    try:
        if stream.shown_digest != tls.digest_b64(member.certificate):
            raise NoSession(causes.WRONG_IDENTITY)
        stream.send(ours)
        theirs = await _greeting(stream)
        if theirs.id != member.id:
            raise NoSession(causes.OTHER_SERVER)
        _check(ours, theirs)
    except BaseException:
        stream.abort()
        raise
    stream.greeted()
    return Session(stream, ours, theirs, initiator=ours.id, now=now)


async def answer(
    connection: socket.socket,
    context: ssl.SSLContext,
    ours: Hello,
    members: dict[ServerId, PeerAddress],
    now: float,
) -> Session:
    """Make a session of an accepted connection, of which nothing was read yet.

    Raises:
        NoSession: with the cause; the other side was told what it may know.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=context, ssl_handshake_timeout=_HELLO_S
        )
    except OSError as error:  # the transport has closed the connection
        raise NoSession(causes.cause_of(error)) from error
    stream = _Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
    try:
        theirs = await _greeting(stream)
        _admit(stream, ours, theirs, members)
    except BaseException:
        stream.close()
        raise
    stream.greeted()
    stream.send(ours)
    return Session(stream, ours, theirs, initiator=theirs.id, now=now)


async def refuse(connection: socket.socket, context: ssl.SSLContext, code: str) -> None:
    """Tell an accepted connection that no session is possible, and close it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    with contextlib.suppress(OSError):
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=context, ssl_handshake_timeout=_HELLO_S
        )
        stream = _Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        stream.send(Err(code))
        stream.close()


def _admit(
    stream: _Stream, ours: Hello, theirs: Hello, members: dict[ServerId, PeerAddress]
) -> None:
    member = members.get(theirs.id)
    if member is None or stream.shown_digest != tls.digest_b64(member.certificate):
        stream.send(Err("wrong-identity"))
        raise NoSession(causes.WRONG_IDENTITY)
    if member.removed:
        stream.send(Err("removed"))
        raise NoSession(causes.NOT_A_MEMBER)
    try:
        _check(ours, theirs)
    except NoSession as error:
        # Who cannot be understood is told who refuses it: it can say so to people.
        known = error.theirs is not None
        stream.send(ours if known else Err(error.cause.replace(" ", "-")))
        raise


async def _greeting(stream: _Stream) -> Hello:
    try:
        async with asyncio.timeout(_HELLO_S):
            message = await stream.receive(_HELLO_S)
    except TimeoutError as error:
        raise NoSession(causes.NO_ANSWER, "no HELLO in time") from error
    except UnknownType as error:
        raise NoSession(causes.NOT_OUR_PROGRAM, "no HELLO") from error
    match message:
        case Hello():
            return message
        case Err(code=code):
            raise NoSession(_REFUSALS.get(code, causes.NO_ANSWER), f"it says {code}", code)
    raise NoSession(causes.NOT_OUR_PROGRAM, "no HELLO")


_REFUSALS = {
    "alone": causes.NOT_A_MEMBER,
    "removed": causes.NOT_A_MEMBER,
    "wrong-identity": causes.NOT_A_MEMBER,
    "other-cluster": causes.OTHER_CLUSTER,
}


def _check(ours: Hello, theirs: Hello) -> None:
    if theirs.cluster != ours.cluster:
        raise NoSession(causes.OTHER_CLUSTER)
    if theirs.id == ours.id:
        raise NoSession(causes.OTHER_SERVER, "it has the same id")
    if common_protocol(ours, theirs) is None:
        raise NoSession(causes.VERSION, not_understood(ours, theirs), theirs=theirs)
