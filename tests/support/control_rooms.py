"""Real control rooms on loopback ports, each with its own control process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configrepo.model import ServerId
from scheduler.control_room import ControlRoom, ControlSettings
from scheduler.control_view import ControlView
from scheduler.presets import Timing
from tests.support.identities import identity

CLUSTER = "c" * 32

# As short as the rules allow with a tick of 50 ms, for tests that wait for the long ones.
QUICK = Timing(
    tick_s=0.05,
    hb_s=0.2,
    suspect_s=0.6,
    dead_s=1.4,
    claim_s=0.2,
    boot_s=1.6,
    preempt_s=4.2,
    handover_s=2.0,
    catch_up_s=3.0,
)


@dataclass(frozen=True, slots=True)
class Member:
    """What a control room needs of a member."""

    id: ServerId
    address: str
    control_port: int
    certificate: str
    state: str = "active"


class Room:
    """One server: a control room whose program answers at once and remembers what came."""

    def __init__(
        self,
        number: int,
        state_dir: Path,
        port: int = 0,
        timing: Timing | None = None,
        beat_s: float = 1.0,
        **release: Any,
    ) -> None:
        self.id = ServerId(number)
        self.state_dir = state_dir
        self.sentences: list[str] = []
        self.seen: set[tuple[int, str]] = set()
        self.connections: list[tuple[socket.socket, str, str]] = []
        self.handovers: list[int] = []
        self.catch_ups: list[tuple[int, str]] = []
        self.head: str | None = None
        self._changed = threading.Condition()
        state_dir.mkdir(exist_ok=True)
        self.room = ControlRoom(
            ControlSettings(
                id=self.id,
                port=port,
                state_dir=state_dir,
                keys_dir=identity(number).directory,
                address="127.0.0.1",
                timing=timing,
                **{"version": "R5.0.0", **release},
            ),
            beat_s,
        )
        self.room.on_view = self._on_view
        self.room.on_connection = self._on_connection
        self.room.on_handover = self._on_handover
        self.room.on_catch_up = self._on_catch_up
        self.room.start()

    @property
    def view(self) -> ControlView:
        """The newest view."""
        return self.room.view

    def member(self, state: str = "active") -> Member:
        """This server as the others know it."""
        certificate = identity(self.id).certificate_b64
        return Member(self.id, "127.0.0.1", self.room.port, certificate, state)

    def set_head(self, head: str) -> None:
        """Move this server's head."""
        self.head = head
        self.room.set_heads(head)

    def wait(self, what: Callable[[ControlView], bool], timeout_s: float = 15.0) -> ControlView:
        """Wait until a view is as wanted."""
        with self._changed:
            held = self._changed.wait_for(lambda: what(self.room.view), timeout_s)
        assert held, (self.id, self.room.view, self.sentences)
        return self.room.view

    def wait_for(self, what: Callable[[], bool], timeout_s: float = 15.0) -> None:
        """Wait until something has come."""
        with self._changed:
            assert self._changed.wait_for(what, timeout_s), (self.id, self.room.view)

    def _on_view(self, view: ControlView) -> None:
        with self._changed:
            if not self.sentences or self.sentences[-1] != view.sentence:
                self.sentences.append(view.sentence)
            self.seen.update((int(peer.id), peer.state) for peer in view.peers)
            self._changed.notify_all()

    def _on_connection(self, connection: socket.socket, address: str, sni: str) -> None:
        with self._changed:
            self.connections.append((connection, address, sni))
            self._changed.notify_all()

    def _on_handover(self, requester: ServerId) -> None:
        with self._changed:
            self.handovers.append(requester)
            self._changed.notify_all()
        self.room.handover_done(self.head)

    def _on_catch_up(self, source: ServerId, head: str) -> None:
        with self._changed:
            self.catch_ups.append((source, head))
            self._changed.notify_all()
        self.room.caught_up(head)

    def stop(self) -> None:
        """Stop as planned."""
        self.room.stop()
        for connection, _, _ in self.connections:
            connection.close()


def form_cluster(*rooms: Room) -> None:
    """Tell all of them that they are one cluster; the first has founded it."""
    members = tuple(room.member() for room in rooms)
    for number, room in enumerate(rooms):
        room.room.set_members(members, CLUSTER, founding=number == 0)
