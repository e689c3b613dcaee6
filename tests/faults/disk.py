"""A disk whose power can be cut: an ext4 file system in a file.

What the file holds is what a power cut would leave: the kernel's cache of the file system
is above it. A copy is the disk at that moment; mounting the copy is the start after the cut.

Edge: loop devices, mounts.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """The file system of an image, mounted until the end of the block."""
    place.mkdir(exist_ok=True)
    # Nothing is written behind our back while an image is copied.
    _run("mount", "-o", "loop,commit=300", str(image), str(place))
    try:
        yield place
    finally:
        _run("umount", str(place))


def new_image(image: Path, size_mib: int) -> Path:
    """An image with an empty file system."""
    with image.open("wb") as file:
        file.truncate(size_mib << 20)
    _run("mkfs.ext4", "-q", "-F", str(image))
    return image


def cut(image: Path, copy: Path) -> Path:
    """The disk as it would be if the power went now."""
    _run("cp", "--sparse=always", str(image), str(copy))
    return copy


def settle(place: Path) -> None:
    """Write everything so far to the disk, so that a cut shows only what comes after."""
    _run("sync", "-f", str(place))


def take_all(path: Path) -> None:
    """Take all that is left of a disk, to the last block, with a file on it."""
    settle(path.parent)
    _take_what_is_left(path)


@contextmanager
def kept_full(path: Path) -> Iterator[None]:
    """Until the end of the block such a file also takes, at once, whatever becomes free."""
    over = threading.Event()

    def fill() -> None:
        while not over.wait(0.02):
            _take_what_is_left(path)

    take_all(path)
    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(fill)
        try:
            yield
        finally:
            over.set()
            filling.result()
            path.unlink()


def _take_what_is_left(path: Path) -> None:
    with path.open("ab") as file:
        size = 1 << 26
        while size >= 512:
            try:
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)
            except OSError:
                size //= 2


def works(folder: Path) -> bool:
    """Whether this machine lets us mount images."""
    try:
        with mounted(new_image(folder / "try.img", 4), folder / "try"):
            return True
    except (OSError, subprocess.SubprocessError):
        return False
