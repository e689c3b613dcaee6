"""Makes a long history quickly: many commits over many objects, by `git fast-import`.

The commits are not signed, as those of no member are; so it is laid below a branch while
no server runs, the same at every server.

Edge: git processes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from configrepo.layout import files_of
from configrepo.parser import read
from configrepo.revision import CommitId

_WHO = "BQN bench <bench@bqn.invalid>"


def block(number: int, rate: int) -> str:
    """One object of the configuration."""
    return f"policy rate bench-{number}\n downlink rate {rate}\n uplink rate 2000\n"


def lay(repository: Path, ref: str, base: CommitId, since: int, commits: int, objects: int) -> None:
    """Add commits to a branch: the first brings the objects, each other changes one.

    Args:
        repository: the bare repository.
        ref: the branch; it is at `base`.
        base: the commit to start from.
        since: POSIX seconds of the first commit; each is a second later.
        commits: how many.
        objects: how many objects there are.
    """
    stream = b"".join(_stream(ref, base, since, commits, objects))
    subprocess.run(
        ["git", f"--git-dir={repository}", "fast-import", "--quiet"],
        input=stream,
        check=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/"},
    )


def _stream(ref: str, base: str, since: int, commits: int, objects: int) -> Iterator[bytes]:
    for number in range(commits):
        message = f"Change {number}\n"
        yield f"commit {ref}\ncommitter {_WHO} {since + number} +0000\n".encode()
        yield f"data {len(message)}\n{message}".encode()
        if number == 0:
            yield f"from {base}\n".encode()
            whole = "".join(block(one, 10_000) for one in range(objects))
            files = files_of(read(whole).document, "0")
        else:
            files = files_of(read(block(number % objects, 10_001 + number)).document, "0")
        for path, text in files.items():
            data = text.encode()
            yield f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n"
    yield b"done\n"
