"""Room on the disk: people stop writing early, so that the program itself never has to.

Rules:

1. Below `READ_ONLY_BELOW` of free space people commit nothing more here, with the reason,
   and this server leads only if no other one can (R14); from `WRITABLE_FROM` on both are
   over. Between the two it stays as it is. Room for files (inodes) counts like room for bytes.
2. A reserve is kept as a file: 64 MiB, or an eighth of a small disk. When the disk is full
   nevertheless it is given up, so that a merge, a step-down, an arriving commit and a
   recovery can be written; it is taken again when people may write again.
3. What counts as free is what is left beside the reserve, whether it is there or was given
   up. So giving it up or taking it never changes the answer to rule 1: nothing swings.

Edge: the file system.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from configrepo import durable
from configrepo.durable import Room
from configrepo.errors import StoreError
from scheduler.control_view import ControlView

READ_ONLY_BELOW: Final = 0.10
WRITABLE_FROM: Final = 0.12
MOST_RESERVED_BYTES: Final = 64 * 1024 * 1024
BARRED: Final = "its disk is nearly full"
"""Why a server shall not lead, as the others are told."""

_ANSWERS: Final = ("alive", "suspect", "indirect")
_RESERVED_SHARE: Final = 8
_FULL_BELOW: Final = 0.01
_MIB: Final = 1024 * 1024


def reserve_of(total: int) -> int:
    """How many bytes of a disk of that size are kept in reserve."""
    return min(MOST_RESERVED_BYTES, total // _RESERVED_SHARE)


def give_up_below(total: int) -> int:
    """With how few free bytes the reserve is given up; less than is free when it is taken."""
    return reserve_of(total) // 2


class DiskSpace:
    """The disk of one state directory."""

    def __init__(self, state: Path, room: Callable[[Path], Room] = durable.room) -> None:
        self._state = state
        self._reserve = state / "reserve"
        self._room = room
        self._reason: str | None = None

    def read_only_reason(self) -> str | None:
        """Why people may not commit here now; None if they may."""
        return self._reason

    def free_share(self) -> float:
        """Which share of the disk is free beside the reserve, 0 to 1."""
        return self._free(self._room(self._state))

    def reserved(self) -> int:
        """How many bytes are kept in reserve now."""
        return self._reserve.stat().st_size if self._reserve.exists() else 0

    def look(self) -> str:
        """Look at the disk, give the reserve up or take it; returns one sentence."""
        room = self._room(self._state)
        share = self._free(room)
        enough = READ_ONLY_BELOW if self._reason is None else WRITABLE_FROM
        self._reason = None if share >= enough else self._words(room, share)
        if room.free < give_up_below(room.total) and self._reserve.exists():
            self._reserve.unlink(missing_ok=True)
            return "the disk is full: the reserve was given up for what must be written"
        if self._reason is None and not self._reserve.exists():
            return self._take(reserve_of(room.total))
        return f"{share:.0%} of the disk is free"

    def _left(self, room: Room) -> int:
        return room.free - (0 if self._reserve.exists() else reserve_of(room.total))

    def _free(self, room: Room) -> float:
        share = self._left(room) / room.total if room.total else 0.0
        return max(0.0, min(share, room.files))

    def _words(self, room: Room, share: float) -> str:
        missing = WRITABLE_FROM * room.total - self._left(room)
        todo = f"Free {_amount(missing)} of it."
        if missing <= 0:
            todo = "It has room for bytes, but not for more files: remove some."
        full = "full" if share < _FULL_BELOW else "nearly full"
        return (
            f"The disk of this server is {full}: {share:.0%} is free, and until "
            f"{WRITABLE_FROM:.0%} is free again nothing can be saved here. {todo}"
        )

    def _take(self, size: int) -> str:
        try:
            durable.reserve(self._reserve, size)
        except StoreError as error:
            return f"no reserve could be taken: {error}"
        return f"a reserve of {size // _MIB} MiB was taken"


def full_disks(view: ControlView) -> tuple[str, ...]:
    """What people must do about the disks of other servers."""
    return tuple(
        f"The disk of BQN {peer.id} is full or nearly so: nothing can be saved there, it leads "
        f"only if no other server can, and what is committed may not arrive there. Free some "
        f"space on it."
        for peer in view.peers
        if peer.barred is not None and peer.barred.reason == BARRED and peer.state in _ANSWERS
    )


def _amount(size: float) -> str:
    mib = max(1, math.ceil(size / _MIB))
    return f"{mib} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"
