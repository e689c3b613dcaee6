"""The asked side of the doctor: bounded, in slices, about members only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.errors import RemoteRefused
from scheduler.findings import Finding, Standpoint
from scheduler.probing import PARALLEL, SLICE, Probing

ASKER = ServerId(0)
ME = ServerId(5)


class World:
    """Members that are tried by a probe that can be held back."""

    def __init__(self, known: int = 256) -> None:
        self.known = known
        self.open = threading.Event()
        self.open.set()
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.tried: list[int] = []
        self.broken: set[int] = set()
        self.probing = Probing(ME, self.member, lambda: "c" * 32, self, self.place)

    def member(self, server: ServerId) -> Member | None:
        return (
            Member(server, "", "192.0.2.1", 22, 63500, "", "", "") if server < self.known else None
        )

    def place(self, asker: ServerId) -> Standpoint:
        return Standpoint(f"10.0.0.{asker}", ("192.0.2.1",))

    def control(self, member: Member, cluster: str | None) -> Finding:
        if member.id in self.broken:
            raise LookupError("a fault")
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.tried.append(member.id)
        assert self.open.wait(60)
        with self.lock:
            self.now -= 1
        return Finding("ok", 1)

    def ssh(self, member: Member) -> Finding:
        return Finding("refused", 2)

    def start(self, targets: list[Any], run: str = "r") -> dict[str, Any]:
        return self.probing.answer(ASKER, {"do": "start", "run": run, "targets": targets})

    def results(self, first: int, run: str = "r", asker: ServerId = ASKER) -> dict[str, Any]:
        body = {"do": "results", "run": run, "from": first, "wait_s": 2}
        return self.probing.answer(asker, body)

    def all_rows(self, run: str = "r") -> list[Any]:
        rows: list[Any] = []
        done = False
        while not done:
            answer = self.results(len(rows), run)
            assert len(answer["rows"]) <= SLICE
            rows += answer["rows"]
            done = answer["done"]
        return rows


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.open.set()
    made.probing.close()


def test_every_target_is_tried_once_beginning_after_the_own_id(world: World) -> None:
    assert world.start([0, 1, 5, 6, 7, 7])["total"] == 4
    rows = world.all_rows()
    assert sorted(row[0] for row in rows) == [0, 1, 6, 7]
    assert rows[0][1:] == ["ok", 1, "", "refused", 2, ""]
    assert set(world.tried[:2]) <= {6, 7, 0}


def test_only_a_few_are_tried_at_a_time_and_results_come_in_slices(world: World) -> None:
    world.start(list(range(256)))
    assert len(world.all_rows()) == 255
    assert world.most <= PARALLEL


def test_the_own_place_in_the_network_is_told(world: World) -> None:
    answer = world.start([1])
    assert (answer["inside"], answer["foreign"]) == ("10.0.0.0", ["192.0.2.1"])


def test_a_server_that_is_not_known_here_is_not_dialled() -> None:
    world = World(known=1)
    world.start([77])
    (row,) = world.all_rows()
    assert row[:2] == [77, "not a member"]
    assert "its configuration is behind" in row[3]
    assert world.tried == []
    world.probing.close()


def test_the_same_start_twice_is_one_run(world: World) -> None:
    world.start([1, 2])
    world.start([1, 2])
    assert len(world.all_rows()) == 2
    assert len(world.tried) == 2


def test_a_cancelled_run_ends_with_what_it_has(world: World) -> None:
    world.open.clear()
    world.start(list(range(256)))
    world.probing.answer(ASKER, {"do": "cancel", "run": "r"})
    world.open.set()
    world.all_rows()
    assert len(world.tried) <= PARALLEL + 1


def test_a_run_of_another_asker_or_name_is_not_shown(world: World) -> None:
    world.start([1])
    with pytest.raises(RemoteRefused):
        world.results(0, "other")
    with pytest.raises(RemoteRefused):
        world.results(0, "r", ServerId(9))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"do": "start", "run": 5, "targets": []},
        {"do": "start", "run": "r", "targets": "1"},
        {"do": "results", "run": "r", "from": -1},
        {"do": "other"},
    ],
)
def test_a_question_of_another_form_is_refused(world: World, body: dict[str, Any]) -> None:
    with pytest.raises(RemoteRefused):
        world.probing.answer(ASKER, body)


def test_strange_targets_are_left_out(world: World) -> None:
    assert world.start([1, True, "2", 256, -1, None, 3.5])["total"] == 1


def test_a_fault_of_the_program_does_not_keep_a_run_from_ending(world: World) -> None:
    # The doctor asks until all rows are there: a row that never comes would be asked for ever.
    world.broken = {7}
    world.start([6, 7, 8])
    rows = {row[0]: row[1:] for row in world.all_rows()}
    assert sorted(rows) == [6, 7, 8]
    assert rows[7][0] == rows[7][3] == "no answer"
    assert "its log says why" in rows[7][2]
    assert rows[8][0] == "ok"
