"""One connection of the control port over real TLS: what it hands on, and when it gives up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from scheduler import causes, tls
from scheduler.control_channel import Channel, NoSession
from scheduler.frames import encode
from scheduler.messages import Err, HandNo, HandReq, Message, UnknownType, framed
from tests.support.identities import identity
from tests.support.loops import finished

_DEADLINE_S = 60.0
_LARGE = "x" * 256


def _run(test: Coroutine[Any, Any, None]) -> None:
    finished(test, _DEADLINE_S)


@asynccontextmanager
async def _connected() -> AsyncIterator[tuple[Channel, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A channel, and the other side of its connection, spoken by hand."""
    loop = asyncio.get_running_loop()
    context = tls.join_server_context(identity(0).control_pem)
    near, far = socket.socketpair()
    accepting = loop.create_task(loop.connect_accepted_socket(Channel, near, ssl=context))
    reader, writer = await asyncio.open_connection(
        sock=far, ssl=tls.join_client_context(), server_hostname=tls.SNI_CONTROL
    )
    _, channel = await accepting
    try:
        yield channel, reader, writer
    finally:
        channel.abort()
        if not writer.is_closing():
            writer.transport.abort()
        await channel.ended
        with suppress(OSError):
            await writer.wait_closed()


def test_a_channel_that_was_closed_twice_can_still_be_dropped() -> None:
    async def test() -> None:
        async with _connected() as (channel, _, writer):
            other = cast(asyncio.Transport, writer.transport)
            other.pause_reading()  # it does not answer the good-bye of TLS
            channel.close()
            channel.close()
            channel.abort()
            async with asyncio.timeout(_DEADLINE_S / 4):  # asyncio itself waits 30 s
                await channel.ended
            other.resume_reading()

    _run(test())


def test_the_first_message_is_waited_for_and_the_rest_goes_to_the_listener() -> None:
    async def test() -> None:
        async with _connected() as (channel, _, writer):
            writer.write(framed(HandReq()) + framed(HandNo("a")) + framed(HandNo("b"))[:-3])
            assert await channel.first() == HandReq()
            taken: asyncio.Queue[Message] = asyncio.Queue()
            channel.listen(taken.put_nowait, lambda: _DEADLINE_S)
            assert await taken.get() == HandNo("a")
            writer.write(framed(HandNo("b"))[-3:])
            assert await taken.get() == HandNo("b")

    _run(test())


def test_an_unknown_type_is_answered_and_reading_goes_on() -> None:
    async def test() -> None:
        async with _connected() as (channel, reader, writer):
            writer.write(framed(HandReq()))
            await channel.first()
            taken: asyncio.Queue[Message] = asyncio.Queue()
            channel.listen(taken.put_nowait, lambda: _DEADLINE_S)
            writer.write(encode({"t": "NEW"}) + framed(HandReq()))
            assert await taken.get() == HandReq()
            said = framed(Err("unknown-type"))
            assert await reader.readexactly(len(said)) == said

    _run(test())


def test_a_bad_frame_ends_it_and_nothing_after_it_is_heard() -> None:
    async def test() -> None:
        async with _connected() as (channel, reader, writer):
            writer.write(framed(HandReq()))
            await channel.first()
            taken: list[Message] = []
            channel.listen(taken.append, lambda: _DEADLINE_S)
            writer.write(b"\0\0\0\2{]" + framed(HandReq()))
            said = framed(Err("bad-frame"))
            assert await reader.readexactly(len(said)) == said
            writer.close()
            ended = await channel.ended
            assert (ended.cause, taken) == (causes.NOT_OUR_PROGRAM, [])

    _run(test())


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        (encode({"t": "NEW"}), UnknownType),
        (b"\0\0\0\2{]", NoSession),
        ((2000).to_bytes(4, "big"), NoSession),
    ],
)
def test_who_waits_for_the_first_message_is_told_why_there_is_none(
    sent: bytes, refusal: type[Exception]
) -> None:
    async def test() -> None:
        async with _connected() as (channel, _, writer):
            writer.write(sent)
            with pytest.raises(refusal):
                await channel.first()

    _run(test())


@pytest.mark.parametrize(("sent", "silence_s"), [(b"\0\0", _DEADLINE_S), (b"", 0.1)])
def test_a_frame_that_is_begun_and_a_side_that_is_silent_end_it(
    sent: bytes, silence_s: float
) -> None:
    async def test() -> None:
        async with _connected() as (channel, _, writer):
            writer.write(framed(HandReq()))
            await channel.first()
            channel.listen(lambda _: None, lambda: silence_s)
            writer.write(sent)
            assert (await channel.ended).cause == causes.NO_ANSWER

    _run(test())


def test_who_takes_nothing_is_dropped() -> None:
    async def test() -> None:
        async with _connected() as (channel, reader, writer):
            writer.write(framed(HandReq()))
            await channel.first()
            channel.listen(lambda _: None, lambda: _DEADLINE_S)
            assert not reader.at_eof()  # its buffer is full soon, because nobody reads from it
            while not channel.ended.done():
                for _ in range(1000):
                    channel.send(HandNo(_LARGE))
                await asyncio.sleep(0)
            assert (await channel.ended).cause == causes.NO_ANSWER

    _run(test())
