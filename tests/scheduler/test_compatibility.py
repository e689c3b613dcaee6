"""Releases that differ: by one they work together, by more they say so and one stands aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from configrepo.model import ServerId
from scheduler.compatibility import (
    common_protocol,
    not_understood,
    raised_schema,
    stands_aside,
    too_new,
)
from scheduler.control_view import ControlRole
from scheduler.messages import Hello
from tests.support.control_rooms import QUICK, Room, form_cluster


def hello(number: int, lowest: int, highest: int) -> Hello:
    return Hello("c" * 32, ServerId(number), 1, f"R{highest}.0.0", lowest, highest)


@pytest.mark.parametrize(
    ("ours", "theirs", "spoken"),
    [((1, 1), (1, 1), 1), ((1, 2), (2, 3), 2), ((1, 3), (1, 2), 2), ((1, 1), (2, 3), None)],
)
def test_two_servers_speak_the_highest_protocol_that_both_know(
    ours: tuple[int, int], theirs: tuple[int, int], spoken: int | None
) -> None:
    assert common_protocol(hello(0, *ours), hello(1, *theirs)) == spoken
    assert common_protocol(hello(1, *theirs), hello(0, *ours)) == spoken


def test_the_older_one_is_named_whichever_says_it() -> None:
    old, new = hello(4, 1, 1), hello(2, 2, 3)
    for sentence in (not_understood(old, new), not_understood(new, old)):
        assert sentence.endswith("update BQN 4")
        assert "R1.0.0 (protocol 1)" in sentence
        assert "R3.0.0 (protocols 2 to 3)" in sentence


def test_the_smaller_group_stands_aside_and_of_two_equal_ones_the_newer() -> None:
    old, new = hello(0, 1, 1), hello(1, 2, 2)
    assert stands_aside(new, [old], known=0)
    assert not stands_aside(old, [new], known=0)
    assert not stands_aside(new, [old], known=1)
    assert stands_aside(old, [new, hello(2, 2, 2)], known=0)
    assert not stands_aside(new, [], known=0)


def test_the_schema_rises_when_every_member_reads_more_and_is_never_guessed() -> None:
    members = [ServerId(0), ServerId(1)]
    assert raised_schema(1, members, {ServerId(0): 2, ServerId(1): 3}) == 2
    assert raised_schema(1, members, {ServerId(0): 2, ServerId(1): 1}) is None
    assert raised_schema(1, members, {ServerId(0): 2}) is None
    assert raised_schema(1, members, {ServerId(0): 2, ServerId(1): 0}) is None
    assert raised_schema(2, members, {ServerId(0): 1, ServerId(1): 1}) is None
    assert raised_schema(1, [], {}) is None


def test_a_configuration_of_a_newer_schema_is_said_to_be_one() -> None:
    assert too_new(1, 1) is None
    assert too_new(1, 2) is None
    assert "schema 3" in (too_new(3, 2) or "")


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    made: list[Room] = []

    def make(number: int, lowest: int, highest: int) -> Room:
        made.append(
            Room(
                number,
                tmp_path / str(number),
                timing=QUICK,
                version=f"R{highest}.0.0",
                protocols=(lowest, highest),
                schema=highest,
            )
        )
        return made[-1]

    yield make
    for room in made:
        room.stop()


def test_releases_that_differ_by_one_are_one_cluster(rooms: Callable[..., Room]) -> None:
    older, newer = rooms(0, 1, 1), rooms(1, 1, 2)
    form_cluster(older, newer)
    newer.wait(lambda view: view.following == 0, 60.0)
    seen = older.wait(lambda view: view.peers[0].state == "alive", 60.0).peers[0]
    assert (seen.version, seen.schema) == ("R2.0.0", 2)
    assert newer.view.peers[0].schema == 1


def test_where_they_do_not_understand_each_other_both_say_so_and_one_leads(
    rooms: Callable[..., Room],
) -> None:
    older, newer = rooms(1, 1, 1), rooms(0, 2, 2)
    form_cluster(newer, older)
    older.wait(lambda view: view.role is ControlRole.PRIMARY, 60.0)
    view = newer.wait(lambda view: "stands aside" in view.sentence, 60.0)
    assert view.role is ControlRole.JOINING
    for room, number in ((older, 0), (newer, 1)):
        peer = room.wait(lambda view: view.peers[0].state == "incompatible", 60.0).peers[0]
        assert (peer.id, peer.version) == (number, f"R{2 - number}.0.0")
        assert "R2.0.0 (protocol 2)" in peer.sentence
        assert peer.sentence.endswith("update BQN 1")


def test_of_three_the_two_that_understand_each_other_go_on(rooms: Callable[..., Room]) -> None:
    three = rooms(0, 1, 1), rooms(1, 2, 2), rooms(2, 2, 2)
    form_cluster(*three)
    zero, one, two = three
    two.wait(lambda view: view.following == 1, 60.0)
    zero.wait(lambda view: "stands aside" in view.sentence, 60.0)
    assert zero.wait(lambda view: view.role is ControlRole.JOINING, 60.0).following is None
    assert one.view.role is ControlRole.PRIMARY
