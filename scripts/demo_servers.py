"""The three servers of the demo: their files, their processes, the first login.

Everything lies below one folder. Each server is the ordinary program with an ordinary
settings file; what makes it a demo is in that file: loopback ports, an own sshd, and
simulated traffic. Only processes that were started here are ever stopped, by their id.

Edge: processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO, TypeVar

from scripts.visitor import Page, VisitError, Visitor, context_trusting

ROOT = Path(__file__).parents[1]
APP = [sys.executable, str(ROOT / "app.py")]
IDS = (0, 1, 2)
STARTING_S = 60
STOPPING_S = 20
USED = "used"
LONGEST_STATE = 90  # docs/settings.md, [server] state
T = TypeVar("T")
_CODE = re.compile(r"one-time code:\s*(\S+)", re.IGNORECASE)


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the demo keeps its files and which ports it uses (each plus the id)."""

    folder: Path
    address: str = "127.0.0.1"
    gui_port: int = 8440
    control_port: int = 63500
    ssh_port: int = 2200

    def ports(self) -> tuple[int, ...]:
        """All ports of the three servers."""
        bases = (self.gui_port, self.control_port, self.ssh_port)
        return tuple(base + server for base in bases for server in IDS)


def wait_for(what: str, look: Callable[[], T | None], seconds: float) -> T:
    """Look again and again until there is something.

    Raises:
        DemoError: there is nothing when the time is over.
    """
    deadline = monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if monotonic() > deadline:
            raise DemoError(f"waited {seconds:.0f} s for {what}; it did not happen")
        sleep(0.1)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


