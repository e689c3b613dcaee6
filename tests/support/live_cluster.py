"""A cluster of whole servers (all but the GUI) in this process, joined before they start.

Each has its own state directory, own sshd and control process on free ports; the joining
itself is not repeated, because others test it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from configrepo.members import Member
from configrepo.model import SCHEMA, Files
from configrepo.store import CommitId
from scheduler.assembly import Assembly
from scheduler.changes import line_of
from scheduler.settings import load_settings
from scheduler.views import Overview, Person, Role
from tests.support.founded_cluster import found_cluster
from tests.support.settings_file import free_ports, write_settings
from tests.support.small_server import SmallServer, hashed

DEADLINE_S = 60.0
ADMIN = Person("admin", Role.ADMINISTRATOR, "192.0.2.1", local=True)
ANNA = Person("anna", Role.ADMINISTRATOR, "192.0.2.1")
COMMON = """user anna
 role administrator
snmp
 community public-secret
"""


@dataclass
class Seat:
    """One server of the cluster; `server` is None while it does not run."""

    settings: Path
    server: Assembly | None = None
    stopping: threading.Event | None = None


class LiveCluster:
    """Starts, stops and asks the servers of one cluster."""

    def __init__(self, folder: Path, count: int) -> None:
        self.seats = [self._seat(folder, number) for number in range(count)]
        self._found(folder, count)

    def _seat(self, folder: Path, number: int) -> Seat:
        control, ssh = free_ports(2)
        path = folder / f"s{number}.toml"
        write_settings(path, folder / f"s{number}", control=control, ssh=ssh)
        return Seat(path)

    def _found(self, folder: Path, count: int) -> None:
        """Make the servers and the commit that holds them together."""
        servers = [SmallServer(folder, number, None) for number in range(count)]
        records = []
        for seat in self.seats:
            # sshd makes its host key when it starts first.
            assembly = Assembly(load_settings(seat.settings), hashed, threading.Event())
            assembly.start()
            records.append(replace(assembly.membership.own_record(), address="127.0.0.1"))
            assembly.stop()
        found_cluster(servers, records, COMMON)

    def add_hardware(self, folder: Path, number: int) -> int:
        """A new box with that id, in no cluster; returns its seat."""
        folder.mkdir()
        self.seats.append(self._seat(folder, number))
        SmallServer(folder, number, "bqn{}-v1.conf").close()
        return len(self.seats) - 1

    # --- running ----------------------------------------------------------------------

    def start(self, *numbers: int, reads: int = SCHEMA) -> None:
        """Start some of the servers, with a release that reads up to that schema."""
        for number in numbers:
            seat = self.seats[number]
            seat.stopping = threading.Event()
            seat.server = Assembly(load_settings(seat.settings), hashed, seat.stopping, reads)
            seat.server.start()

    def stop(self, *numbers: int) -> None:
        """Stop some of the servers."""
        for number in numbers:
            seat = self.seats[number]
            if seat.server is not None and seat.stopping is not None:
                seat.stopping.set()
                seat.server.stop()
            seat.server = None

    def close(self) -> None:
        """Stop all."""
        self.stop(*range(len(self.seats)))

    def __getitem__(self, number: int) -> Assembly:
        """A server that runs."""
        server = self.seats[number].server
        assert server is not None
        return server

    def files(self, number: int) -> Files:
        """The newest configuration as a server has it."""
        server = self[number]
        return server.store.files(server.changes.head())

    def records(self, number: int) -> dict[int, Member]:
        """All records as a server has them."""
        return {int(member.id): member for member in self[number].desk.operations.members()}

    def ready(self, *numbers: int) -> None:
        """Wait until these servers agree that the cluster is ready and complete."""
        for number in numbers:
            _wait_until_ready(self[number].desk.overview)


def _wait_until_ready(overview: Callable[[], Overview]) -> None:
    wait(lambda: (overview().state, overview().status) == ("ready", "complete"), overview)


def wait(condition: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    """Wait until it is so; `told` says how it is instead."""
    until = time.monotonic() + DEADLINE_S
    event = threading.Event()
    while not condition():
        assert time.monotonic() < until, told()
        event.wait(0.05)


def own_line(server: Assembly) -> CommitId | None:
    """The head of a server's own line."""
    return server.store.ref(line_of(server.me))
