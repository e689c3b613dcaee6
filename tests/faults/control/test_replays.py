"""Old words, copies of a server, and time that runs backwards make no dead server live."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configrepo.model import ServerId
from scheduler.beacon_signing import private_key, signed
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon, Relay
from scheduler.frames import encode
from scheduler.messages import Ping, Pong, to_json
from tests.faults.control.lines import (
    ABSENT,
    LIAR,
    Line,
    boots,
    client_context,
    greeted,
    greeting,
    hello,
    ping,
    state_of,
)
from tests.support.control_rooms import CLUSTER, Room
from tests.support.identities import identity

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]


def seen(room: Room, states: tuple[str, ...]) -> bool:
    return state_of(room, ABSENT) in states


def wait_until_gone(room: Room) -> None:
    room.wait(lambda _: not seen(room, ("alive", "suspect", "indirect")), 60.0)


def secondary(number: int, boot: int, seq: int) -> Beacon:
    return Beacon(ServerId(number), boot, seq, ControlRole.SECONDARY, 0, 0)


def answer_until(line: Line, kind: str, answer: Beacon) -> None:
    """Answer heartbeats as a server that lives, until a frame of that kind has come."""
    while (frame := line.hear()) is not None:
        if frame["t"] == "PING":
            line.say(encode(to_json(Pong(frame["n"], answer))))
        if frame["t"] == kind:
            return
    raise AssertionError("the session ended")


def test_replayed_beacons_do_not_keep_a_dead_server_alive(
    rooms: tuple[Room, Room], full: bool
) -> None:
    """A member that lies passes on what BQN 3 really said and signed while it lived."""
    zero, _ = rooms
    key = private_key(identity(ABSENT).control_pem.read_bytes())
    boot, mine = next(boots), next(boots)
    said = [signed(secondary(ABSENT, boot, seq), CLUSTER, key) for seq in range(1, 12)]
    recorded, later = said[:10], said[10]
    with greeted(zero, ABSENT, boot, "run") as line:
        answer_until(line, "PING", recorded[9])
        zero.wait(lambda _: seen(zero, ("alive",)), 60.0)
    wait_until_gone(zero)
    count = 1000 if full else 200
    with greeted(zero, LIAR, mine, "liar") as line:

        def pass_on(beacon: Beacon, seq: int) -> None:
            own = secondary(LIAR, mine, seq)
            line.say(encode(to_json(Ping(seq, own, (Relay(beacon, 0.0),)))))
            answer_until(line, "PONG", own)

        # It counts only once it has answered.
        answer_until(line, "PING", secondary(LIAR, mine, 0))
        zero.wait(lambda _: state_of(zero, LIAR) == "alive", 60.0)
        for seq in range(count):
            older = recorded[seq % 10]
            pass_on((older, replace(older, seq=seq + 1000))[seq % 2], seq + 1)
            assert not seen(zero, ("alive", "suspect", "indirect"))
        # What it had not heard yet counts: the way works.
        pass_on(later, count + 1)
        zero.wait(lambda _: seen(zero, ("indirect",)), 60.0)
    wait_until_gone(zero)
    print(f"{count} replayed or altered beacons, none counted; a newer one did")


def test_two_servers_with_one_key_are_a_clone_and_a_new_start_settles_it(
    rooms: tuple[Room, Room],
) -> None:
    zero, _ = rooms
    boot = next(boots)
    with greeted(zero, ABSENT, boot, "the one") as line:
        line.say(ping(ABSENT, 1, boot))
        assert line.hear_kind("PONG") is not None
        for _ in range(20):
            said = greeting(
                zero, client_context(identity(ABSENT).control_pem), hello(ABSENT, boot, "the copy")
            )
            assert said is None or said["t"] in ("HELLO", "ERR")
        zero.wait(lambda _: seen(zero, ("clone",)), 60.0)
    later = next(boots)
    with greeted(zero, ABSENT, later, "mended") as line:
        line.say(ping(ABSENT, 1, later))
        assert line.hear_kind("PONG") is not None
        zero.wait(lambda _: not seen(zero, ("clone",)), 60.0)


def test_a_restored_copy_whose_starts_count_back_is_a_clone(rooms: tuple[Room, Room]) -> None:
    zero, _ = rooms
    older, newer, newest = next(boots), next(boots), next(boots)
    with greeted(zero, ABSENT, newer, "now") as line:
        line.say(ping(ABSENT, 1, newer))
        assert line.hear_kind("PONG") is not None
    context = client_context(identity(ABSENT).control_pem)
    for _ in range(20):
        said = greeting(zero, context, hello(ABSENT, older, "restored"))
        assert said is None or said["t"] in ("HELLO", "ERR")
    zero.wait(lambda _: seen(zero, ("clone",)), 60.0)
    with greeted(zero, ABSENT, newest, "mended") as line:
        line.say(ping(ABSENT, 1, newest))
        assert line.hear_kind("PONG") is not None
        zero.wait(lambda _: not seen(zero, ("clone",)), 60.0)