class DemoServer:
    """One of the three servers."""

    def __init__(self, layout: Layout, server_id: int) -> None:
        self.id = server_id
        self.layout = layout
        self.state = layout.folder / f"bqn{server_id}"
        self.settings = layout.folder / f"bqn{server_id}.toml"
        self.log = layout.folder / f"bqn{server_id}.log"
        self.gui_port = layout.gui_port + server_id
        self.ssh_port = layout.ssh_port + server_id
        self.control_port = layout.control_port + server_id
        self.url = f"https://{layout.address}:{self.gui_port}/"
        self._pid_file = layout.folder / f"bqn{server_id}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running program."""
        return self._process.pid if self._process is not None else None

    @property
    def certificate(self) -> Path:
        """The certificate of its pages."""
        return self.state / "keys" / "gui.crt"

    def make(self) -> str:
        """Make the state directory; what an interrupted run left half made is removed first.

        Returns:
            The one-time code of the local administrator.
        """
        if self.state.exists():
            shutil.rmtree(self.state)
        made = subprocess.run(
            [
                *APP,
                "init",
                *("--state", str(self.state), "--id", str(self.id)),
                *("--config", str(ROOT / "examples" / f"bqn{self.id}-v1.conf")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        code = _CODE.search(made.stdout)
        if made.returncode != 0 or code is None:
            raise DemoError(f"app.py init failed for BQN {self.id}: {made.stderr or made.stdout}")
        return code[1]

    def write_settings(self) -> None:
        """Write the settings file of the server."""
        address = json.dumps(self.layout.address)
        lines = [
            "# Written by scripts/demo; docs/settings.md explains every key.",
            "[server]",
            f"state = {json.dumps(str(self.state))}",
            "[gui]",
            f"address = {address}",
            f"port = {self.gui_port}",
            "[control]",
            f"address = {address}",
            f"port = {self.control_port}",
            "[ssh]",
            "own_sshd = true",
            f"address = {address}",
            f"port = {self.ssh_port}",
            "[samples]",
            'source = "simulated"',
        ]
        write_private(self.settings, "\n".join(lines) + "\n")

    def start(self) -> None:
        """Start the program; `wait_until_up` waits for it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*APP, "serve", "--settings", str(self.settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        write_private(self._pid_file, str(self._process.pid))

    def end_leftover(self) -> None:
        """End the program of a demo that was itself killed and could not stop it."""
        try:
            pid = int(self._pid_file.read_text(encoding="utf-8"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        if os.fsencode(self.settings) in command:
            os.kill(pid, signal.SIGTERM)
            gone = Path(f"/proc/{pid}")
            wait_for(
                f"the program {pid} of the last run to stop",
                lambda: not gone.exists() or None,
                STOPPING_S,
            )

    def wait_until_up(self) -> None:
        """Wait until the login page answers.

        Raises:
            DemoError: the program ended, or does not answer in time; with its last lines.
        """
        wait_for(f"BQN {self.id} to answer at {self.url}", self._answers, STARTING_S)

    def _answers(self) -> bool | None:
        if self._process is None or self._process.poll() is not None:
            raise DemoError(f"BQN {self.id} ended at once. {self.log} ends with:\n{self._tail()}")
        try:
            self.visitor().get("/login")
        except (OSError, VisitError):
            return None
        return True

    def _tail(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-8:])

    def kill(self) -> None:
        """Kill the program as a crash would (signal 9 to its main process)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask_to_stop(self) -> None:
        """Tell the program to stop; `stop` waits for it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop the program and wait until it is gone."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(STOPPING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def visitor(self) -> Visitor:
        """A new browser session at this server."""
        context = context_trusting(str(self.certificate))
        return Visitor(self.layout.address, self.gui_port, context)

    def first_login(self, code: str, password: str) -> None:
        """Set the password of the local administrator with the one-time code."""
        try:
            visitor, page = self.login(code)
        except VisitError:
            # An interrupted run had set it already and could not write that down.
            self.login(password)
            return
        if page.path != "/account/password":
            raise DemoError(f"BQN {self.id} does not ask for a password but shows {page.path}")
        form = page.form("new", "again")
        visitor.send(page, form, {"new": password, "again": password})

    def login(self, password: str, name: str = "admin") -> tuple[Visitor, Page]:
        """Log in; returns the session and the page that opens.

        Raises:
            VisitError: the login was refused.
        """
        visitor = self.visitor()
        page = visitor.get("/login")
        form = page.form("name", "password")
        page = visitor.send(page, form, {"name": name, "password": password})
        if page.path.startswith("/login"):
            raise VisitError(f"BQN {self.id} refused the login: {page.text[:200]}")
        return visitor, page


class Demo:
    """The folder of a demo: its lock, its secrets, its servers."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.servers = tuple(DemoServer(layout, server) for server in IDS)
        self._secrets = layout.folder / "demo.json"
        self._lock: IO[str] | None = None
        self._launching = False
        self._stop_wanted = False

    def start(self) -> str:
        """Start the three servers where the last run stopped.

        Returns:
            The password of the three local administrators.

        Raises:
            DemoError: a demo runs already, a port is taken, or a server does not start.
        """
        self._claim_folder()
        kept = self._read_secrets()
        for server in self.servers:
            server.write_settings()
            if f"code{server.id}" not in kept:
                kept[f"code{server.id}"] = server.make()
                self._write_secrets(kept)
        for server in self.servers:
            self.launch(server)
        for server in self.servers:
            server.wait_until_up()
        for server in self.servers:
            if kept[f"code{server.id}"] != USED:
                server.first_login(kept[f"code{server.id}"], kept["password"])
                kept[f"code{server.id}"] = USED
                self._write_secrets(kept)
        return kept["password"]

    def launch(self, server: DemoServer) -> None:
        """Start one server; an interrupt meanwhile waits until its process id is known."""
        self._launching = True
        server.start()
        self._launching = False
        if self._stop_wanted:
            raise KeyboardInterrupt

    def interrupt(self) -> None:
        """Called by the handler of a signal: give up, but never lose a process id."""
        if not self._stop_wanted:
            self._stop_wanted = True
            if not self._launching:
                raise KeyboardInterrupt

    def stop(self) -> None:
        """Stop what was started; the files stay."""
        for server in self.servers:
            server.ask_to_stop()
        for server in self.servers:
            server.stop()

    def _claim_folder(self) -> None:
        if len(os.fsencode(self.servers[0].state)) > LONGEST_STATE:
            raise DemoError(
                f"{self.layout.folder} is too long a path for the sockets of the demo; "
                "choose a short folder with --dir, such as --dir /tmp/bqn"
            )
        self.layout.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        for server in self.servers:
            server.end_leftover()
        self._check_ports()

    def _take_lock(self) -> None:
        self._lock = (self.layout.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(
                f"a demo runs already in {self.layout.folder}; stop it there with Ctrl-C"
            ) from None

    def _check_ports(self) -> None:
        for port in self.layout.ports():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.layout.address, port))
                except OSError as error:
                    raise DemoError(
                        f"port {port} cannot be used ({error.strerror}); stop what uses it, or "
                        "choose others with --gui-port, --control-port and --ssh-port"
                    ) from None

    def _read_secrets(self) -> dict[str, str]:
        if self._secrets.exists():
            kept: dict[str, str] = json.loads(self._secrets.read_text(encoding="utf-8"))
            return kept
        kept = {"password": secrets.token_urlsafe(12)}
        self._write_secrets(kept)
        return kept

    def _write_secrets(self, kept: dict[str, str]) -> None:
        write_private(self._secrets, json.dumps(kept))
