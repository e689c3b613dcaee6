"""Serves clones: git's upload-pack behind an HTTP answer, read only.

`advertisement` answers `GET info/refs`, `upload_pack` streams the answer to a POST of
`git-upload-pack` (git's "smart" HTTP protocol, gitprotocol-http(5)). Drafts are hidden;
the client's `Git-Protocol` is not passed on, because under protocol version 2 hidden
refs do not hide their objects. Git runs in a process group of its own, which is ended as
a whole when the answer is done, when the client is gone, when nothing moved for a while, or
when it took longer than a slow line needs for the whole repository (the gate of SSH has the
same bounds). If git fails, the stream raises, or a cut answer would look complete.

Edge: git processes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from configrepo import git
from configrepo.errors import StoreError

SILENCE_S = 60.0
SHORTEST_BOUND_S = 1800.0
SLOWEST_BYTES_PER_S = 64 * 1024
_BOUNDS = ("/usr/bin/prlimit", f"--as={2 << 30}", "--cpu=120")
"""Of each process of git that serves one clone: bytes of memory, seconds of work."""
_PIECE = 64 * 1024
_HIDDEN = ("-c", "uploadpack.hideRefs=refs/bqn/drafts")


def advertisement(path: Path) -> bytes:
    """The body of `GET info/refs?service=git-upload-pack`.

    Its type is `application/x-git-upload-pack-advertisement`, never cached.
    """
    arguments = [*_HIDDEN, "upload-pack", "--strict", "--http-backend-info-refs", str(path)]
    _, refs = git.run(path, arguments)
    return b"001e# service=git-upload-pack\n0000" + refs


def bound_s(path: Path) -> float:
    """How long a clone may take: half an hour, or what a slow line needs for all that is there."""
    size = 0
    for folder, _, names in os.walk(path / "objects"):
        for name in names:
            with suppress(FileNotFoundError):
                size += Path(folder, name).stat().st_size
    return max(SHORTEST_BOUND_S, size / SLOWEST_BYTES_PER_S)


def upload_pack(
    path: Path, request: bytes, silence_s: float = SILENCE_S, longest_s: float | None = None
) -> Generator[bytes, None, None]:
    """Stream the answer to a POST of `git-upload-pack`.

    Git starts with the first piece that is asked for; close the generator if the
    client is gone. Its type is `application/x-git-upload-pack-result`.

    Args:
        path: the repository.
        request: the body of the request, decompressed; the caller limits its size.
        silence_s: git is ended if no piece was made or taken for as long.
        longest_s: git is ended after as long, however slowly the answer is taken; None for
            `bound_s`.

    Raises:
        StoreError: git failed or was ended; what was sent so far is not complete.
    """
    longest_s = bound_s(path) if longest_s is None else longest_s
    arguments = [*_HIDDEN, "upload-pack", "--strict", "--stateless-rpc", str(path)]
    with tempfile.TemporaryFile() as body:
        body.write(request)
        body.seek(0)
        process = git.start(path, arguments, body, limits=_BOUNDS)
    output, words = process.stdout, process.stderr
    if output is None or words is None:
        raise StoreError("git has no output")
    with output, words:
        try:
            with _ended_when_silent(process, silence_s, longest_s) as moved:
                while piece := output.read(_PIECE):
                    moved.set()
                    yield piece
                    moved.set()
                process.wait()
        finally:
            git.kill_group(process)
        if process.returncode != 0:
            said = words.read(2000).decode("utf-8", "replace").strip()
            raise StoreError(f"git upload-pack ended with {process.returncode}: {said}")


@contextmanager
def _ended_when_silent(
    process: subprocess.Popen[bytes], silence_s: float, longest_s: float
) -> Iterator[threading.Event]:
    """Ends the process group when the event is not set for `silence_s`, or after `longest_s`."""
    moved = threading.Event()
    done = threading.Event()
    end = monotonic() + longest_s

    def watch() -> None:
        while moved.wait(min(silence_s, max(end - monotonic(), 0.0))):
            moved.clear()
            if done.is_set():
                return
            if monotonic() >= end:
                break
        if not done.is_set():
            git.kill_group(process)

    watchdog = threading.Thread(target=watch, name="clone-watchdog", daemon=True)
    watchdog.start()
    try:
        yield moved
    finally:
        done.set()
        moved.set()
        watchdog.join()
