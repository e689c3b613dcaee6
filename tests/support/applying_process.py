"""Applies one text in a process of its own, so that it can be killed at any system call.

    python -m tests.support.applying_process STATE TEXT

Edge: files, processes.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from configrepo.model import ServerId
from configrepo.revision import CommitId, RefUpdate
from scheduler.applying import Applier, ApplyCommands


class FileWorld:
    """Texts whose commit id is made of them, nothing sealed, and one ref in a file."""

    def __init__(self, state: Path) -> None:
        self._file = state / "ref"

    def wanted(self, commit: CommitId) -> str:
        return bytes.fromhex(commit).decode().strip()

    def opened(self, sealed: str) -> str:
        return sealed

    def sealed(self, clear: bytes) -> str:
        return clear.decode()

    def key(self) -> str:
        return "one"

    def ref(self, _: str) -> CommitId | None:
        return CommitId(self._file.read_text()) if self._file.exists() else None

    def move(self, updates: tuple[RefUpdate, ...], reason: str) -> None:
        for update in updates:
            self._file.write_text(update.new or "")


def commit_of(text: str) -> CommitId:
    """The id under which a text is wanted."""
    return CommitId(text.ljust(20).encode().hex())


def applier(state: Path) -> Applier:
    """The applier of a state directory; its command copies the file to `device`."""
    commands = ApplyCommands(apply=(str(state / "apply"),))
    world = FileWorld(state)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Applier(state, ServerId(0), world, world, commands, lambda: now)


if __name__ == "__main__":
    applier(Path(sys.argv[1])).apply(commit_of(sys.argv[2]))
