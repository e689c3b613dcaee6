"""Many and slow connections to the control port delay nobody."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

import pytest

from tests.faults.control.lines import (
    ABSENT,
    Line,
    boots,
    client_context,
    connected,
    hello,
    ping,
    wait_for_contact,
)
from tests.support.control_rooms import Room
from tests.support.identities import identity

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]


def test_two_hundred_slow_connections_before_and_after_hello_delay_nobody(
    rooms: tuple[Room, Room], full: bool
) -> None:
    zero, _ = rooms
    each = 170 if full else 67
    began, said = time.monotonic(), len(zero.sentences)
    context = client_context(identity(ABSENT).control_pem)
    with contextlib.ExitStack() as stack:
        secured, boot = [], next(boots)
        for _ in range(each):
            line = stack.enter_context(Line(zero, context))
            line.say(hello(ABSENT, boot, "slow"))
            assert line.hear_kind("HELLO") is not None
            secured.append(line)
        # The port lets in only so many that have not said who they are.
        for _ in range(each):
            with contextlib.suppress(OSError):
                secured.append(stack.enter_context(Line(zero, context)))
        raw = [stack.enter_context(connected(zero)) for _ in range(each)]
        whole = ping(ABSENT, 1, boot)
        for at in range(8):
            for one in raw:
                with contextlib.suppress(OSError):
                    one.sendall(bytes([(0x16, 0x03, 0x01)[at % 3]]))
            for line in secured:
                with contextlib.suppress(OSError):
                    line.say(whole[at : at + 1])
            asked = datetime.now(UTC)
            wait_for_contact(zero, 1, asked)
            wait_for_contact(rooms[1], 0, asked)
    took = time.monotonic() - began
    print(f"{each} before TLS, {len(secured) - each} before HELLO, {each} after it: {took:.1f} s")
    assert [one for one in zero.sentences[said:] if "BQN 1" in one] == []


def test_a_storm_of_connections_delays_nobody(rooms: tuple[Room, Room], full: bool) -> None:
    zero, one = rooms
    said = len(zero.sentences)
    began, storm = time.monotonic(), 60_000 if full else 2_000
    for number in range(storm):
        # Most say nothing at all, some a word that is no TLS; the port turns them away.
        with contextlib.suppress(OSError), connected(zero) as line:
            if number % 10 == 0:
                line.sendall(b"GET / HTTP/1.1\r\n\r\n")
    asked = datetime.now(UTC)
    wait_for_contact(zero, 1, asked)
    wait_for_contact(one, 0, asked)
    print(f"{storm} connections in {time.monotonic() - began:.1f} s")
    assert [sentence for sentence in zero.sentences[said:] if "BQN 1" in sentence] == []
