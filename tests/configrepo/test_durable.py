from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from configrepo.durable import LEFTOVER_AGE_S, LOCK_AGE_S, barrier, is_full, recover, write_file
from configrepo.errors import StoreError
from tests.support.repositories import line_of, new_store


def age(path: Path, seconds: float) -> Path:
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))
    return path


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_recovery_removes_old_locks_and_leaves_young_ones(tmp_path: Path) -> None:
    with new_store(tmp_path / "config.git") as store:
        head = line_of(store)[-1]
        refs = store.path / "refs" / "heads"
        old = age(made(refs / "cluster.lock"), LOCK_AGE_S + 1)
        young = age(made(refs / "server" / "7.lock"), LOCK_AGE_S - 30)
        from_the_future = age(made(store.path / "HEAD.lock"), -86400)
        removed = recover(store.path)
        assert set(removed) == {"refs/heads/cluster.lock", "HEAD.lock"}
        assert not old.exists()
        assert not from_the_future.exists()
        assert young.exists()
        assert recover(store.path) == ()
        assert store.ref("refs/heads/server/0") == head
        assert store.fsck() is None


def test_recovery_removes_what_a_killed_receive_left(tmp_path: Path) -> None:
    with new_store(tmp_path / "config.git") as store:
        line_of(store)
        objects = store.path / "objects"
        left = objects / "tmp_objdir-incoming-x"
        made(left / "pack" / "tmp_pack_y")
        age(left, LEFTOVER_AGE_S + 1)
        fetched = objects / "tmp_objdir-fetch-z"
        made(fetched / "incoming")
        tmp = age(made(objects / "ab" / "tmp_obj_q"), LEFTOVER_AGE_S + 1)
        recover(store.path)
        assert not left.exists()
        assert not tmp.exists()
        assert fetched.exists()
        assert store.fsck() is None


def test_a_file_is_replaced_as_a_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    write_file(path, b"one")
    write_file(path, b"two" * 100_000, mode=0o640)
    assert path.read_bytes() == b"two" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["keyring.json"]


def test_a_file_that_cannot_be_written_keeps_its_former_text(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(StoreError, match="taken"):
        write_file(folder, b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(StoreError):
        write_file(tmp_path / "nowhere" / "x", b"x")


def test_the_barrier_works_on_a_directory(tmp_path: Path) -> None:
    barrier(tmp_path)
    assert not is_full(tmp_path)
