"""All connections of the GUI that no worker is busy with, in one thread.

Handshakes, request heads and bodies are read here, by a selector, so that neither
accepting nor a worker ever waits for a slow client: a worker is given a whole request
and gives the connection back with its answer, which is sent from here as fast as the
client takes it. Every stage has a deadline; when all places are taken, the oldest
connection that never asked anything makes room.

Edge: sockets.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import resource
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from bqngui.channel import Channel, Stage, Want
from bqngui.framing import Framing, NeedMore, Reject, Whole

log = logging.getLogger(__name__)

_HOST = re.compile(rb"\r\nhost:[ \t]*([A-Za-z0-9.:\[\]-]{1,255})[ \t]*\r\n", re.IGNORECASE)
_PATH = re.compile(rb"(?:GET|HEAD) (/[!-~]{0,1000}) ")
_WANTS = {Want.READ: selectors.EVENT_READ, Want.WRITE: selectors.EVENT_WRITE}
_TICK_S = 0.5
_SMALL = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each stage may last (seconds), how many connections and how much they hold.

    `stall_s`: how long a worker waits for a client that does not take its answer;
    `finish_s`: how long a stop waits for the answers in work.
    """

    handshake_s: float = 10.0
    head_s: float = 10.0
    body_s: float = 120.0
    idle_s: float = 30.0
    drain_s: float = 60.0
    linger_s: float = 2.0
    stall_s: float = 30.0
    finish_s: float = 5.0
    connections: int = 512
    held_bytes: int = 96 * 1024 * 1024


