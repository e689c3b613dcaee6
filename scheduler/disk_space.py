"""Room on the disk: people stop writing early, so that the program itself never has to.

Rules:

1. Below `READ_ONLY_BELOW` of free space people commit nothing more here, with the reason.
2. A reserve of 64 MiB is kept as a file. When the disk is full nevertheless it is given
   up, so that a merge, a step-down, an arriving commit and a recovery can be written; it
   is taken again when there is room for people too.

Edge: the file system.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from configrepo import durable
from configrepo.errors import StoreError

READ_ONLY_BELOW: Final = 0.10
RESERVE_BYTES: Final = 64 * 1024 * 1024
GIVE_UP_BELOW_BYTES: Final = 32 * 1024 * 1024


class DiskSpace:
    """The disk of one state directory."""

    def __init__(
        self,
        state: Path,
        free_share: Callable[[Path], float] = durable.free_share,
        free_bytes: Callable[[Path], int] = durable.free_bytes,
    ) -> None:
        self._state = state
        self._reserve = state / "reserve"
        self._free_share = free_share
        self._free_bytes = free_bytes
        self._reason: str | None = None

    def read_only_reason(self) -> str | None:
        """Why people may not commit here now; None if they may."""
        return self._reason

    def look(self) -> str:
        """Look at the disk, give the reserve up or take it; returns one sentence."""
        share, left = self._free_share(self._state), self._free_bytes(self._state)
        reason = (
            f"The disk of this server is nearly full: {share:.0%} is free, and below "
            f"{READ_ONLY_BELOW:.0%} nothing more can be saved. Free some space."
        )
        self._reason = reason if share < READ_ONLY_BELOW else None
        if left < GIVE_UP_BELOW_BYTES and self._reserve.exists():
            self._reserve.unlink(missing_ok=True)
            return "the disk is full: the reserve was given up for what must be written"
        if self._reason is None and not self._reserve.exists():
            return self._take()
        return f"{share:.0%} of the disk is free"

    def _take(self) -> str:
        try:
            durable.reserve(self._reserve, RESERVE_BYTES)
        except StoreError as error:
            return f"no reserve could be taken: {error}"
        return "a reserve of 64 MiB was taken"
