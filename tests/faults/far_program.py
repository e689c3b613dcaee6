"""A program of the tests that is spoken to line by line, with faults injected into it.

Edge: processes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NO_BARRIER = ("strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=syncfs",
              "-e", "inject=syncfs:retval=0")  # fmt: skip
"""The barrier is answered as done, and not done."""


class FarProgram:
    """Asks with a line, reads a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.pid = process.pid

    def read(self) -> str:
        """The next line."""
        line = self._stdout.readline()
        assert line, "the program ended"
        return line.strip()

    def ask(self, line: str = "") -> str:
        """Say a line; what is answered."""
        self.say(line)
        return self.read()

    def say(self, line: str) -> None:
        """Say a line."""
        self._stdin.write(line + "\n")
        self._stdin.flush()


@contextmanager
def far_program(module: str, *arguments: str, under: Sequence[str] = ()) -> Iterator[FarProgram]:
    """Run `python -m module arguments`, under strace if wished; it ends with its input."""
    process = subprocess.Popen(
        [*under, sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdout:
            with process.stdin:
                yield FarProgram(process)
            process.wait(60)
    finally:
        process.kill()
        process.wait()
