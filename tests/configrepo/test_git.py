from __future__ import annotations

import contextlib
import itertools
import os
import select
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configrepo import git
from configrepo.errors import StoreError
from configrepo.git_config import repository_config
from configrepo.revision import RefUpdate
from configrepo.store import Store
from tests.support.repositories import LINE, commit, line_of, new_store, policy, real_git


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "config.git") as made:
        yield made


def test_git_sees_nothing_of_the_environment_of_the_program(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = tmp_path / "evil"
    evil.write_text(f"[core]\n\tfsmonitor = touch {tmp_path}/canary\n[user]\n\tname = evil\n")
    for name, value in (
        ("GIT_DIR", "/nonexistent"),
        ("GIT_CONFIG_GLOBAL", str(evil)),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "user.name"),
        ("GIT_CONFIG_VALUE_0", "evil"),
        ("GIT_OBJECT_DIRECTORY", "/nonexistent"),
        ("LC_ALL", "de_DE.UTF-8"),
    ):
        monkeypatch.setenv(name, value)
    made = line_of(store)[-1]
    assert store.ref(LINE) == made
    _, output = git.run(store.path, ["config", "--get", "user.name"], answers=(0, 1))
    assert output == b""
    _, seen = git.run(store.path, ["-c", "alias.e=!env", "e"])
    names = {line.split("=")[0] for line in seen.decode().splitlines()}
    assert "GIT_CONFIG_COUNT" not in names
    assert not names & {name for name in os.environ if name.startswith(("PYTEST", "VIRTUAL"))}


def test_the_words_of_git_come_with_the_error(store: Store) -> None:
    with pytest.raises(StoreError, match=r"git update-ref failed \(128\): fatal: .*nonexistent"):
        git.run(store.path, ["update-ref", "refs/heads/x", "nonexistent"])


def test_a_call_that_takes_too_long_is_ended_with_its_children(
    store: Store, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    alias = f"alias.slow=!sh -c 'echo $$ >{pid}; sleep 100; echo late'"
    with pytest.raises(StoreError, match=r"did not end within 0\.5 s"):
        git.run(store.path, ["-c", alias, "slow"], time_limit_s=0.5)
    with contextlib.suppress(ProcessLookupError):
        child = os.pidfd_open(int(pid.read_text()))
        readable, _, _ = select.select([child], [], [], 20)
        os.close(child)
        assert readable


def test_the_reason_of_a_move_is_one_line_of_the_reflog(store: Store) -> None:
    made = line_of(store)[-1]
    git.update_refs(store.path, [RefUpdate("refs/heads/cluster", None, made)], "a\nb --no-deref")
    log = (store.path / "logs" / "refs" / "heads" / "cluster").read_text()
    assert log.endswith("\ta b --no-deref\n")
    assert log.count("\n") == 1


@pytest.mark.parametrize(
    ("base", "a", "b", "merged"),
    [
        ("1\n2\n3\n4\n5\n", "0\n2\n3\n4\n5\n", "1\n2\n3\n4\n9\n", "0\n2\n3\n4\n9\n"),
        ("1\n", "2\n", "2\n", "2\n"),
        ("1\n", "2\n", "3\n", None),
        ("", "a\n", "", "a\n"),
        ("é\n", "é\n", "ü\n", "ü\n"),
        ("", "", "", ""),
    ],
)
def test_lines_are_merged_as_git_does(base: str, a: str, b: str, merged: str | None) -> None:
    assert git.merge_lines(base, a, b) == merged


def test_fsck_of_a_repository_that_is_written_to_finds_nothing_wrong(store: Store) -> None:
    """Git lists the objects first and the refs then: what comes between seems to be missing."""
    ready, enough = threading.Event(), threading.Event()

    def write() -> None:
        at = line_of(store, 100)[-1]
        ready.set()
        for number in itertools.count(1):
            made = commit(store, at, "change", policy(number))
            store.move([RefUpdate(LINE, at, made)], "test")
            at = made
            if enough.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            assert ready.wait(60)
            said = [git.fsck(store.path) for _ in range(30)]
        finally:
            enough.set()
        writing.result()
    assert said == [None] * 30


def test_fsck_says_what_is_broken(store: Store) -> None:
    made = line_of(store)[-1]
    assert git.fsck(store.path) is None
    (store.path / "objects" / made[:2] / made[2:]).unlink()
    said = git.fsck(store.path)
    assert said is not None
    assert made in said


def test_sizes_come_from_headers_and_missing_objects_are_left_out(store: Store) -> None:
    made = line_of(store)[-1]
    sizes = git.object_sizes(store.path, [made, "1" * 40], None)
    assert set(sizes) == {made}
    assert sizes[made][0] == "commit"


def test_the_configuration_is_what_git_reads(store: Store) -> None:
    listed = real_git(store.path, "config", "--list", "--local").splitlines()
    for expected in (
        "core.bare=true",
        "core.fsync=all",
        "core.hookspath=/dev/null",
        "receive.denydeletes=true",
        "gc.auto=0",
        "protocol.allow=never",
    ):
        assert expected in listed


def test_a_hooks_place_that_the_format_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="control characters"):
        repository_config(Path("/a\n[core]"))
