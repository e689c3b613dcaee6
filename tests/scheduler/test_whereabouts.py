from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configrepo.model import ServerId
from configrepo.store import Store
from scheduler.views import Whereabouts
from scheduler.whereabouts import Whereabout
from tests.support.repositories import commit, line_of, new_store, policy

ME, ONE, TWO = ServerId(0), ServerId(1), ServerId(2)


class World:
    """Three members with a history of four commits; `heads` is what the others said."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.commits = line_of(store, 4)
        self.members: list[ServerId] = [ME, ONE, TWO]
        self.heads: dict[ServerId, list[str]] = {}
        self.whereabout = Whereabout(
            ME, store, lambda: self.commits[-1], lambda: self.members, lambda: self.heads
        )

    def saved(self, number: int) -> Whereabouts:
        return self.whereabout.of(self.commits)[self.commits[number]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_store(tmp_path / "store.git") as store:
        yield World(store)


def test_a_server_has_what_its_newest_commit_grew_from(world: World) -> None:
    world.heads = {ONE: [world.commits[1]], TWO: [world.commits[3]]}
    assert [world.saved(n).servers for n in range(4)] == [
        (0, 1, 2), (0, 1, 2), (0, 2), (0, 2),
    ]  # fmt: skip
    assert world.saved(0).members == 3


def test_of_two_things_that_a_server_said_the_newer_counts(world: World) -> None:
    world.heads = {ONE: [world.commits[0], world.commits[2]]}
    assert [world.saved(n).servers for n in range(4)] == [(0, 1), (0, 1), (0, 1), (0,)]


def test_who_said_nothing_or_something_unknown_has_nothing(world: World) -> None:
    world.heads = {ONE: ["f" * 40], TWO: []}
    assert world.saved(0).servers == (0,)


def test_a_server_that_is_ahead_has_everything(world: World) -> None:
    ahead = commit(world.store, world.commits[-1], "more", policy(9))
    world.heads = {ONE: [ahead]}
    assert world.saved(3).servers == (0, 1)


def test_alone_a_commit_is_saved_here(world: World) -> None:
    world.members = []
    assert world.saved(3) == Whereabouts((ME,), 1)


def test_the_lag_counts_from_the_oldest_commit_that_is_lacking(world: World) -> None:
    since = world.whereabout.lacks_since
    assert since(world.commits[-1]) is None
    assert since(None) is None
    assert since("f" * 40) is None
    assert since(world.commits[1]) == world.store.revision(world.commits[2]).time
