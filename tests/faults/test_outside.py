"""Nothing outside the state directory is touched, whatever is pushed and whatever is typed.

Every system call that takes a path is looked at: of git, of the hooks and the shells, and
of the program that judges.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.far_program import far_program
from tests.faults.touched import Touched, under

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

ALLOWED = ("/dev/null", "/dev/tty")
RECEIVING = {"sh", "env", "prlimit", "git", "true", "nc", "pre-receive", "post-receive", "gate.sh"}
NOTING = {"awk", "date", "head", "mv", "rm", "tr", "wc"}
"""What the gate writes its log with."""

PROGRAMS = RECEIVING | NOTING
ROOT = Path(__file__).resolve().parents[2]


def after_the_beginning(trace: Path, folder: Path) -> Path:
    """The part of a trace that counts."""
    text = trace.read_text(errors="replace")
    mark = f'"{folder / "begin"}"'
    assert mark in text, "the trace tells nothing"
    part = trace.with_suffix(".part")
    part.write_text(text.partition(mark)[2])
    return part


def test_malicious_pushes_touch_nothing_outside_the_state_directory(
    tmp_path: Path, full: bool
) -> None:
    count = 1000 if full else 38
    folder, trace = tmp_path / "w", tmp_path / "trace"
    folder.mkdir()
    arguments = (str(folder), str(count))
    with far_program("tests.faults.abused_process", *arguments, under=under(trace)) as far:
        assert far.read() == "ready"
        assert far.ask() == "0", "something was let in"
    part = after_the_beginning(trace, folder)
    inside = f"{folder}/server1/"
    trail = Touched(part)
    found = trail.changed
    assert any(path.startswith(f"{inside}config.git/objects/") for path in found)
    outside = {path for path in found if not path.startswith(inside) and path not in ALLOWED}
    assert outside == set()
    names = {Path(program).name for program in trail.run}
    assert names <= PROGRAMS, names
    print(f"{count} malicious pushes, {len(found)} paths touched, all inside")


def test_orders_typed_into_the_pages_touch_nothing_outside(tmp_path: Path, full: bool) -> None:
    """The suite that types them, run once more where every path is seen."""
    if not full:
        pytest.skip("runs another suite a second time: pytest tests/faults --full")
    trace, folder = tmp_path / "trace", tmp_path / "w"
    folder.mkdir()
    suite = [sys.executable, "-m", "pytest", "tests/faults/test_injection.py", "-q"]
    options = ["-p", "no:cacheprovider", f"--basetemp={folder / 'base'}"]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*under(trace), *suite, *options], cwd=ROOT, env=environment, check=True, timeout=3000
    )
    trail = Touched(trace)
    assert any(path.endswith("config.git/refs/heads/server/0.lock") for path in trail.changed)
    outside = {
        path
        for path in trail.changed
        if not path.startswith((f"{folder}/", "/proc/")) and path not in (*ALLOWED, str(folder))
    }
    assert outside == set()
    print(f"{len(trail.changed)} paths touched, all inside; programs: {sorted(trail.run)}")


def test_what_is_touched_outside_would_be_seen(tmp_path: Path) -> None:
    """The proof that the trace can show it at all."""
    trace = tmp_path / "trace"
    steps = ("echo x > made", "mv made moved", "ln -s /etc link", "mkdir d", "cd d", "mkdir e")
    script = "; ".join((f"cd {tmp_path}", *steps))
    subprocess.run([*under(trace), "sh", "-c", script], check=True, timeout=60)
    seen = Touched(trace).changed
    assert {str(tmp_path / name) for name in ("made", "moved", "link", "d", "d/e")} <= seen
