from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configrepo.factory import FACTORY_ROOT
from configrepo.revision import CommitId, RefUpdate
from configrepo.store import Store
from configrepo.store.packing import Packing, counts_for
from tests.support.repositories import commit, git_at_far_end, new_store, policy, real_git

CLUSTER = "refs/heads/cluster"
RUNNING = "refs/bqn/running/1"


def term(number: int) -> str:
    return f"refs/terms/{number:012d}-000"


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "near.git") as store:
        yield store


def history(store: Store, terms: int, commits: int) -> list[CommitId]:
    """`cluster` with that many commits in each of several terms, each commit a block larger."""
    made: list[CommitId] = []
    at = FACTORY_ROOT
    for number in range(1, terms + 1):
        for step in range(commits):
            at = commit(store, at, f"{number}.{step}", policy(len(made)), term=f"{number}-0")
            made.append(at)
        store.move([RefUpdate(term(number), None, at)], "test")
    store.move([RefUpdate(CLUSTER, None, at)], "test")
    return made


def test_the_same_is_made_once_for_all_that_lack_the_same(near: Store) -> None:
    made = history(near, 1, 3)
    packing = Packing(near.path, near.objects)
    first_count, first = packing.between(made[:1], made[-1:])
    second_count, second = packing.between(made[:1], made[-1:])
    assert first_count == second_count > 0
    assert [id(one) for one in first] == [id(one) for one in second]


def test_what_ran_where_does_not_make_servers_different() -> None:
    one, two = CommitId("a" * 40), CommitId("b" * 40)
    there = {CLUSTER: one, RUNNING: two, "refs/notes/apply-1": two}
    assert counts_for([CLUSTER], there) == {one}
    assert counts_for([RUNNING], there) == {one, two}


def test_little_is_sent_at_once(near: Store) -> None:
    history(near, 2, 2)
    updates = near.refs()
    assert near.slice_of(updates, {}) == updates


def test_much_is_sent_in_slices_that_real_git_takes_and_cluster_comes_last(
    near: Store, tmp_path: Path
) -> None:
    made = history(near, 3, 6)
    packing = Packing(near.path, near.objects, slice_bytes=6_000)
    updates = near.refs()
    moved: list[str] = []
    with new_store(tmp_path / "far.git") as far:
        while (there := far.refs()) != updates:
            lacking = {ref: at for ref, at in updates.items() if there.get(ref) != at}
            part = packing.slice_of(lacking, there)
            with git_at_far_end("receive-pack", str(far.path)) as stream:
                assert near.push(stream, part).done
            moved += part
            assert len(moved) < 60
        assert set(moved[moved.index(CLUSTER) :]) == {CLUSTER, term(3)}
        assert moved.count(term(1)) > 1
        assert far.ref(CLUSTER) == made[-1]
        assert far.fsck() is None
        assert real_git(far.path, "rev-list", "--count", CLUSTER) == "19"


def test_a_single_commit_that_is_too_large_is_sent_whole(near: Store) -> None:
    history(near, 1, 1)
    packing = Packing(near.path, near.objects, slice_bytes=1)
    assert packing.slice_of({CLUSTER: near.refs()[CLUSTER]}, {}) == {CLUSTER: near.ref(CLUSTER)}
    assert packing.slice_of(near.refs(), {}) == {term(1): near.ref(term(1))}
