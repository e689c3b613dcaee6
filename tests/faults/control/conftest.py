"""Two healthy servers that every test of this folder abuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from configrepo.model import ServerId
from scheduler.control_view import ControlRole
from tests.faults.control.lines import ABSENT, FUZZED, LIAR, REMOVED, state_of
from tests.support.control_rooms import CLUSTER, Member, Room
from tests.support.identities import identity

HEALTHY = (0, 1)


@pytest.fixture(scope="package")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, Room]]:
    """BQN 0 leads, BQN 1 follows; BQN 3, 5 and 6 are away (tests play them), BQN 4 was removed."""
    made = [Room(number, tmp_path_factory.mktemp(f"room{number}")) for number in HEALTHY]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = listener.getsockname()[1]
    away = [
        Member(ServerId(number), "127.0.0.1", nowhere, identity(number).certificate_b64, state)
        for number, state in (
            (ABSENT, "active"),
            (LIAR, "active"),
            (FUZZED, "active"),
            (REMOVED, "removed"),
        )
    ]
    members = (*(room.member() for room in made), *away)
    for number, room in enumerate(made):
        room.room.set_members(members, CLUSTER, founding=number == 0)
    made[0].wait(lambda view: view.role is ControlRole.PRIMARY, 60.0)
    made[1].wait(lambda view: view.following == 0, 60.0)
    made[0].wait(lambda _: state_of(made[0], 1) == "alive", 60.0)
    made[1].wait(lambda _: state_of(made[1], 0) == "alive", 60.0)
    yield made[0], made[1]
    for room in made:
        room.stop()


@pytest.fixture(autouse=True)
def _roles_stay(rooms: tuple[Room, Room]) -> Iterator[None]:
    """No test of this folder may change who leads, or make one healthy server lose the other."""
    zero, one = rooms
    terms = zero.view.epoch
    said = len(one.sentences)
    yield
    assert (zero.view.role, zero.view.epoch) == (ControlRole.PRIMARY, terms)
    assert (one.view.role, one.view.following) == (ControlRole.SECONDARY, 0), one.sentences[said:]
    assert state_of(zero, 1) == state_of(one, 0) == "alive"
