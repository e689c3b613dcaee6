"""Runs a command and writes down the most memory that it or a child of it had, in MiB.

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
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    file.write_text(f"{peak / 1024:.1f}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
