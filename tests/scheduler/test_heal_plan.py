"""Every small world of open lines: what is taken in, in which order, and what is held."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.heal_plan import (
    FastForward,
    HealPlan,
    HeldLine,
    Merge,
    OpenLine,
    Term,
    lower_first,
    plan_healing,
    term_of_ref,
    term_of_trailers,
    why_held,
)

ME = ServerId(0)


def term(epoch: int, server: int) -> Term:
    return Term(epoch, ServerId(server))


def head(number: int) -> CommitId:
    return CommitId(f"{number:040x}")


def line(
    epoch: int,
    server: int,
    *,
    grew: bool = False,
    member: bool = True,
    confirmed: bool = True,
    accepted: bool = False,
) -> OpenLine:
    return OpenLine(
        term(epoch, server),
        head(epoch * 256 + server),
        grew,
        member=member,
        confirmed=confirmed,
        accepted=accepted,
    )


def test_a_term_has_a_ref_a_trailer_and_words() -> None:
    seven = term(7, 12)
    assert seven.ref == "refs/terms/000000000007-012"
    assert term_of_ref(seven.ref) == seven
    assert term_of_trailers({"Term": "7-12"}) == seven
    assert seven.words == "term 7 of BQN 12"


@pytest.mark.parametrize("ref", ["refs/heads/cluster", "refs/terms/7-12", "refs/terms/x"])
def test_another_ref_is_no_term(ref: str) -> None:
    assert term_of_ref(ref) is None


@pytest.mark.parametrize("trailer", ["", "7", "07-1", "7-1-1", "a-b", "-1-1"])
def test_another_trailer_is_no_term(trailer: str) -> None:
    assert term_of_trailers({"Term": trailer}) is None
    assert term_of_trailers({}) is None


def test_nothing_open_is_nothing_to_do() -> None:
    assert plan_healing(ME, ()) == HealPlan(None)


def test_a_line_that_grew_from_the_cluster_is_a_fast_forward() -> None:
    only = line(6, 1, grew=True)
    assert plan_healing(ME, (only,)) == HealPlan(FastForward(only))


def test_a_line_beside_the_cluster_is_merged() -> None:
    only = line(6, 1)
    assert plan_healing(ME, (only,)) == HealPlan(Merge(only))


def test_the_newest_term_comes_first_in_whatever_order_they_are_told() -> None:
    lines = (line(6, 1), line(8, 1), line(7, 2), line(7, 3))
    for order in permutations(lines):
        assert plan_healing(ME, order) == HealPlan(Merge(lines[1]))


@pytest.mark.parametrize(
    ("grew", "member", "confirmed", "accepted", "server"),
    list(product([False, True], [False, True], [False, True], [False, True], [0, 1])),
)
def test_every_world_of_one_line(
    grew: bool, member: bool, confirmed: bool, accepted: bool, server: int
) -> None:
    only = line(6, server, grew=grew, member=member, confirmed=confirmed, accepted=accepted)
    plan = plan_healing(ME, (only,))
    trusted = accepted or server == ME or (member and confirmed)
    if trusted:
        assert plan == HealPlan(FastForward(only) if grew else Merge(only))
    else:
        sentence = why_held(ME, only)
        assert sentence is not None
        assert plan == HealPlan(None, (HeldLine(only, sentence),))


def test_a_held_line_does_not_hinder_another_one() -> None:
    held, good = line(9, 1, confirmed=False), line(6, 2)
    plan = plan_healing(ME, (held, good))
    assert plan.step == Merge(good)
    assert [one.line for one in plan.held] == [held]


def test_what_cannot_be_read_is_held_even_if_it_was_accepted() -> None:
    only = OpenLine(term(6, 1), head(1), False, unreadable="a secret has no key", accepted=True)
    plan = plan_healing(ME, (only,))
    assert plan.step is None
    assert "a secret has no key" in plan.held[0].sentence


def test_the_lower_line_is_the_same_for_everybody() -> None:
    lines = [
        (term(9, 0), head(5)),
        (term(5, 1), head(4)),
        (term(6, 1), head(3)),
        (term(6, 1), head(9)),
        (None, head(1)),
        (None, head(2)),
    ]
    for low, high in product(range(len(lines)), repeat=2):
        assert lower_first(lines[low], lines[high]) is (low <= high)
