from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configrepo import git
from configrepo.revision import RefUpdate
from configrepo.store import CommitId, Store
from scheduler.upkeep import MOST_LOOSE, Upkeep
from tests.support.repositories import ANA, LINE, git_at_far_end, line_of, new_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "store.git") as store:
        line_of(store, 3)
        yield store


def upkeep_of(store: Store) -> Upkeep:
    return Upkeep(store.path, lambda: NOW)


def test_a_small_repository_is_counted_and_left_alone(store: Store) -> None:
    upkeep = upkeep_of(store)
    assert upkeep.kept() is None
    upkeep.run()
    kept = upkeep.kept()
    assert kept is not None
    assert 0 < kept.loose < MOST_LOOSE
    assert kept.size > 0
    assert kept.packed is None


def test_many_loose_objects_are_packed_while_somebody_reads(store: Store) -> None:
    head = store.ref(LINE)
    assert head is not None
    before = store.files(head)
    unreachable = [
        git.run(store.path, ["hash-object", "-w", "--stdin"], f"{n}".encode())[1].decode().strip()
        for n in range(3)
    ]
    upkeep = Upkeep(store.path, lambda: NOW, most_loose=3)
    assert "0 loose objects, 1 packs" in upkeep.run()
    kept = upkeep.kept()
    assert kept is not None
    assert kept.packed == NOW
    assert store.ref(LINE) == head
    assert store.files(head) == before
    assert all(store.has(CommitId(one)) for one in unreachable)
    more = store.write_commit([head], before, ANA, "x", {})
    assert store.is_ancestor(head, more)
    assert store.fsck() is None


def test_leftovers_go_only_while_no_git_works(store: Store) -> None:
    lock = store.path / "packed-refs.lock"
    lock.touch()
    old = time.time() - 7_200
    os.utime(lock, (old, old))
    with git_at_far_end("upload-pack", str(store.path)) as stream:
        assert stream.read(4)
        assert git.is_running(store.path)
        upkeep_of(store).run()
        assert lock.exists()
    assert not git.is_running(store.path)
    upkeep = upkeep_of(store)
    upkeep.run()
    kept = upkeep.kept()
    assert kept is not None
    assert kept.removed == ("packed-refs.lock",)
    assert kept.unsound is None
    assert not lock.exists()


def test_the_history_is_noted_and_what_a_killed_git_left_of_that_is_removed(store: Store) -> None:
    upkeep = upkeep_of(store)
    upkeep.run()
    graphs = store.path / "objects" / "info" / "commit-graphs"
    first = (graphs / "commit-graph-chain").read_text()
    head = store.ref(LINE)
    assert head is not None
    path = "common/policy/rate/rate-1.conf"
    assert [one.subject for one in store.log(head, path=path)] == ["Change 1"]
    for name in ("commit-graph-chain.lock", "tmp_graph_x"):
        (graphs / name).write_bytes(b"")
        os.utime(graphs / name, (1, 1))
    more = store.write_commit(
        [head], {**store.files(head), path: "policy rate rate-1\n"}, ANA, "x", {}
    )
    store.move([RefUpdate(LINE, head, more)], "test")
    upkeep.run()
    kept = upkeep.kept()
    assert kept is not None
    assert len(kept.removed) == 2
    assert kept.unsound is None
    assert (graphs / "commit-graph-chain").read_text() != first
    assert [one.subject for one in store.log(more, path=path)] == ["x", "Change 1"]
    git.run(store.path, ["commit-graph", "verify"])
