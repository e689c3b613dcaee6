from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configrepo.errors import NotFound
from configrepo.factory import FACTORY_ROOT
from configrepo.revision import CommitId
from configrepo.store import Store
from configrepo.store.lineage import Lineage
from tests.support.repositories import ANA, new_store, policy, real_git

LIMITS = (2, 5, 100)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "config.git") as made:
        yield made


def grown(store: Store, parents: list[CommitId], number: int) -> CommitId:
    return store.write_commit(parents, policy(number), ANA, f"Change {number}", {"Server": "0"})


def history(store: Store) -> dict[CommitId, list[str]]:
    """Commits, each with what git lists from it: straight, forked, merged, straight."""
    made = [CommitId(FACTORY_ROOT)]
    for number in range(3):
        made.append(grown(store, [made[-1]], number))
    left, right = [grown(store, [made[-1]], 10)], [grown(store, [made[-1]], 20)]
    for number in range(2):
        left.append(grown(store, [left[-1]], 11 + number))
        right.append(grown(store, [right[-1]], 21 + number))
    made += [*left, *right, grown(store, [left[-1], right[-1]], 30)]
    for number in range(3):
        made.append(grown(store, [made[-1]], 31 + number))
    return {one: real_git(store.path, "rev-list", "--date-order", one).split() for one in made}


def test_the_newest_commits_are_those_of_git_whatever_was_asked_before(store: Store) -> None:
    listed = history(store)
    made = list(listed)
    for order in (made, made[::-1], made[::2] + made[1::2]):
        lineage = Lineage(store.path, store.revision, None)
        for limit in LIMITS:
            for start in order:
                assert list(lineage.newest(start, limit)) == listed[start][:limit]


def test_how_far_a_commit_is_ahead_is_what_git_lists(store: Store) -> None:
    listed = history(store)
    lineage = Lineage(store.path, store.revision, None)
    for commit, below in listed.items():
        for of in list(listed)[::3]:
            assert lineage.ahead(commit, of) == len({*below} - {*listed[of]})


def test_a_commit_that_is_not_here_has_no_history(store: Store) -> None:
    lineage = Lineage(store.path, store.revision, None)
    with pytest.raises(NotFound):
        lineage.newest(CommitId("1" * 40), 5)
    with pytest.raises(NotFound):
        lineage.ahead(CommitId(FACTORY_ROOT), CommitId("1" * 40))