class Connections:
    """The selector thread's work; `give_back`, `stop_accepting` and `stop` are for others."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        hand_over: Callable[[Channel, bytes], None],
        limits: Limits,
    ) -> None:
        self._listener = listener
        self._context = context
        self._hand_over = hand_over
        self._limits = limits
        self._most = min(limits.connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._selector = selectors.DefaultSelector()
        self._channels: dict[Channel, None] = {}
        self._again: set[Channel] = set()
        self._returned: queue.SimpleQueue[Channel] = queue.SimpleQueue()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._accepting = True
        self._next_check = 0.0
        self._stop_at: float | None = None

    # --- for other threads --------------------------------------------------------------

    def give_back(self, channel: Channel) -> None:
        """A worker has made its answer."""
        self._returned.put(channel)
        self._wake()

    def stop_accepting(self) -> None:
        """Take no new connections and no further requests; answers in work are finished."""
        self._accepting = False
        self._wake()

    def stop(self, within_s: float) -> None:
        """End the thread as soon as all answers are sent, at the latest after `within_s`."""
        self._stop_at = time.monotonic() + within_s
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the buffer is full: it wakes up anyway
            self._wake_out.send(b"x")

    # --- the thread -----------------------------------------------------------------------

    def run(self) -> None:
        """Serve until `stop`."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        try:
            while not self._finished():
                try:
                    self._turn()
                except Exception:  # the door of all must not close for what one does
                    log.exception("a turn of the GUI's connections failed")
                    time.sleep(_TICK_S)
        finally:
            self._release()

    def _turn(self) -> None:
        for key, _ in self._selector.select(0 if self._again else _TICK_S):
            self._event(key.fileobj)
        for channel in list(self._again):
            self._advance(channel)
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + _TICK_S
            self._check_deadlines()

    def _finished(self) -> bool:
        if self._accepting is False and self._listener.fileno() >= 0:
            self._selector.unregister(self._listener)
            self._listener.close()
            for channel in [c for c in self._channels if _is_idle(c)]:
                self._drop(channel)
        if self._stop_at is None:
            return False
        sending = any(c.stage is Stage.DRAINING for c in self._channels)
        return not (sending or self._returned.qsize()) or time.monotonic() > self._stop_at

    def _release(self) -> None:
        for channel in list(self._channels):
            self._drop(channel)
        self._selector.close()
        self._listener.close()
        self._wake_in.close()
        self._wake_out.close()

    def _event(self, source: object) -> None:
        if source is self._listener:
            self._accept()
        elif source is self._wake_in:
            with contextlib.suppress(OSError):
                self._wake_in.recv(4096)
            while not self._returned.empty():
                self._take_back(self._returned.get())
        elif isinstance(source, Channel):
            self._advance(source)

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("a connection could not be accepted: %s", error)
                if not self._make_room():
                    time.sleep(0.05)  # no descriptor is free: do not spin
                return
            if len(self._channels) >= self._most and not self._make_room():
                sock.close()
                continue
            channel = Channel(sock, (str(address[0]).removeprefix("::ffff:"), int(address[1])))
            channel.deadline = time.monotonic() + self._limits.handshake_s
            self._channels[channel] = None
            self._selector.register(channel, selectors.EVENT_READ, None)

    def _make_room(self) -> bool:
        """Close the oldest connection that never asked anything, else the oldest idle one."""
        waiting = [c for c in self._channels if c.stage.value <= Stage.READING.value]
        strangers = [c for c in waiting if not c.answered]
        for channel in (strangers or waiting)[:1]:
            self._drop(channel)
            return True
        return False

    def _take_back(self, channel: Channel) -> None:
        channel.answered = True
        channel.stage = Stage.DRAINING
        channel.deadline = time.monotonic() + self._limits.drain_s
        if channel.fileno() < 0:
            self._drop(channel)
        else:
            self._selector.register(channel, selectors.EVENT_WRITE)
            self._advance(channel)

    def _advance(self, channel: Channel) -> None:
        # What is left of it is looked at now; a worker that gets it has it alone.
        self._again.discard(channel)
        try:
            want = self._step(channel)
        except OSError:  # also every TLS alert
            want = None
        except Exception:  # one connection must not end the thread of all
            log.exception("a connection failed")
            want = None
        match want:
            case None:
                if channel.stage is not Stage.WORKING:
                    self._drop(channel)
            case Want.AGAIN:
                self._again.add(channel)
            case _:
                self._selector.modify(channel, _WANTS[want])

    def _step(self, channel: Channel) -> Want | None:
        """One step of a channel; None when it left the selector (or must)."""
        match channel.stage:
            case Stage.GREETING:
                return self._greet(channel)
            case Stage.HANDSHAKE:
                want = channel.shake_hands()
                if want is not None:
                    return want
                channel.deadline = time.monotonic() + self._limits.head_s
                return self._read(channel)
            case Stage.READING:
                return self._read(channel)
            case Stage.DRAINING:
                return self._drain(channel)
            case _:
                want = channel.read()
                channel.inbox.clear()
                return want

    def _greet(self, channel: Channel) -> Want | None:
        tls = channel.speaks_tls()
        if tls is None:
            return Want.READ
        if tls:
            channel.secure(self._context)
            return self._step(channel)
        channel.put(_answer_to_plain_http(channel.read_plain()))
        return self._end(channel)

    def _read(self, channel: Channel) -> Want | None:
        fresh = not channel.inbox
        want = channel.read()
        if fresh and channel.inbox:  # an idle connection began a request
            channel.deadline = time.monotonic() + self._limits.head_s
        return self._judge(channel, want)

    def _judge(self, channel: Channel, want: Want | None) -> Want | None:
        if not channel.inbox:
            return want
        match channel.framing.look(channel.inbox):
            case Whole(length, last):
                request = bytes(channel.inbox[:length])
                del channel.inbox[:length]
                channel.keep = not last and self._accepting
                channel.framing = Framing()
                channel.in_body = False
                channel.stage = Stage.WORKING
                self._selector.unregister(channel)
                self._hand_over(channel, request)
                return None
            case Reject(status, sentence):
                channel.put(plain_answer(status, sentence))
                return self._end(channel)
            case NeedMore(invite):
                return self._wait_for_body(channel, want, invite)

    def _wait_for_body(self, channel: Channel, want: Want | None, invite: bool) -> Want | None:
        if channel.framing.in_body and not channel.in_body:
            channel.in_body = True
            channel.deadline = time.monotonic() + self._limits.body_s
        if invite:
            channel.put(b"HTTP/1.1 100 Continue\r\n\r\n")
            channel.flush()
        if len(channel.inbox) > _SMALL and self._held() > self._limits.held_bytes:
            busy = "Too many uploads at one time. Try again in a minute."
            channel.put(plain_answer("503 Service Unavailable", busy, "Retry-After: 60"))
            return self._end(channel)
        return want

    def _held(self) -> int:
        """Bytes of requests that are not complete."""
        return sum(len(channel.inbox) for channel in self._channels)

    def _end(self, channel: Channel) -> Want | None:
        """Send what is queued, then close."""
        channel.keep = False
        channel.stage = Stage.DRAINING
        channel.deadline = time.monotonic() + self._limits.linger_s
        return self._drain(channel)

    def _drain(self, channel: Channel) -> Want | None:
        want = channel.flush()
        if want is not None:
            return want
        if channel.keep and self._accepting:
            channel.stage = Stage.READING
            channel.deadline = time.monotonic() + self._limits.idle_s
            return self._read(channel)  # the next request may be here already
        channel.say_goodbye()
        channel.deadline = time.monotonic() + self._limits.linger_s
        return Want.READ

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        late = [c for c in self._channels if c.deadline < now and c.stage is not Stage.WORKING]
        for channel in late:
            self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        self._channels.pop(channel, None)
        self._again.discard(channel)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(channel)
        channel.close()


def _is_idle(channel: Channel) -> bool:
    return channel.stage in {Stage.GREETING, Stage.HANDSHAKE, Stage.READING, Stage.LINGERING}


def plain_answer(status: str, sentence: str, *fields: str) -> bytes:
    """An answer in plain text that is made without the application."""
    body = sentence.encode()
    head = [
        f"HTTP/1.1 {status}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body


def _answer_to_plain_http(request: bytes) -> bytes:
    """Send a browser that forgot the `s` of https to the right address."""
    host, path = _HOST.search(request), _PATH.match(request)
    sentence = "This port speaks HTTPS only: write https:// in front of the address."
    if host is None or path is None:
        return plain_answer("400 Bad Request", sentence)
    target = f"https://{host[1].decode()}{path[1].decode()}"
    return plain_answer("307 Temporary Redirect", sentence, f"Location: {target}")
