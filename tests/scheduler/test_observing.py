"""Reports of the others: they age, and a server that was lost sight of must report anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler import causes
from scheduler.errors import Unreachable
from scheduler.observing import Observer
from scheduler.overview import STALE_S, Report, report_to_json
from tests.support.manual_clock import ManualClock

ZERO, ONE = ServerId(0), ServerId(1)
SAID = Report(ONE, "bqn1", "R5", "", None, None, "h", "applied", "applied", None, False)
MEMBER = Member(ONE, "bqn1", "192.0.2.1", 22, 63501, "", "", "")


class World:
    """BQN 0 asks BQN 1; `meanwhile` happens while it answers."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.silent, self.cause = False, causes.NO_ANSWER
        self.meanwhile: Callable[[], None] = lambda: None
        self.observer = Observer(ZERO, lambda: (MEMBER,), self._call, self.clock)

    def _call(
        self, member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        if self.silent:
            raise Unreachable("it did not answer", self.cause)
        self.meanwhile()
        return report_to_json(SAID)

    def age_s(self) -> float:
        report, age_s = self.observer.reports()[ONE]
        assert report == SAID
        return age_s


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.observer.close()


def test_a_report_ages_from_the_moment_it_was_asked_for(world: World) -> None:
    world.meanwhile = lambda: world.clock.advance(1.5)
    assert world.observer.observe() == "1 of 1 servers reported"
    world.clock.advance(2.0)
    assert world.age_s() == 3.5


def test_what_a_server_said_before_it_was_lost_proves_nothing_until_it_says_it_anew(
    world: World,
) -> None:
    world.observer.observe()
    world.observer.lost([ONE])
    assert world.age_s() > STALE_S
    world.clock.advance(0.1)
    world.observer.observe()
    assert world.age_s() == 0.0


def test_a_server_where_nobody_listens_is_lost_but_one_that_is_slow_is_not(world: World) -> None:
    world.observer.observe()
    world.silent = True
    assert world.observer.observe() == "0 of 1 servers reported"
    assert world.age_s() == 0.0
    world.cause = causes.REFUSED
    world.observer.observe()
    assert world.age_s() > STALE_S


def test_an_answer_that_was_under_way_when_its_server_was_lost_proves_nothing(
    world: World,
) -> None:
    world.meanwhile = lambda: world.observer.lost([ONE])
    world.observer.observe()
    assert world.age_s() > STALE_S


def test_a_fault_with_one_server_keeps_no_other_from_being_heard() -> None:
    others = tuple(replace(MEMBER, id=ServerId(number)) for number in range(1, 40))

    def call(
        member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        if member.id == ONE:
            raise LookupError("a fault")
        return report_to_json(replace(SAID, id=member.id))

    observer = Observer(ZERO, lambda: others, call, ManualClock())
    try:
        assert observer.observe() == "38 of 39 servers reported"
        assert len(observer.reports()) == 38
    finally:
        observer.close()
