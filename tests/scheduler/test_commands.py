from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

from scheduler.commands import run_command


def script(folder: Path, text: str) -> str:
    path = folder / "command"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_command_that_exits_with_0_did_what_it_was_asked(tmp_path: Path) -> None:
    done = run_command([script(tmp_path, 'echo "$1"; echo aside >&2'), "a b; c"], 5)
    assert done.ok
    assert done.output == b"a b; c\n"
    assert done.words == "aside\n"


def test_a_failure_names_the_status_and_the_last_words(tmp_path: Path) -> None:
    done = run_command([script(tmp_path, "echo first >&2; echo no such port >&2; exit 3")], 5)
    assert not done.ok
    assert done.problem is not None
    assert done.problem.endswith("failed (exit status 3): no such port")


def test_a_killed_command_is_a_failure(tmp_path: Path) -> None:
    done = run_command([script(tmp_path, "kill -9 $$")], 5)
    assert done.problem is not None
    assert done.problem.endswith("failed (signal 9)")


def test_a_missing_command_is_a_failure_and_no_exception(tmp_path: Path) -> None:
    done = run_command([str(tmp_path / "nothing")], 5)
    assert done.problem == f"{tmp_path}/nothing cannot be started: No such file or directory"


def test_at_the_time_limit_everything_it_started_is_killed(tmp_path: Path) -> None:
    """The inherited end of a pipe closes only when the last process of the group is gone."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    start = monotonic()
    done = run_command([script(tmp_path, f"exec 3>{fifo}; tail -f /dev/null & wait")], 0.3)
    assert done.problem is not None
    assert done.problem.endswith("did not end within 0.3 s")
    os.set_blocking(end, True)
    assert os.read(end, 1) == b""
    os.close(end)
    assert monotonic() - start < 5


def test_a_command_sees_no_environment_of_ours(tmp_path: Path) -> None:
    done = run_command([script(tmp_path, "env")], 5)
    names = {line.split(b"=")[0] for line in done.output.splitlines()}
    assert names <= {b"PATH", b"LC_ALL", b"PWD", b"OLDPWD", b"_", b"SHLVL"}
