"""Runs a command and writes down what it and its children took: memory and work.

The most memory that one of them had, in MiB, and the CPU seconds of all together.

    python -I -S measured.py FILE COMMAND…

A process of its own and a small one: what a child is counted with begins with its parent's.

Edge: processes, files.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path


def main(file: Path, command: list[str]) -> int:
    """Run it; its exit status."""
    status = subprocess.call(command)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    file.write_text(f"{used.ru_maxrss / 1024:.1f} {used.ru_utime + used.ru_stime:.2f}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
