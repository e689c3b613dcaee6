"""The gate of a receiving server, started as its sshd would start it, behind a byte stream.

Edge: processes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from configrepo.errors import TransferFailed
from configrepo.store import CommitId, Pushed
from scheduler.authorized_keys import GATE
from tests.support.replicas import Replica

LIMIT_S = 60.0


class Pipe:
    """A byte stream to the gate; after `limit` bytes from this side it breaks."""

    def __init__(self, process: subprocess.Popen[bytes], limit: int | None = None) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.sent = 0
        self._limit = limit

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        assert self.process.stdout is not None
        return self.process.stdout.read(size)

    def write(self, data: bytes) -> None:
        """Send all of it, or what the limit lets through."""
        assert self.process.stdin is not None
        left = len(data) if self._limit is None else max(0, self._limit - self.sent)
        try:
            self.process.stdin.write(data[:left])
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise TransferFailed("the stream broke") from error
        self.sent += len(data)
        if left < len(data):
            with suppress(BrokenPipeError):
                self.process.stdin.close()
            raise TransferFailed("the stream was cut")


@contextmanager
def gate_of(
    state: Path, peer: int, under: Sequence[str] = (), limit: int | None = None
) -> Iterator[Pipe]:
    """The gate for a server's key, asked for `git-receive-pack`."""
    process = subprocess.Popen(
        [*under, "sh", str(GATE), str(peer), str(state), "receive-pack,upload-pack,probe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": "git-receive-pack 'config.git'"},
    )
    try:
        yield Pipe(process, limit)
    finally:
        for end in (process.stdin, process.stdout, process.stderr):
            if end is not None:
                with suppress(BrokenPipeError):
                    end.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LIMIT_S)
        process.kill()
        process.wait()


def push(
    source: Replica,
    sink: Replica,
    refs: Mapping[str, CommitId],
    under: Sequence[str] = (),
    limit: int | None = None,
) -> Pushed | None:
    """Push refs through the gate; None if the stream broke before there was an answer."""
    with gate_of(sink.state, source.id, under, limit) as pipe:
        try:
            return source.store.push(pipe, dict(refs))
        except TransferFailed:
            return None
