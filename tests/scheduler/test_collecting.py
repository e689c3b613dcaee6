from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from configrepo.model import ServerId
from scheduler.collecting import Collector
from scheduler.errors import Unreachable
from scheduler.push_plan import own_runs
from scheduler.ssh import SshTarget

ONE, TWO = ServerId(1), ServerId(2)


class World:
    """A primary with two others."""

    def __init__(self) -> None:
        self.refs: dict[str, str] = {}
        self.told: dict[ServerId, dict[str, str]] = {}
        self.silent: set[ServerId] = set()
        self.broken: set[ServerId] = set()
        self.pulled: list[ServerId] = []
        self.targets = [SshTarget(one, "127.0.0.1", 22, "key") for one in (ONE, TWO)]
        self.collector = Collector(
            self.refs.get, lambda: self.targets, lambda: self.told, self.pull
        )

    def pull(self, target: SshTarget, wanted: Sequence[str]) -> tuple[str, ...]:
        assert tuple(wanted) == own_runs(target.id)
        self.pulled.append(target.id)
        if target.id in self.broken:
            raise LookupError("a fault")
        if target.id in self.silent:
            raise Unreachable("filtered")
        self.refs.update(self.told[target.id])
        return tuple(wanted)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.collector.close()


def test_what_differs_is_fetched_once(world: World) -> None:
    running, notes = own_runs(ONE)
    world.told = {ONE: {running: "a" * 40, notes: "b" * 40}}
    assert world.collector.run() == "collected from 1 of 1 servers"
    assert world.collector.run() == "collected from 0 of 0 servers"
    world.told[ONE] = {running: "c" * 40, notes: "b" * 40}
    world.collector.run()
    assert world.pulled == [ONE, ONE]
    assert world.refs[running] == "c" * 40


def test_a_server_that_cannot_be_asked_delays_nobody_and_is_not_asked_again_at_once(
    world: World,
) -> None:
    world.told = {one: {own_runs(one)[0]: "a" * 40} for one in (ONE, TWO)}
    world.silent = {ONE}
    assert world.collector.run() == "collected from 1 of 2 servers"
    world.collector.run()
    assert sorted(world.pulled) == [ONE, TWO]


def test_who_said_nothing_is_not_asked(world: World) -> None:
    world.told = {ONE: {}}
    world.collector.run()
    assert world.pulled == []


def test_a_fault_with_one_server_keeps_no_other_from_being_asked(world: World) -> None:
    world.told = {one: {own_runs(one)[0]: "a" * 40} for one in (ONE, TWO)}
    world.broken = {ONE}
    assert world.collector.run() == "collected from 1 of 2 servers"
    assert world.refs[own_runs(TWO)[0]] == "a" * 40
