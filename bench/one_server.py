"""One server of a measurement: a real control room whose program answers at once.

    python -m bench.one_server ID ADDRESS PORT STATE_DIR MEMBERS_FILE

Prints each view that says something new as a JSON line with the monotonic time at which
it came. A line on standard input stops it as planned; its end, or a kill, is a crash.

Edge: processes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from configrepo.model import ServerId
from scheduler.control_room import ControlRoom, ControlSettings
from scheduler.control_view import ControlView

CLUSTER = "b" * 32


@dataclass(frozen=True, slots=True)
class Peer:
    """A member, as `MEMBERS_FILE` lists it."""

    id: ServerId
    address: str
    control_port: int
    certificate: str
    state: str = "active"


def main(arguments: list[str]) -> None:
    """Serve until standard input says stop, or ends."""
    number, address, port, state_dir, members_file = arguments
    told: dict[str, Any] = json.loads(Path(members_file).read_text())
    room = ControlRoom(
        ControlSettings(
            id=ServerId(int(number)),
            port=int(port),
            state_dir=Path(state_dir),
            keys_dir=Path(state_dir) / "keys",
            address=address,
            version="bench",
        )
    )
    room.on_view = Teller()
    room.on_handover = lambda _: room.handover_done(None)
    room.on_catch_up = lambda _, head: room.caught_up(head)
    room.start()
    members = [Peer(**one) for one in told["members"]]
    founding = told["founder"] == int(number) and not (Path(state_dir) / "founded").exists()
    (Path(state_dir) / "founded").touch()
    room.set_members(members, CLUSTER, founding=founding)
    if not sys.stdin.readline():
        os._exit(1)
    room.stop()


class Teller:
    """Prints views."""

    def __init__(self) -> None:
        self._last: object = None
        self._lock = threading.Lock()

    def __call__(self, view: ControlView) -> None:
        """Print a view, unless it says what the last one said."""
        now = monotonic()
        states = {str(peer.id): peer.state for peer in view.peers}
        said = {"role": view.role.value, "following": view.following, "states": states}
        with self._lock:
            if said != self._last:
                self._last = said
                print(json.dumps({"t": now, **said}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
