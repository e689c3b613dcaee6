"""Which files a program and everything that it starts have written, made, moved or removed.

strace(1) tells of every system call that takes a path; `touched` reads what it wrote.

Edge: processes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_CALLS = (
    "open,openat,openat2,creat,truncate,mkdir,mkdirat,mknod,mknodat,rmdir,unlink,unlinkat,rename,"
    "renameat,renameat2,link,linkat,symlink,symlinkat,chmod,fchmodat,chown,lchown,fchownat,utime,"
    "utimes,utimensat,setxattr,lsetxattr,removexattr,chdir,fchdir,execve"
)
_LINE = re.compile(r"(?P<process>\d+) +(?P<call>\w+)\((?P<arguments>.*)\) += (?P<answer>-?\d+)")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<at>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_PLACE = re.compile(r"AT_FDCWD<([^>]*)>")
_DIRECTORY = re.compile(r"\d+<([^>]*)>")
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
_UNKNOWN = "/unknown"


def under(trace: Path) -> tuple[str, ...]:
    """What to start a program with, so that `touched` can read `trace` afterwards."""
    return ("strace", "-f", "-y", "--seccomp-bpf", "-qq", "-s", "4096", "-o", str(trace),
            "-e", f"trace={_CALLS}")  # fmt: skip


class Touched:
    """What a trace tells: `changed` are the paths that were changed, `run` the programs."""

    def __init__(self, trace: Path) -> None:
        self.changed: set[str] = set()
        self.run: set[str] = set()
        self._place: dict[str, str] = {}
        for line in trace.read_text(errors="replace").splitlines():
            match = _LINE.match(line)
            if match is not None and not match["answer"].startswith("-"):
                self._read(match["process"], match["call"], match["arguments"])

    def _read(self, process: str, call: str, arguments: str) -> None:
        if (place := _PLACE.search(arguments)) is not None:
            self._place[process] = place[1]
        paths = self._paths(process, arguments)
        if call == "execve":
            self.run |= set(paths[:1])
        elif call == "fchdir":
            directory = _DIRECTORY.match(arguments)
            self._place[process] = _UNKNOWN if directory is None else directory[1]
        elif call == "chdir":
            self._place[process] = paths[0]
        elif not call.startswith("open") or _WRITES.search(arguments) is not None:
            self.changed |= set(paths)

    def _paths(self, process: str, arguments: str) -> list[str]:
        found = []
        for match in _PATH.finditer(arguments):
            path = match["path"].encode("latin-1", "replace").decode("unicode_escape")
            place = match["at"] or self._place.get(process, _UNKNOWN)
            found.append(os.path.normpath(f"{place}/{path}" if path[:1] != "/" else path))
        return found
