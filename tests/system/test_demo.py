"""The demo as a new user meets it: one command, real processes, the whole tour."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOUR_S = 300
STARTING_S = 120

pytestmark = [pytest.mark.system, pytest.mark.timeout(TOUR_S + 60)]


def free_block(low: int) -> int:
    """The first of three consecutive free ports; below the range of outgoing connections."""
    for first in range(low + os.getpid() % 500 * 3, 32000, 3):
        with ExitStack() as stack:
            try:
                for port in range(first, first + 3):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


def processes_of(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in line:
                found.append(f"{entry.name} {line}")
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, because sockets live below it."""
    place = Path(tempfile.mkdtemp(prefix="bqn-"))
    yield place
    shutil.rmtree(place)


def command(folder: Path, *options: str) -> list[str]:
    ports = [f"--gui-port={free_block(20000)}", f"--control-port={free_block(24000)}"]
    ports.append(f"--ssh-port={free_block(28000)}")
    run = [sys.executable, "-m", "scripts.demo_run", f"--dir={folder / 'demo'}"]
    return [*run, *ports, *options]


def test_the_tour_verifies_every_step(folder: Path) -> None:
    took = subprocess.run(
        command(folder, "--auto"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TOUR_S,
        check=False,
    )
    logs = "".join(
        f"--- {log.name}\n{log.read_text('utf-8')[-3000:]}"
        for log in sorted(folder.glob("demo/*.log"))
    )
    assert took.returncode == 0, took.stdout + took.stderr + logs
    assert re.search(r"All \d+ steps verified", took.stdout)
    assert processes_of(folder) == []


class RunningDemo:
    """A demo in the foreground, as in a terminal."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said: list[str] = []

    def read_until(self, mark: str) -> str:
        """Read its output until a line has the mark; returns all of it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if mark in line:
                break
        return "".join(self.said)

    def kill(self) -> None:
        """Kill it so that it cannot stop what it started."""
        self.process.kill()
        self.process.communicate(timeout=STARTING_S)

    def interrupt(self) -> int:
        """Press Ctrl-C; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=STARTING_S)
        self.said.append(rest)
        return self.process.returncode


def test_a_next_run_goes_on_where_the_last_one_stopped_or_was_killed(folder: Path) -> None:
    starting = command(folder)
    passwords = []
    for ending in ("killed", "interrupted", "interrupted"):
        demo = RunningDemo(starting)
        told = demo.read_until("Ctrl-C stops everything")
        if ending == "killed":
            demo.kill()
            continue
        assert demo.interrupt() == 0, "".join(demo.said)
        found = re.search(r"Password: (\S+)", told)
        assert found is not None, told
        passwords.append(found[1])
        assert len(re.findall(r"^  \d\. ", told, re.MULTILINE)) == 6
        assert processes_of(folder) == []
    assert passwords[0] == passwords[1]
    kept = folder / "demo" / "demo.json"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_port_that_is_taken_is_named_with_what_to_do(folder: Path) -> None:
    starting = command(folder)
    port = int(starting[4].removeprefix("--gui-port="))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        refused = subprocess.run(
            starting, cwd=ROOT, capture_output=True, text=True, timeout=STARTING_S, check=False
        )
    assert refused.returncode == 1
    assert f"port {port} cannot be used" in refused.stderr
    assert "--gui-port" in refused.stderr
    assert processes_of(folder) == []
