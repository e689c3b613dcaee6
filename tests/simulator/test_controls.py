"""Negative controls: each rule removed in turn is noticed, and so is each bug planted in the edges.

A simulation that finds nothing proves only as much as what it would have found. Drawn
scenarios are named by seeds that were found once, so that a control costs a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from scheduler import election
from scheduler.election_moves import Persisted
from scheduler.election_values import Beacon, Durable
from tests.simulator.cases import CASES, broken
from tests.simulator.lines import History, Line, Violated
from tests.simulator.replicating import Replicating
from tests.simulator.rules import HARMLESS, REAL, REMOVED, without
from tests.simulator.scenario import simulate, trace_of
from tests.simulator.servers import Node
from tests.simulator.world import World

# A drawn scenario that breaks when that rule is removed.
SEEDS = {
    "R1 listening": 1,
    "R1 counted starts": 13,
    "R2 silence": 4,
    "R3": 0,
    "R4 claiming": 0,
    "R4 no known primary": 13,
    "R5 preemption": 13,
    "R6 disk first": 0,
    "R6 above every epoch": 0,
    "R13 alone": 11,
}
SAFE_SEEDS = range(700, 704)
PLANTED_SEEDS = (2, 3)


def test_every_rule_of_the_docstring_has_a_control() -> None:
    assert election.__doc__ is not None
    rules = re.findall(r"^(R[0-9]+) ", election.__doc__, re.MULTILINE)
    assert rules == [f"R{number}" for number in range(1, 15)]
    assert {name.split(" ", maxsplit=1)[0] for name in REMOVED} == set(rules)
    assert SEEDS.keys() | CASES.keys() == REMOVED.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", SEEDS)
def test_an_election_without_one_rule_is_caught(rule: str) -> None:
    assert simulate(SEEDS[rule], without(rule)).violation


@pytest.mark.parametrize("rule", CASES)
def test_a_case_goes_wrong_without_its_rule_only(rule: str) -> None:
    assert not broken(rule, REAL)
    assert broken(rule, without(rule))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", HARMLESS)
def test_no_promise_rests_on_what_only_makes_take_overs_calmer(part: str) -> None:
    """One release without all of these runs in the mixed scenarios too (I11)."""
    assert [simulate(seed, without(part)).violation for seed in SAFE_SEEDS] == [""] * 4


# --- The simulator itself ------------------------------------------------------------------


def test_the_model_of_the_repositories_notices_what_must_not_happen() -> None:
    history, one, other = History(), Line(), Line()
    history.commit(one, (1, 0))
    history.commit(other, (2, 1))
    with pytest.raises(Violated, match="I5"):
        history.move(one, other.cluster, (2, 1))
    with pytest.raises(Violated, match="I3"):
        history.move(other, history.commit(other, (3, 1)), (2, 1))


class _ForgetfulDisk(World):
    """Says that the term is written, and does not write it."""

    def _written(self, node: Node, durable: Durable) -> None:
        self.after(0.001, self.deliver, node, Persisted(durable))


class _Overwriting(Replicating):
    """Merges nothing, and takes heads of anybody whatever they contain."""

    def fetch_soon(self, node: Node, source: int, head: str) -> None:
        return

    def serves(self, node: Node, beacon: Beacon) -> bool:
        return True

    def admits(self, receiver: Node, term: tuple[int, int]) -> bool:
        return True

    def is_forward(self, line: Line, head: int) -> bool:
        return True


class _AnswersTooEarly(Replicating):
    """Says that a commit is saved, and writes it a while later."""

    def commit(self, node: Node) -> int:
        line = self.world.disks[node.id].line
        head, objects, terms = line.cluster, line.objects, dict(line.terms)
        number = super().commit(node)
        line.cluster, line.objects, line.terms = head, objects, terms
        return number


class _Silent(Replicating):
    """Never pushes."""

    def replicate(self, node: Node) -> None:
        return


class _WallClock(World):
    """Tells the election the time of day."""

    def clock_of(self, node: Node) -> float:
        return super().clock_of(node) + max(0.0, self.walls[node.id])


class _TimedBar(World):
    """Compares the end of a bar with the time of day at each tick."""

    def _bar_ended(self, node: Node) -> bool:
        barred = node.view.durable.barred
        until = None if barred is None else barred.until
        return until is not None and self.wall_of(node.id) >= until


def _with(kind: type[Replicating]) -> Callable[..., World]:
    def make(*arguments: object, **named: object) -> World:
        world = World(*arguments, **named)  # type: ignore[arg-type]
        world.copies = kind(world)
        return world

    return make


@pytest.mark.parametrize(
    ("make", "invariant"),
    [
        (_ForgetfulDisk, "I2"),
        (_with(_AnswersTooEarly), "I4"),
        (_with(_Silent), "I8"),
    ],
)
def test_a_bug_planted_in_what_surrounds_the_election_is_caught(
    make: Callable[..., World], invariant: str
) -> None:
    found = (simulate(seed, make=make).violation for seed in PLANTED_SEEDS)
    assert any(violation.startswith(invariant) for violation in found)


def test_i5_a_head_that_is_overwritten_after_a_cut_is_caught() -> None:
    world = _with(_Overwriting)(1, 2)
    for number in (0, 1):
        world.boot(number)
    world.run(10)
    world.divide({0}, {1})
    world.run(10)
    for node in world.nodes.values():
        world.copies.commit(node)
    world.divide({0, 1})
    with pytest.raises(Violated, match="I5"):
        world.run(10)


@pytest.mark.parametrize("make", [_WallClock, _TimedBar])
def test_i7_a_decision_by_the_wall_clock_is_caught(make: Callable[..., World]) -> None:
    assert trace_of(4, 0.0, make) != trace_of(4, 1.0, make)
