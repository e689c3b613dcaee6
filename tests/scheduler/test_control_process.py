"""The election steps of a real node, whatever the wall clock does and however full pools are."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler.clock import Clock
from scheduler.control_node import Node
from scheduler.control_view import ControlRole
from scheduler.election_moves import Heard
from scheduler.election_values import Beacon
from scheduler.link import LinkWriter
from scheduler.presets import LAN
from tests.support.control_rooms import CLUSTER
from tests.support.identities import identity
from tests.support.loops import finished
from tests.support.manual_clock import JumpingWall
from tests.support.own_delays import own_delays

_LATEST_S = 1.0
_DEADLINE_S = 60.0
_POOLS = {"control": 1, "push": 8, "update": 2, "maintenance": 2}


class WatchedClock(Clock):
    """The clock itself; it notes when the loop of the control process has taken a tick."""

    def __init__(self, wall: JumpingWall) -> None:
        self.steps: list[float] = []
        self.stepped = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        super().__init__(_POOLS, now=wall)

    def every(
        self,
        interval_s: float,
        job: Callable[[], str | None],
        name: str,
        executor: str = "maintenance",
        first_after_s: float = 0.0,
    ) -> None:
        """As ever; after the election's job the step that it asked for is noted."""

        def watched() -> str | None:
            said = job()
            if name == "election":
                self._loop.call_soon_threadsafe(self._note)
            return said

        super().every(interval_s, watched, name, executor, first_after_s)

    def _note(self) -> None:
        self.steps.append(time.monotonic())
        self._loop.create_task(self._tell())

    async def _tell(self) -> None:
        async with self.stepped:
            self.stepped.notify_all()

    async def more(self, count: int) -> None:
        """Wait for so many more steps."""
        wanted = len(self.steps) + count
        async with asyncio.timeout(_DEADLINE_S), self.stepped:
            await self.stepped.wait_for(lambda: len(self.steps) >= wanted)


@pytest.mark.parametrize(
    "jump", [timedelta(hours=-1), timedelta(hours=1), timedelta(days=30)], ids=str
)
def test_no_jump_and_no_slow_job_delays_a_step_of_the_election(
    tmp_path: Path, jump: timedelta
) -> None:
    finished(_stepped(tmp_path, jump), 120.0)


async def _stepped(folder: Path, jump: timedelta) -> None:
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    wall, release = JumpingWall(), threading.Event()
    with closing(ours), closing(theirs), closing(listener), own_delays() as late:
        ours.setblocking(False)
        clock = WatchedClock(wall)
        _fill(clock, release)
        node = Node(_settings(folder), listener, LinkWriter(ours), clock)
        try:
            node.told(_members())
            await clock.more(10)
            jumped = len(clock.steps) - 1
            for _ in range(3):
                wall.jump(jump)
                await clock.more(15)
        finally:
            release.set()
            await node.stop()
        gaps = [after - before for before, after in pairwise(clock.steps[jumped:])]
        assert max(gaps) <= _LATEST_S + max(late)
        roles = [view["role"] for view in _views(_told(theirs))]
        assert roles[-1] == "primary"


def test_who_is_back_is_shown_before_anything_is_fetched_from_it(tmp_path: Path) -> None:
    """What is under way with it is begun anew then, which would break the fetch off."""
    finished(_fetched(tmp_path), 120.0)


async def _fetched(folder: Path) -> None:
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    with closing(ours), closing(theirs), closing(listener):
        ours.setblocking(False)
        clock = WatchedClock(JumpingWall())
        node = Node(_settings(folder), listener, LinkWriter(ours), clock)
        try:
            node.told({"t": "heads", "cluster": "a" * 40})
            node.told(_members())
            epoch = (await _leading(clock, theirs))["epoch"]
            back = Beacon(
                ServerId(1), 1, 1, ControlRole.SECONDARY, 0, epoch, ServerId(0), "b" * 40, None
            )
            node.feed(Heard(back, round_trip=True))
        finally:
            await node.stop()
        told = _told(theirs)
        fetch = [one["t"] for one in told].index("catch-up")
        assert [peer["state"] for peer in _views(told[:fetch])[-1]["peers"]] == ["alive"]


async def _leading(clock: WatchedClock, theirs: socket.socket) -> dict[str, Any]:
    """The view in which it leads; its term has to be written first, however slow the disk is."""
    while True:
        await clock.more(1)
        for view in _views(_told(theirs)):
            if view["role"] == "primary":
                return view


def _fill(clock: Clock, release: threading.Event) -> None:
    """Give every other pool more jobs than it has threads, and let none of them end."""

    def slow() -> None:
        release.wait(_DEADLINE_S)

    for pool, threads in _POOLS.items():
        if pool != "control":
            for number in range(threads + 2):
                clock.every(0.1, slow, f"{pool} {number}", pool)


def _settings(folder: Path) -> dict[str, Any]:
    keys = identity(0)
    return {
        "id": 0,
        "timing": asdict(LAN),
        "state_dir": str(folder),
        "pem": str(keys.control_pem),
        "version": "R5.0.0",
        "protocols": [1, 1],
        "schema": 1,
        "witness": "",
    }


def _members() -> dict[str, Any]:
    """BQN 0 founds a cluster with BQN 1, which is not there."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    members = [
        {
            "id": number,
            "address": "127.0.0.1",
            "port": port,
            "certificate": identity(number).certificate_b64,
            "removed": False,
        }
        for number in (0, 1)
    ]
    told = {"t": "members", "cluster": CLUSTER, "members": members}
    return {**told, "founding": True, "former": 0}


def _told(theirs: socket.socket) -> list[dict[str, Any]]:
    """What the node has told its program."""
    theirs.setblocking(False)
    try:
        return [json.loads(line) for line in theirs.recv(1 << 20).splitlines()]
    except BlockingIOError:
        return []


def _views(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["view"] for one in told if one["t"] == "view"]
