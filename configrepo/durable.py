"""What must be on disk is on disk: the barrier, atomic files, and what a crash left behind.

Git fsyncs what it writes (`core.fsync=all`) but never the directory after it renamed a
ref into place, so a commit that was answered for could be gone after a power cut. The
barrier is one `syncfs` of the repository's file system after the refs moved and before
anybody is told. A process that was killed can leave `*.lock` files, which would block a
ref for ever, and temporary object directories; `recover` removes the old ones.

Edge: the file system.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from configrepo.errors import DiskFull, StoreError

LOCK_AGE_S = 60
"""A lock older than this has no owner: no call of git may take as long."""

LEFTOVER_AGE_S = 3600
_LEAST_ROOM = 256 * 1024
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Room:
    """Size of a device and what is free of it, in bytes; `files` is the free share of inodes."""

    total: int
    free: int
    files: float = 1.0


def barrier(path: Path) -> None:
    """Return only when everything written to the file system of `path` is on disk.

    Raises:
        StoreError: the kernel reports that something could not be written.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(fd) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise StoreError(f"{path}: what was written may not be on the disk: {reason}")
    finally:
        os.close(fd)


def is_full(path: Path) -> bool:
    """Whether the device of `path` has too little space left for anything to be written."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize < _LEAST_ROOM or found.f_favail == 0 < found.f_files


def room(path: Path) -> Room:
    """How much this program may still write to the device of `path`."""
    found = os.statvfs(path)
    return Room(
        found.f_blocks * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_favail / found.f_files if found.f_files else 1.0,
    )


def reserve(path: Path, size: int) -> None:
    """Make a file that takes `size` bytes of the disk for later; nothing else writes to it.

    Raises:
        DiskFull: there is no space; nothing was made.
        StoreError: another error of the file system.
    """
    with _translated(path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically and durably; after an error the old one is still there.

    Raises:
        DiskFull: there is no space.
        StoreError: another error of the file system.
    """
    write_before_barrier(path, data, mode, prefix=f".{path.name}.")
    with _translated(path):
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def write_before_barrier(path: Path, data: bytes, mode: int, prefix: str) -> None:
    """Like `write_file`, but its name is durable only after the next barrier.

    `prefix` begins the name of the temporary file beside it.
    """
    with _translated(path):
        fd, name = tempfile.mkstemp(prefix=prefix, dir=path.parent)
        try:
            try:
                os.fchmod(fd, mode)
                left = memoryview(data)
                while left:
                    left = left[os.write(fd, left) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def remove_stale_locks(repository: Path) -> tuple[str, ...]:
    """Remove locks of killed processes; returns what was removed, relative to the repository."""
    removed = []
    for place, pattern in (("", "*.lock"), ("refs", "**/*.lock"), ("objects/info", "**/*.lock")):
        for lock in (repository / place).glob(pattern):
            if _older_than(lock, LOCK_AGE_S):
                lock.unlink(missing_ok=True)
                removed.append(str(lock.relative_to(repository)))
    return tuple(removed)


def recover(repository: Path) -> tuple[str, ...]:
    """Remove what killed processes left in a repository; safe at any time, any number of times.

    Returns:
        What was removed, relative to the repository.
    """
    removed = [*remove_stale_locks(repository)]
    objects = ("tmp_objdir-*", "tmp_obj_*", "*/tmp_obj_*", "pack/tmp_*", "pack/*.temp")
    for pattern in (*objects, "info/commit-graphs/tmp_*"):
        for leftover in (repository / "objects").glob(pattern):
            if _older_than(leftover, LEFTOVER_AGE_S):
                _remove(leftover)
                removed.append(str(leftover.relative_to(repository)))
    return tuple(removed)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translated(error, path) from error


def translated(error: OSError, path: Path) -> StoreError:
    """The exception of this room for an error of the file system at `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("no space left on the device; nothing was changed")
    return StoreError(f"{path}: {error.strerror or error}")


def _older_than(path: Path, age_s: float) -> bool:
    """By distance, not by order: a time in the future is what a reset clock leaves."""
    try:
        return abs(time.time() - path.lstat().st_mtime) > age_s
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
