"""Whole servers in one process (without their GUI), joined by wires that can be cut.

A server listens on 127.0.0.1; the others know it by 127.0.3.<id>, where a wire listens on
the same ports and passes everything on. A cut wire swallows: connections stay open, new
ones are taken, and nothing comes through, as behind a switch that died.

Edge: sockets, processes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

from configrepo.model import ServerId
from configrepo.parser import read
from configrepo.store import CommitId
from configrepo.unify import RowId, Take
from scheduler.assembly import Assembly
from scheduler.changes import CLUSTER
from scheduler.founding import found_server
from scheduler.settings import load_settings
from scheduler.state_dir import ServerRecord
from scheduler.views import AddForm, Committed, Invitation, Person, Role
from tests.support.settings_file import free_ports, write_settings
from tests.support.small_server import EXAMPLES, hashed

ADMIN = Person("admin", Role.ADMINISTRATOR, "127.0.0.1", local=True)
DEADLINE_S = 60.0


class Wire:
    """Passes connections on from one address to another, until it is cut."""

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]) -> None:
        self._target = target
        self._whole = threading.Event()
        self._whole.set()
        self._guard = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(listen, backlog=64)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Let nothing through any more."""
        self._whole.clear()

    def mend(self) -> None:
        """Let new connections through; those that lost something are closed."""
        self._drop()
        self._whole.set()

    def close(self) -> None:
        """Close everything and wait for it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def _drop(self) -> None:
        with self._guard:
            gone, self._open = self._open, []
        for one in gone:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
            with self._guard:
                self._open.append(near)
                self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket) -> None:
        with near:
            try:
                far = socket.create_connection(self._target, timeout=5.0)
            except OSError:
                return
            far.settimeout(None)
            with far:
                with self._guard:
                    self._open.append(far)
                back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
                back.start()
                self._pump(near, far)
                back.join(DEADLINE_S)

    def _pump(self, source: socket.socket, to: socket.socket) -> None:
        """Pass bytes on; what comes while the wire is cut is gone."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._whole.is_set():
                    to.sendall(data)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class WiredServer:
    """One server and the wires that lead to it."""

    def __init__(self, folder: Path, number: int, example: str) -> None:
        self.me = ServerId(number)
        self.address = f"127.0.3.{number + 1}"
        self.control_port, self.ssh_port, gui = free_ports(3, ("127.0.0.1", self.address))
        document = read((EXAMPLES / example).read_bytes()).document
        record = ServerRecord(self.me, f"bqn{number}")
        self.state = folder / str(number)
        found_server(self.state, record, document, hashed)
        self.settings = folder / f"{number}.toml"
        write_settings(
            self.settings, self.state, gui=gui, control=self.control_port, ssh=self.ssh_port
        )
        self.wires = [
            Wire((self.address, port), ("127.0.0.1", port))
            for port in (self.control_port, self.ssh_port)
        ]
        self.running: Assembly | None = None

    def start(self) -> None:
        """Start the server."""
        self._stopping = threading.Event()
        self.running = Assembly(load_settings(self.settings), hashed, self._stopping)
        self.running.start()

    def stop(self) -> None:
        """Stop the server."""
        if self.running is not None:
            self._stopping.set()
            self.running.stop()
            self.running = None

    def close(self) -> None:
        """Stop the server and close its wires."""
        self.stop()
        for wire in self.wires:
            wire.close()

    def cut(self) -> None:
        """Nobody reaches this server any more."""
        for wire in self.wires:
            wire.cut()

    def mend(self) -> None:
        """It is reached again."""
        for wire in self.wires:
            wire.mend()

    @property
    def server(self) -> Assembly:
        """The running server."""
        assert self.running is not None
        return self.running

    @property
    def head(self) -> CommitId | None:
        """Its newest commit of the cluster."""
        return self.server.store.ref(CLUSTER)

    def leads(self) -> bool:
        """Whether it is the primary."""
        return self.server.control.view.role == "primary"

    def has(self, commit: str) -> bool:
        """Whether its newest commit contains that one."""
        head, store = self.head, self.server.store
        return (
            head is not None
            and store.has(CommitId(commit))
            and store.is_ancestor(CommitId(commit), head)
        )

    def commit(self, text: str, path: str | None = None) -> str:
        """Change one block; it is acknowledged when this returns."""
        desk = self.server.desk
        desk.edit(ADMIN, path, text)
        outcome = desk.commit(ADMIN, "A change", uuid.uuid4().hex, {})
        assert isinstance(outcome, Committed), outcome
        return outcome.revision

    def file(self, path: str) -> str | None:
        """A file of its newest commit."""
        assert self.head is not None
        return self.server.store.files(self.head).get(path)


def until(what: str, true: Callable[[], bool]) -> None:
    """Wait until something is true.

    Raises:
        AssertionError: it did not become true in time.
    """
    end, pause = monotonic() + DEADLINE_S, threading.Event()
    while not true():
        assert monotonic() < end, f"waited in vain: {what}"
        pause.wait(0.05)


def join(inviter: WiredServer, joiner: WiredServer) -> None:
    """Add a server to the cluster, take what it has where it disagrees."""
    desk = inviter.server.desk
    form = AddForm(joiner.me, joiner.address, inviter.address, joiner.ssh_port, joiner.control_port)
    invited = desk.invite(ADMIN, form)
    assert isinstance(invited, Invitation), invited
    joiner.server.desk.join(ADMIN, invited.code, None, joiner.address, joiner.ssh_port)

    def knocks() -> bool:
        invitation = desk.invitation()
        return invitation is not None and invitation.stage == "knocking"

    until("the joiner knocks", knocks)
    desk.accept(ADMIN)
    # On a busy machine the first fetch may be refused; it is tried again by itself.
    until("the joiner's line is here", lambda: desk.unification() is not None)
    waiting = desk.unification()
    assert waiting is not None
    rows = waiting.proposal.rows
    answers = {row.id: Take("joiner") for row in rows if row.group == "disagreement"}
    seen: frozenset[RowId] = frozenset(row.id for row in rows if row.group == "changes-running")
    desk.answer(ADMIN, answers, seen)
    outcome = desk.commit_unification(ADMIN, "Unify", uuid.uuid4().hex)
    assert isinstance(outcome, Committed), outcome
    until("the joiner has the commit", lambda: joiner.has(outcome.revision))


@contextlib.contextmanager
def wired_pair(folder: Path) -> Iterator[tuple[WiredServer, WiredServer]]:
    """BQN 0 and 1, running and in one cluster."""
    with contextlib.ExitStack() as stack:
        servers = []
        for number in (0, 1):
            server = WiredServer(folder, number, f"bqn{number}-v1.conf")
            stack.callback(server.close)
            server.start()
            servers.append(server)
        join(*servers)
        yield servers[0], servers[1]
