"""The way back is tried at the asker's own address, before anything is set up."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler.connectivity import PRODUCT
from scheduler.errors import RemoteRefused, UnknownRoute
from scheduler.rpc import RpcServer
from scheduler.rpc_client import call_join
from scheduler.way_back import WayBack, there_and_back
from tests.support.front_door import FrontDoor
from tests.support.identities import identity


class Server:
    """A server without a cluster: it answers strangers only."""

    def __init__(self, number: int) -> None:
        said = {"product": PRODUCT, "id": number, "version": "R5.0.0", "cluster": None}
        routes = {
            "/probe": lambda _, body: {**said, "time": time.time()},
            "/probe/back": WayBack(ServerId(number)).answer,
        }
        self.rpc = RpcServer(identity(number), dict, {}, routes)
        self.door = FrontDoor(self.rpc.accept)
        self.port = self.door.port

    def close(self) -> None:
        self.rpc.stop()
        self.door.close()


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    servers = Server(0), Server(1)
    yield servers
    for server in servers:
        server.close()


def ask(address: str, port: int, route: str, body: dict[str, Any]) -> dict[str, Any]:
    return call_join(address, port, None, route, body, 30)[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_both_ways_are_tried_with_nothing_set_up(pair: tuple[Server, Server]) -> None:
    one, other = pair
    ports = (one.port, free_port())
    found = there_and_back(ServerId(0), ports, "127.0.0.1", other.port, free_port(), ask)
    assert [(reach.what, reach.cause) for reach in found] == [
        ("control port", "ok"),
        ("SSH", "refused"),
        ("control port", "ok"),
        ("SSH", "refused"),
    ]
    assert found[2].source == "BQN 1"
    assert [reach.port for reach in found[2:]] == list(ports)


def test_where_nobody_answers_the_way_back_is_not_asked_for() -> None:
    found = there_and_back(ServerId(0), (1, 1), "127.0.0.1", free_port(), free_port(), ask)
    assert [reach.cause for reach in found] == ["refused", "refused"]


def test_another_release_that_cannot_try_the_way_back_is_told(pair: tuple[Server, Server]) -> None:
    def refuse(address: str, port: int, route: str, body: dict[str, Any]) -> dict[str, Any]:
        raise UnknownRoute("this server has no /probe/back: another release?")

    found = there_and_back(ServerId(0), (1, 1), "127.0.0.1", pair[1].port, free_port(), refuse)
    assert (found[2].what, found[2].ok) == ("way back", False)
    assert "another release" in found[2].sentence


@pytest.mark.parametrize(
    "body",
    [{}, {"control_port": 0, "ssh_port": 22}, {"control_port": "1", "ssh_port": 22}, {"x": 1}],
)
def test_a_question_of_another_form_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RemoteRefused):
        WayBack(ServerId(1)).answer("127.0.0.1", body)
