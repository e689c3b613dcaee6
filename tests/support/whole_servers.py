"""Whole servers as processes of the real program, each in a network namespace of its own.

They are reached as people reach them: pages over HTTPS, from inside the namespace, so that
an operator of each side of a cut can go on. What a server says of itself comes from its
console socket; what it holds is read from its repository with git.

Edge: processes, network namespaces (root).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from bench.namespaces import Network, require
from bqngui.local_admin import set_password
from configrepo.members import Member
from scheduler.console import ask
from scheduler.errors import RemoteRefused, Unreachable
from scheduler.sshd import create_host_key
from scripts.visitor import Page, VisitError, Visitor, context_trusting
from tests.support.founded_cluster import found_cluster
from tests.support.settings_file import write_settings
from tests.support.small_server import SmallServer

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = "refs/heads/cluster"
DEADLINE_S = 90.0
PASSWORD = "correct horse battery staple"
COMMON = "clock timezone Etc/UTC\n"
GUI, CONTROL, SSH = 8443, 63500, 2222
T = TypeVar("T")
_REVISION = re.compile(r"/history/([0-9a-f]{40})")


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A page said that a change is saved, as that commit."""

    revision: str
    text: str


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A page said why a change is not saved."""

    sentence: str


class FarVisitor(Visitor):
    """A browser beside one server."""

    def __init__(self, network: Network, number: int, certificate: Path) -> None:
        super().__init__("127.0.0.1", GUI, context_trusting(str(certificate)))
        self._network = network
        self._number = number

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, str | None, str]:
        with self._network.visiting(self._number):
            return super()._request(method, path, body)


class WholeServer:
    """One server: its folder, its process, its pages."""

    def __init__(self, network: Network, number: int, folder: Path) -> None:
        self.number = number
        self.state = folder / f"s{number}"
        self.settings = folder / f"s{number}.toml"
        self.log = folder / f"s{number}.log"
        self.address = network.address(number)
        self.dialled = network.dialled(number)
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None
        self._visitor: FarVisitor | None = None

    def make(self, folder: Path) -> SmallServer:
        """Make the state directory and the settings file."""
        made = SmallServer(folder, self.number, None)
        write_settings(
            self.settings, self.state, gui=GUI, control=CONTROL, ssh=SSH, address=self.address
        )
        set_password(self.state, PASSWORD)
        return made

    def record(self, made: SmallServer) -> Member:
        """What the others know of it."""
        home = self.state / "sshd"
        home.mkdir(mode=0o700)
        key = create_host_key(home / "host_ed25519")
        known = made.record(self.dialled)
        return replace(known, ssh_port=SSH, control_port=CONTROL, ssh_host_key=key)

    # --- the process ----------------------------------------------------------------------

    def start(self) -> None:
        """Start the program."""
        command = (sys.executable, str(ROOT / "app.py"), "serve", "--settings", str(self.settings))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._network.inside(self.number, *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the program as a crash would; its other processes notice and end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stop the program as planned."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    @property
    def runs(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-2000:] if self.log.exists() else ""

    # --- what it says ---------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What `app.py status --json` prints; empty while it does not answer."""
        try:
            return ask(self.state / "run" / "console.sock", {"ask": "status"}, 20.0)
        except (Unreachable, RemoteRefused):
            return {}

    def leads(self) -> bool:
        """Whether it says that it is the primary."""
        return self.primary() == self.number

    def primary(self) -> int | None:
        """Whom it calls the primary."""
        said = self.status().get("primary")
        return None if said is None else int(said)

    # --- what it holds --------------------------------------------------------------------

    def git(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Ask real git about its repository."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        return subprocess.run(
            ["git", "--git-dir", str(self.state / "config.git"), *words],
            capture_output=True,
            text=True,
            check=False,
            env=clean | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
            timeout=DEADLINE_S,
        )

    def head(self) -> str:
        """Its newest commit of the cluster."""
        return self.git("rev-parse", "--verify", "-q", CLUSTER).stdout.strip()

    def lacks(self, commits: Iterable[str]) -> set[str]:
        """Which of these commits its newest one does not contain."""
        return set(commits) - set(self.git("rev-list", CLUSTER).stdout.split())

    def file(self, path: str) -> str | None:
        """A file of its newest commit."""
        shown = self.git("show", f"{CLUSTER}:{path}")
        return shown.stdout if shown.returncode == 0 else None

    # --- its pages ------------------------------------------------------------------------

    def visitor(self) -> FarVisitor:
        """The session of the administrator; logs in at the first use."""
        if self._visitor is None:
            visitor = FarVisitor(self._network, self.number, self.state / "keys" / "gui.crt")
            page = visitor.get("/login")
            form = page.form("name", "password")
            page = visitor.send(page, form, {"name": "admin", "password": PASSWORD})
            assert not page.path.startswith("/login"), page.text[:300]
            self._visitor = visitor
        return self._visitor

    def forget_visitor(self) -> None:
        """The next one comes without a session, and logs in."""
        self._visitor = None

    def answers(self) -> bool:
        """Whether its pages answer."""
        assert self.runs, f"BQN {self.number} ended: {self.last_words}"
        try:
            FarVisitor(self._network, self.number, self.state / "keys" / "gui.crt").get("/login")
        except (OSError, VisitError):
            return False
        return True

    def edit(self, text: str, path: str | None = None) -> None:
        """Put a block into the candidate, as a person does: a new one, or one that is there."""
        visitor = self.visitor()
        if path is None:
            page = visitor.get("/configuration/new")
            form = page.form("text", action="/configuration/new")
        else:
            page = visitor.get(f"/configuration/block?path={path}")
            form = page.form("path", "text", action="/configuration/block")
        visitor.send(page, form, {"text": text})

    def commit(self, message: str = "A change") -> Acknowledged | NotTaken:
        """Send the commit form of the candidate."""
        page = self.visitor().get("/candidate/compare")
        return self.send_commit(page, message)

    def send_commit(self, page: Page, message: str = "A change") -> Acknowledged | NotTaken:
        """Send the commit form of a page; sent again, it is the same form."""
        form = page.form("message", "request_id", action="/candidate/commit")
        answer = self.visitor().send(page, form, {"message": message}, status=409)
        found = _REVISION.search(answer.path)
        if found is None:
            told = answer.tree.find_all("div", "notice-danger")
            return NotTaken(told[0].text if told else answer.text[:300])
        return Acknowledged(found[1], answer.text)

    def discard(self) -> None:
        """Drop the candidate."""
        page = self.visitor().get("/candidate/compare")
        self.visitor().send(page, page.form(action="/candidate/discard"), {})

    def save(self, text: str, path: str | None = None) -> Acknowledged | NotTaken:
        """Change one block and commit it."""
        self.edit(text, path)
        return self.commit()


