"""Five whole servers cut apart in every way, with commits on all sides: nothing is lost.

`--full` adds drawn cuts of five and of two servers; `bench/healing.py` measures the times.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from bench import namespaces
from bench.figures import RivalMissing
from tests.support.partitions import Shape, cut_round, drawn, linked, split, without
from tests.support.whole_servers import WholeCluster, running

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

HALVES = split("two and three", (0, 1), (2, 3, 4))
BLIND = without("0 and 1 do not see each other, all others do", 5, (0, 1))
CHAINS = linked("two chains", 5, (0, 1), (1, 2), (3, 4))
CHAIN = linked("one chain", 5, (0, 1), (1, 2), (2, 3), (3, 4))


@pytest.fixture(scope="module")
def five() -> Iterator[WholeCluster]:
    try:
        namespaces.require()
    except RivalMissing as missing:
        pytest.skip(str(missing))
    with running(5) as cluster:
        yield cluster


def play(cluster: WholeCluster, shape: Shape, number: int = 0, bridge: Shape | None = None) -> None:
    told = cut_round(cluster, shape, number, bridge)
    print(told)
    assert len(told.revisions) >= len(set(shape.leaders))


def test_two_sides_lose_nothing(five: WholeCluster) -> None:
    play(five, HALVES, 0)


def test_servers_that_do_not_all_see_each_other_have_one_primary_and_lose_nothing(
    five: WholeCluster,
) -> None:
    play(five, BLIND, 1)


def test_two_chains_that_become_one_before_all_see_each_other_lose_nothing(
    five: WholeCluster,
) -> None:
    play(five, CHAINS, 2, bridge=CHAIN)
    # Where all are one again, everybody says so.
    five.ready()


def test_cuts_of_any_shape_lose_nothing(five: WholeCluster, full: bool) -> None:
    random = Random(11)
    for number in range(50 if full else 1):
        play(five, drawn(random, 5), 3 + number)


def test_two_servers_lose_nothing(five: WholeCluster, full: bool) -> None:
    with running(2) as two:
        for number in range(50 if full else 1):
            play(two, split("one and one", (0,), (1,)), number)
