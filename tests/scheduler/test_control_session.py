"""Sessions over their whole life, on real sockets: renewed, doubled, and of a copied server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon
from scheduler.messages import Bye, Ping, Pong
from tests.support.control_ports import DEADLINE_S, Line, Server, Wire
from tests.support.loops import finished

_DAY_S = 86_400.0


def _run(test: Coroutine[Any, Any, None]) -> None:
    finished(test, 2 * DEADLINE_S)


@pytest.mark.parametrize("dials", [0, 1])
def test_a_connection_is_renewed_again_and_again_and_nobody_is_missed(dials: int) -> None:
    """Whoever opened it opens the next one; the old one goes when the new one is there."""
    _run(_renewed(dials))


async def _renewed(dials: int) -> None:
    async with AsyncExitStack() as stack:
        servers = [Server(number, 1, rekey_s=0.5) for number in (0, 1)]
        wire = Wire(servers[1 - dials].at)
        through = await wire.open()
        stack.push_async_callback(wire.close)
        for server in servers:
            stack.push_async_callback(server.stop)
        servers[dials].join(1 - dials, through)
        # The other one is told a port where nobody listens.
        servers[1 - dials].join(dials, _nobody())
        while wire.ended < 3:
            await servers[0].told.answered_again()
            await servers[1].told.answered_again()
        assert wire.began - wire.ended <= 2
        assert servers[dials].told.events == []
        other = [event for event in servers[1 - dials].told.events if event[0] != "lost"]
        assert other == []


def _nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_connection_is_renewed_after_a_day_and_not_before() -> None:
    _run(_after_a_day())


async def _after_a_day() -> None:
    async with AsyncExitStack() as stack:
        zero, one = Server(0, 1), Server(1, 1)
        wire = Wire(one.at)
        through = await wire.open()
        stack.push_async_callback(wire.close)
        for server in (zero, one):
            stack.push_async_callback(server.stop)
        zero.join(1, through)
        one.join(0, zero.at)
        await zero.told.answered_again()
        for server in (zero, one):
            server.ahead_s = _DAY_S - 300.0
        for _ in range(3):
            await zero.told.answered_again()
        assert (wire.began, wire.ended) == (1, 0)
        for server in (zero, one):
            server.ahead_s = _DAY_S + 1.0
        await zero.told.until(lambda: wire.ended == 1)
        await zero.told.answered_again()
        await one.told.answered_again()
        assert wire.began == 2
        assert [*zero.told.events, *one.told.events] == []


def test_a_server_whose_starts_count_back_is_a_copy_until_it_starts_above() -> None:
    _run(_counted_back())


async def _counted_back() -> None:
    async with AsyncExitStack() as stack:
        zero = Server(0, 1)
        wire = Wire(zero.at)
        through = await wire.open()
        stack.push_async_callback(wire.close)
        stack.push_async_callback(zero.stop)
        zero.join(1, _nobody())

        one = Server(1, boot=7)
        one.join(0, through)
        await one.told.answered_again()
        await zero.told.answered_again()
        await one.stop()
        zero.told.events.clear()

        restored = Server(1, boot=5)
        restored.join(0, through)
        await restored.told.until(lambda: ("refused by", 0, "clone") in restored.told.events)
        why = "its starts count back: it was cloned, or restored from an old copy"
        assert ("disputed", 1, why) in zero.told.events
        assert restored.told.answers == 0
        await restored.stop()

        mended = Server(1, boot=8)
        stack.push_async_callback(mended.stop)
        mended.join(0, through)
        await mended.told.answered_again()
        disputes = [event for event in zero.told.events if event[0] == "disputed"]
        assert disputes[-1] == ("disputed", 1, None)


def test_a_server_that_stops_leaves_it_to_others_to_close_when_they_have_heard_it() -> None:
    """If it closed first, what they send would reset the connection under the good-bye."""
    _run(_heard())


async def _heard() -> None:
    zero = Server(0, 1, goodbye_s=DEADLINE_S)
    zero.told.timing = replace(zero.told.timing, dead_s=DEADLINE_S)
    zero.join(1, _nobody())
    line = await Line.open(1, zero)
    stopping = asyncio.create_task(zero.stop())
    assert (await line.hear(Bye)).stopping
    line.say(Ping(7, Beacon(ServerId(1), 1, 1, ControlRole.SECONDARY, 0, 0)))
    assert (await line.hear(Pong)).seq == 7
    assert not stopping.done()
    await line.close()
    await stopping


def test_who_does_not_hear_the_good_bye_holds_a_stop_up_only_for_a_while() -> None:
    _run(_unheard())


async def _unheard() -> None:
    zero = Server(0, 1, goodbye_s=0.05)
    zero.join(1, _nobody())
    line = await Line.open(1, zero)
    await zero.stop()
    await line.close()


def test_a_port_that_can_send_no_heartbeat_says_that_it_failed() -> None:
    """Else it would answer the others for ever and never call them."""
    _run(_failed())


async def _failed() -> None:
    zero = Server(0, 1)
    zero.told.broken = True
    said = ("failed", "the control port failed: ZeroDivisionError: ")
    await zero.told.until(lambda: said in zero.told.events)
    zero.told.broken = False
    await zero.stop()


def test_an_address_that_cannot_be_one_is_told_and_tried_again() -> None:
    _run(_no_address())


async def _no_address() -> None:
    zero = Server(0, 1)
    zero.join(1, 63500, "bqn1\0")
    await zero.told.until(lambda: zero.told.events.count(("lost", 1)) >= 2)
    await zero.stop()
