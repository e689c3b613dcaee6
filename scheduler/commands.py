"""Runs the operator's own programs: an argument list, a time limit, never a shell.

A command gets no input, a small environment and a process group of its own; at the time
limit the whole group is killed, so nothing that it started is left behind.

Edge: processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
OUTPUT_BYTES: Final = 16 << 20
_LAST_LINE: Final = 200


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. `problem` is None if it exited with 0, else why not.

    `output` is what it printed; `words` what it wrote to its error stream.
    """

    problem: str | None
    output: bytes
    words: str

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.problem is None


def run_command(argv: Sequence[str], timeout_s: float) -> Finished:
    """Run a command to its end, or to the time limit."""
    name = argv[0]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return Finished(f"{name} cannot be started: {error.strerror}", b"", "")
        late = False
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            _kill_group(process)
        output.seek(0)
        errors.seek(0)
        printed = output.read(OUTPUT_BYTES)
        words = errors.read(1 << 16).decode(errors="replace")
    if late:
        return Finished(f"{name} did not end within {timeout_s:g} s", printed, words)
    if process.returncode != 0:
        return Finished(_failure(name, process.returncode, printed, words), printed, words)
    return Finished(None, printed, words)


def _failure(name: str, status: int, printed: bytes, words: str) -> str:
    how = f"exit status {status}" if status > 0 else f"signal {-status}"
    said = (words.strip() or printed[-4096:].decode(errors="replace").strip()).splitlines()
    last = "".join(c for c in said[-1] if c.isprintable())[:_LAST_LINE] if said else ""
    return f"{name} failed ({how})" + (f": {last}" if last else "")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group; its id is still ours while the leader is not reaped."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
