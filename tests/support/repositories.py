"""Repositories for tests, real git as the judge, and git at the far end of a stream."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.factory import FACTORY_ROOT
from configrepo.revision import CommitId, Person, RefUpdate
from configrepo.sshsig import Signer
from configrepo.store import Store

ANA = Person("Ana", "ana@example.net")
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SIGNER = Signer(Person("server-0", "server-0@bqn.invalid"), KEY)
LINE = "refs/heads/server/0"
HOSTNAME = {"servers/0/hostname.conf": "hostname bqn0\n"}
SCRUBBED = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


def real_git(path: Path, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] = {}) -> str:
    """What git itself says about a repository."""
    done = subprocess.run(
        ["git", f"--git-dir={path}", *arguments],
        input=stdin,
        capture_output=True,
        env={**SCRUBBED, **env},
        check=True,
        timeout=60,
    )
    return done.stdout.decode().strip()


def new_store(path: Path, hooks: Path | None = None) -> Store:
    """A store that holds the factory root."""
    return Store.create(path, SIGNER, hooks=hooks)


def commit(
    store: Store, parent: CommitId, message: str, files: Mapping[str, str], term: str = ""
) -> CommitId:
    """A commit on top of `parent` that adds or replaces files; no ref moves."""
    merged = {**store.files(parent), **files}
    trailers = {"Server": "0", **({"Term": term} if term else {})}
    return store.write_commit([parent], merged, ANA, message, trailers)


def line_of(store: Store, length: int = 1, ref: str = LINE) -> list[CommitId]:
    """A branch of `length` commits on top of the factory root, oldest first."""
    made = []
    at = FACTORY_ROOT
    for number in range(length):
        at = commit(store, at, f"Change {number}", {**HOSTNAME, **policy(number)})
        made.append(at)
    store.move([RefUpdate(ref, None, at)], "test")
    return made


def policy(number: int) -> dict[str, str]:
    """A file with one policy."""
    name = f"rate-{number}"
    return {f"common/policy/rate/{name}.conf": f"policy rate {name}\n acm on\n"}


class Pipe:
    """A byte stream to a process, as an SSH channel would be."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    def read(self, size: int) -> bytes:
        return self._stdout.read(size)

    def write(self, data: bytes) -> None:
        self._stdin.write(data)
        self._stdin.flush()


@contextmanager
def git_at_far_end(*command: str) -> Iterator[Pipe]:
    """Real `git receive-pack` or `git upload-pack` behind a stream."""
    process = subprocess.Popen(
        ["git", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=SCRUBBED
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin, process.stdout:
            yield Pipe(process)
    finally:
        process.kill()
        process.wait()
