"""The state directory: everything that a server remembers outside Git.

    server.json          format of the directory, id, name, cluster id
    config.git/          the repository
    keys/                identity, keyring, certificates (0600)
    drafts/              candidates and answers that are not committed yet
    run/                 sockets of the running program
    running.conf         what is applied now
    audit.jsonl          the audit log

Every write is durable (temporary file, fsync, rename, fsync of the directory), so a
power cut leaves the old content or the new one. A directory of a newer format is
refused and not touched.

Edge: files.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from configrepo.errors import StateTooNew
from configrepo.model import ServerId
from scheduler.errors import SchedulerError

FORMAT = 1
RELEASE = "R5.0.0"


class StateDirError(SchedulerError):
    """The state directory is missing, in use, damaged, or already initialised."""


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the content of `path` so that a power cut leaves the old one or the new one.

    Raises:
        OSError: no space, no permission; the old content is intact.
    """
    # Two threads that write the same file must not write into one another's.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def append_durably(path: Path, lines: bytes, mode: int = 0o600) -> None:
    """Add lines to the end of `path`, all or nothing; they are on the disk when this returns.

    A line that a crash cut short before stays alone: it does not swallow the next one.

    Raises:
        OSError: no space, no permission; the file is as it was.
    """
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        left = memoryview(b"\n" * torn + lines)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if new:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """The JSON value of a file, or None if the file does not exist.

    Raises:
        StateDirError: the file is not JSON; the sentence names it.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StateDirError(
            f"{path} is damaged ({error}): restore it from a backup, or move it away"
        ) from error


def write_json(path: Path, value: object, mode: int = 0o600) -> None:
    """Write a value as JSON, durably."""
    write_durably(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n", mode)


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """Who this server is. `cluster_id` is 32 hexadecimal digits, or None while alone."""

    id: ServerId
    name: str
    cluster_id: str | None = None


class StateDir:
    """The paths of one state directory, and its record of who this server is."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @property
    def repository(self) -> Path:
        """The bare repository."""
        return self.path / "config.git"

    @property
    def keys(self) -> Path:
        """The keys of this server, 0700."""
        return self.path / "keys"

    @property
    def drafts(self) -> Path:
        """What is not committed yet."""
        return self.path / "drafts"

    @property
    def run(self) -> Path:
        """Sockets and process ids of the running program."""
        return self.path / "run"

    @classmethod
    def create(cls, path: Path, record: ServerRecord, fill: Callable[[StateDir], None]) -> StateDir:
        """Make a new state directory.

        Args:
            path: where; its parents are made.
            record: who the server is.
            fill: puts keys and repository in. The record is written last, so a making that
                was cut short is not a state directory yet, and is simply done again.

        Raises:
            StateDirError: there is one already; it is left as it is.
        """
        self = cls(path)
        if (self.path / "server.json").exists():
            raise StateDirError(
                f"{self.path} already holds a server; choose another directory, or remove it first"
            )
        for folder in (self.path, self.keys, self.drafts, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fill(self)
        self.write_record(record)
        return self

    @classmethod
    def open(cls, path: Path) -> StateDir:
        """Open an existing state directory.

        Raises:
            StateDirError: it was never initialised or is damaged.
            StateTooNew: a newer release wrote it.
        """
        self = cls(path)
        self.record()
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.drafts.mkdir(mode=0o700, exist_ok=True)
        return self

    def record(self) -> ServerRecord:
        """Who this server is, read from the disk."""
        stored = read_json(self.path / "server.json")
        if stored is None:
            raise StateDirError(
                f"{self.path} is not a state directory: make it with "
                f"'app.py init --state {self.path}'"
            )
        if stored.get("format", 0) > FORMAT:
            raise StateTooNew(
                f"{self.path} was written by a newer release (format {stored['format']}, this "
                f"program reads {FORMAT}): install that release or a newer one"
            )
        return ServerRecord(
            id=ServerId(stored["id"]), name=stored["name"], cluster_id=stored["cluster_id"]
        )

    def write_record(self, record: ServerRecord) -> None:
        """Remember who this server is."""
        write_json(
            self.path / "server.json",
            {
                "format": FORMAT,
                "id": record.id,
                "name": record.name,
                "cluster_id": record.cluster_id,
            },
        )

    def set_cluster(self, cluster_id: str | None) -> None:
        """Remember the cluster that this server belongs to."""
        record = self.record()
        if record.cluster_id != cluster_id:
            self.write_record(replace(record, cluster_id=cluster_id))

    def lock(self) -> None:
        """Take the directory for this process until it ends.

        Raises:
            StateDirError: another process of this program runs on it.
        """
        # 0600: the lock is held for the whole life of the program.
        self._lock = (self.run / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise StateDirError(
                f"another process runs on {self.path}: stop it first, or use another directory"
            ) from error

    def unlock(self) -> None:
        """Give the directory back."""
        if self._lock is not None:
            # A child that was forked just now still holds a copy: closing ours is not enough.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._lock.close()
            self._lock = None