@contextmanager
def running(
    count: int,
    prepare: Callable[[ExitStack, Path], None] = lambda _stack, _folder: None,
    network_of: Callable[[str, int], Network] = Network,
    awaited: Callable[[WholeCluster], object] = lambda cluster: cluster.ready(),
) -> Iterator[WholeCluster]:
    """So many servers in one cluster, ready.

    Args:
        count: how many.
        prepare: does something with the folder in which each server will have its own, `s<id>`.
        network_of: makes the network, of that name and with so many servers.
        awaited: waits until they are as far as they can come in it.

    Raises:
        RivalMissing: this machine or user cannot make network namespaces.
    """
    require()
    # A short path, because sockets live below it.
    folder = Path(tempfile.mkdtemp(prefix="bqn-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        prepare(stack, folder)
        name = f"bqnt{os.getpid()}x{folder.name[-4:]}"
        cluster = WholeCluster(name, folder, count, network_of)
        stack.callback(cluster.close)
        awaited(cluster)
        yield cluster


class WholeCluster:
    """So many servers in one cluster, all running."""

    def __init__(
        self,
        name: str,
        folder: Path,
        count: int,
        network_of: Callable[[str, int], Network] = Network,
    ) -> None:
        """Make and start them; `name` is unique on this machine."""
        with ExitStack() as stack:
            self.network = network_of(name, count)
            stack.callback(self.network.remove)
            self.servers = [WholeServer(self.network, n, folder) for n in range(count)]
            made = [server.make(folder) for server in self.servers]
            records = [s.record(m) for s, m in zip(self.servers, made, strict=True)]
            found_cluster(made, records, COMMON)
            for server in self.servers:
                stack.callback(server.stop)
                server.start()
            stack.callback(self._ask_to_stop)
            until("all pages answer", lambda: all(server.answers() for server in self.servers))
            self._stack = stack.pop_all()

    def _ask_to_stop(self) -> None:
        for server in self.servers:
            if server.runs:
                server.send(signal.SIGTERM)

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()

    def __getitem__(self, number: int) -> WholeServer:
        return self.servers[number]

    # --- cuts -----------------------------------------------------------------------------

    def only(self, *links: tuple[int, int]) -> None:
        """Only these pairs of servers reach each other."""
        self.network.part(set(self.pairs()) - {(min(one), max(one)) for one in links})

    def heal(self) -> float:
        """Everybody reaches everybody; returns when that was."""
        self.network.part(())
        return monotonic()

    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of servers."""
        count = len(self.servers)
        return [(one, other) for one in range(count) for other in range(one + 1, count)]

    # --- waiting --------------------------------------------------------------------------

    def primaries(self) -> list[int | None]:
        """Whom each server calls the primary."""
        with ThreadPoolExecutor(len(self.servers)) as pool:
            return list(pool.map(lambda server: server.primary(), self.servers))

    def sights(self) -> list[tuple[int, int, str]]:
        """What each server says of each other one's state."""
        return [
            (server.number, int(seen["id"]), str(seen["state"]))
            for server in self.servers
            for seen in server.status().get("servers", ())
        ]

    def led_by(self, *wanted: int | None) -> float:
        """Wait until the servers call these the primary; returns when that was seen."""
        return until(
            f"the primaries are {wanted}",
            lambda: self.primaries() == list(wanted),
            lambda: self.told(),
        )

    def alike(self) -> float:
        """Wait until all have the same newest commit; returns when that was seen."""

        def same() -> bool:
            return len({server.head() for server in self.servers}) == 1

        return until("all have the same newest commit", same, self.told)

    def ready(self) -> None:
        """Wait until all servers say that the cluster is ready and complete."""

        def fine() -> bool:
            said = [server.status() for server in self.servers]
            return all((s.get("state"), s.get("status")) == ("ready", "complete") for s in said)

        until("the cluster is ready and complete", fine, self.told)

    def told(self) -> Mapping[int, object]:
        """How the servers see things, for the words of a failure."""
        return {server.number: _in_short(server) for server in self.servers}

    def everywhere(self, work: Callable[[WholeServer], T], *numbers: int) -> list[T]:
        """Do the same at several servers at the same time."""
        chosen = [self.servers[number] for number in numbers]
        with ThreadPoolExecutor(len(chosen)) as pool:
            return list(pool.map(work, chosen))


def _in_short(server: WholeServer) -> object:
    said = server.status()
    kept = ("state", "state_sentence", "status", "primary", "term", "sentence", "alarms")
    states = {s["id"]: (s["state"], s["sync"]) for s in said.get("servers", ())}
    return {key: said.get(key) for key in kept} | {"head": server.head(), "servers": states}


def until(
    what: str,
    true: Callable[[], bool],
    told: Callable[[], object] = lambda: "",
    every_s: float = 0.05,
) -> float:
    """Wait until something is true; returns when it was.

    Raises:
        AssertionError: it did not become true in time.
    """
    end, pause = monotonic() + DEADLINE_S, threading.Event()
    while not true():
        assert monotonic() < end, f"waited in vain: {what}: {told()}"
        pause.wait(every_s)
    return monotonic()
