"""The state directory: made once, read by the right release, used by one process."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configrepo.errors import StateTooNew
from configrepo.model import ServerId
from scheduler.state_dir import (
    ServerRecord,
    StateDir,
    StateDirError,
    read_json,
    write_durably,
    write_json,
)

RECORD = ServerRecord(ServerId(0), "bqn0")


def made(path: Path) -> StateDir:
    return StateDir.create(path, RECORD, lambda _: None)


def test_a_server_finds_itself_again(tmp_path: Path) -> None:
    made(tmp_path / "state")
    state = StateDir.open(tmp_path / "state")
    assert state.record() == RECORD
    state.set_cluster("ab" * 16)
    assert StateDir.open(tmp_path / "state").record().cluster_id == "ab" * 16
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_making_it_twice_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    made(tmp_path / "state")
    with pytest.raises(StateDirError, match="already holds a server"):
        StateDir.create(tmp_path / "state", ServerRecord(ServerId(3), "other"), lambda _: None)
    assert StateDir.open(tmp_path / "state").record() == RECORD


def test_a_directory_of_a_newer_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    state = made(tmp_path / "state")
    newer = {**json.loads((state.path / "server.json").read_text()), "format": 99}
    write_json(state.path / "server.json", newer)
    with pytest.raises(StateTooNew, match="newer release"):
        StateDir.open(state.path)
    assert json.loads((state.path / "server.json").read_text()) == newer


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StateDirError, match=r"app\.py init"):
        StateDir.open(tmp_path / "nowhere")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(StateDirError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")


def test_a_second_process_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    first = made(tmp_path / "state")
    first.lock()
    second = StateDir.open(tmp_path / "state")
    with pytest.raises(StateDirError, match="another process"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_durably(target, b"old")
    (tmp_path / "gone").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_durably(tmp_path / "gone", b"new")
    assert target.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "gone"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_making_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    def fail(_: StateDir) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        StateDir.create(tmp_path / "state", RECORD, fail)
    with pytest.raises(StateDirError, match="not a state directory"):
        StateDir.open(tmp_path / "state")
    assert made(tmp_path / "state").record() == RECORD


def test_a_file_that_many_threads_write_is_always_one_of_what_they_wrote(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [bytes([65 + number]) * 200_000 for number in range(4)]

    def write(text: bytes) -> None:
        for _ in range(20):
            write_durably(path, text)
            assert path.read_bytes() in texts

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, texts))
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
