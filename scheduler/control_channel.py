"""Messages over one TLS connection of the control port.

Bytes are read as soon as they are there and each message is handed on at once: there is no
task, no queue and no buffer per connection. The first message (HELLO) is waited for, then
nothing is read until `listen` says to whom messages go.

Deadlines: the rest of a begun frame within 2 s, and silence for as long as the listener
allows. A connection that does not take what is sent to it is dropped.

Edge: sockets (asyncio).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import cast

from scheduler import causes, tls
from scheduler.frames import MAX_BYTES, BadFrame, Frames
from scheduler.messages import Err, Hello, Message, MessageReader, UnknownType, framed

HELLO_S = 5.0
_FRAME_S = 2.0
_USER_TIMEOUT_MS = 8000
_UNSENT_BYTES = 1 << 20
# Bytes are taken out before any other connection can be read, so one place is enough.
_ARRIVED = memoryview(bytearray(1 << 16))


class NoSession(Exception):
    """A connection did not become a session, or is none any more.

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


class Channel(asyncio.BufferedProtocol):
    """One connection, after or during its TLS handshake."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._messages = MessageReader()
        self._transport: asyncio.Transport | None = None
        self._first: asyncio.Future[Message] = self._loop.create_future()
        self._take: Callable[[Message], None] | None = None
        self._silence_s: Callable[[], float] = lambda: HELLO_S
        self._timer: asyncio.TimerHandle | None = None
        self._read_at = 0.0
        self._begun_at: float | None = None
        self._why = NoSession(causes.NO_ANSWER, "closed")
        self._closed = False
        self.ended: asyncio.Future[NoSession] = self._loop.create_future()

    # --- what the transport calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        self._read_at = self._loop.time()
        self._look_again(self._read_at + HELLO_S)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where bytes may be written."""
        return _ARRIVED

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if self._closed:
            return
        self._read_at = self._loop.time()
        self._frames.add(_ARRIVED[:nbytes])
        self._hand_on()

    def pause_writing(self) -> None:
        """The other side takes nothing."""
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if isinstance(exc, OSError):
            self._why = NoSession(causes.cause_of(exc))
        self._stop_timer()
        self._closed = True
        if not self.ended.done():
            self.ended.set_result(self._why)
        self._fail_first(self._why)

    # --- what a session calls -----------------------------------------------------------

    @property
    def shown_digest(self) -> str:
        """The pin of the certificate that the other side has shown."""
        secured = self._transport.get_extra_info("ssl_object") if self._transport else None
        return tls.shown_digest(secured) if isinstance(secured, ssl.SSLObject) else ""

    async def first(self) -> Message:
        """The first message. Raises NoSession, UnknownType."""
        return await self._first

    def listen(self, take: Callable[[Message], None], silence_s: Callable[[], float]) -> None:
        """Hand every message on; larger frames are allowed from now on."""
        self._take, self._silence_s = take, silence_s
        self._frames.limit = MAX_BYTES
        if self._transport is not None and not self._closed:
            self._look_again(self._read_at + silence_s())
            self._transport.resume_reading()
            self._hand_on()

    def send(self, message: Message) -> None:
        """Send a message."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(framed(message))

    def close(self) -> None:
        """Close it, sending what waits; nothing more is heard."""
        self._closed = True
        # Closed a second time, a transport of asyncio lets go of its TLS: abort would fail.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """Drop it."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- reading ------------------------------------------------------------------------

    def _hand_on(self) -> None:
        try:
            while self._wants_more and (body := self._frames.cut()) is not None:
                self._read(body)
        except BadFrame as error:
            self._why = NoSession(causes.NOT_OUR_PROGRAM, f"bad frame: {error}")
            self.send(Err("bad-frame"))
            self._fail_first(self._why)
            self.close()
            return
        self._note_part()

    @property
    def _wants_more(self) -> bool:
        return not self._closed and (self._take is not None or not self._first.done())

    def _read(self, body: bytes) -> None:
        try:
            message = self._messages.read(body)
        except UnknownType as unknown:
            if self._take is not None:
                self.send(Err("unknown-type"))
            else:
                self._fail_first(unknown)
            return
        if self._take is not None:
            self._take(message)
        else:
            self._first.set_result(message)
            if self._transport is not None:
                self._transport.pause_reading()

    def _fail_first(self, why: Exception) -> None:
        if not self._first.done():
            self._first.set_exception(why)
            self._first.exception()  # nobody need wait for it

    def _note_part(self) -> None:
        """A frame that has begun has a deadline of its own."""
        if not self._frames.partial:
            self._begun_at = None
        elif self._begun_at is None:
            self._begun_at = self._read_at
            self._look_again(self._read_at + _FRAME_S)

    # --- deadlines ----------------------------------------------------------------------

    def _look_again(self, at: float) -> None:
        # A timer that fires too early looks and waits on: most reads come long before, and
        # a timer for each costs more than the message.
        if self._timer is None or self._timer.when() > at:
            self._stop_timer()
            self._timer = self._loop.call_at(at, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        end = self._read_at + self._silence_s()
        if self._begun_at is not None:
            end = min(end, self._begun_at + _FRAME_S)
        if self._loop.time() < end:
            self._look_again(end)
        else:
            self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
