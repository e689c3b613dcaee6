"""A small cluster in network namespaces, with keepalived beside it on the same links.

`Cluster` starts one real control room per server (`bench.one_server`), kills, stops, cuts
and restarts them, and remembers who said when that it leads. `Vrrp` does the same for
keepalived with its default timers. Both keep what happened as `(time, server, role)`.

Edge: processes, network namespaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import IO, Any

from bench.namespaces import Network
from scheduler.identity import Identity
from scheduler.presets import LAN

PORT = 63500
_READY_S = 90.0
_ROOT = Path(__file__).resolve().parent.parent
_VIRTUAL = "10.77.0.250"


class Watched:
    """What servers say of their role, from any thread, waited for with a deadline."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.events: list[tuple[float, int, str]] = []
        self.now: dict[int, dict[str, Any]] = {}

    def say(self, at: float, server: int, told: dict[str, Any]) -> None:
        """A server is in this state now."""
        with self.changed:
            if told.get("role") != self.now.get(server, {}).get("role"):
                self.events.append((at, server, told.get("role", "")))
            self.now[server] = told
            self.changed.notify_all()

    def wait(self, what: Callable[[], bool], words: str) -> None:
        """Wait until something holds."""
        with self.changed:
            if not self.changed.wait_for(what, _READY_S):
                raise TimeoutError(f"{words} did not come about within {_READY_S:g} s: {self.now}")

    def led_after(self, since: float, but: int) -> float:
        """Wait until another server says that it leads; returns when it said so."""
        found: list[float] = []

        def look() -> bool:
            found[:] = [
                at
                for at, server, role in self.events
                if at > since and server != but and role == "primary"
            ]
            return bool(found)

        self.wait(look, "a take-over")
        return found[0]


class Cluster:
    """Real control rooms, one in each namespace."""

    def __init__(self, network: Network, servers: int, place: Path) -> None:
        self.watched = Watched()
        self.size = servers
        self._network = network
        self._place = place
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._listens_since: dict[int, float] = {}
        members = []
        for number in range(servers):
            state = place / f"s{number}"
            state.mkdir(parents=True)
            certificate = Identity.create(state / "keys").certificate_b64
            address = network.address(number)
            port = {"control_port": PORT, "certificate": certificate}
            members.append({"id": number, "address": address, **port})
        (place / "members.json").write_text(json.dumps({"founder": 0, "members": members}))

    def start(self, number: int) -> None:
        """Start a server, or start it again."""
        state = self._place / f"s{number}"
        words = (str(number), self._network.address(number), str(PORT), str(state))
        command = (sys.executable, "-m", "bench.one_server", *words)
        with (state / "log").open("a") as log:
            process = subprocess.Popen(
                self._network.inside(number, *command, str(self._place / "members.json")),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )
        self._processes[number] = process
        self._listens_since.pop(number, None)
        assert process.stdout is not None
        reader = threading.Thread(target=self._read, args=(number, process.stdout))
        reader.start()
        self._readers.append(reader)

    def _read(self, number: int, lines: IO[str]) -> None:
        spoken = False
        with lines:
            for line in lines:
                told = json.loads(line)
                at = told.pop("t")
                if not spoken:
                    self._listens_since[number], spoken = at, True
                self.watched.say(at, number, told)
        self.watched.say(monotonic(), number, {"role": "gone"})

    def crash(self, number: int) -> float:
        """Kill a server's program, and with it its control port; returns when."""
        began = monotonic()
        self._processes[number].kill()
        self._processes[number].wait()
        return began

    def stop(self, number: int) -> float:
        """Stop a server as planned; returns when it was told."""
        pipe = self._processes[number].stdin
        assert pipe is not None
        began = monotonic()
        pipe.write("stop\n")
        pipe.flush()
        return began

    def reap(self, number: int) -> None:
        """Wait until a server that was told to stop has ended."""
        self._processes[number].wait(_READY_S)

    @property
    def leader(self) -> int:
        """The server that says that it leads."""
        now = self.watched.now
        return next(one for one in sorted(now) if now[one].get("role") == "primary")

    def ready(self) -> bool:
        """Whether one leads, all others follow it, all see all, and none has just started."""
        now = self.watched.now
        roles = [now.get(one, {}).get("role") for one in range(self.size)]
        if roles.count("primary") != 1 or roles.count("secondary") != self.size - 1:
            return False
        leader = roles.index("primary")
        return all(
            (one == leader or now[one]["following"] == leader)
            and all(state == "alive" for state in now[one]["states"].values())
            for one in range(self.size)
        )

    def seconds_until_grown(self) -> float:
        """How long until every server has listened as long as a started one must.

        It listens from its first word on: on a busy machine that is seconds after its start.
        """
        now = monotonic()
        youngest = max(self._listens_since.get(number, now) for number in range(self.size))
        return max(youngest + LAN.boot_s + 1.0 - now, 0.0)

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._processes.values():
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        for reader in self._readers:
            reader.join()


class Vrrp:
    """keepalived with default timers: one instance of VRRP over the same servers."""

    def __init__(self, network: Network, servers: int, place: Path, binary: str) -> None:
        self.watched = Watched()
        self.size = servers
        self._processes: list[subprocess.Popen[bytes]] = []
        self._files: list[IO[str]] = []
        self._threads: list[threading.Thread] = []
        for number in range(servers):
            fifo = place / f"vrrp{number}"
            os.mkfifo(fifo)
            # Held open for writing here as well, so that it never ends before `close`.
            lines = os.fdopen(os.open(fifo, os.O_RDWR), "r")
            self._files.append(lines)
            thread = threading.Thread(target=self._read, args=(number, lines))
            thread.start()
            self._threads.append(thread)
            config = place / f"keepalived{number}.conf"
            config.write_text(_config(fifo, 200 - number))
            pids = (f"--pid={place}/ka{number}.pid", f"--vrrp_pid={place}/kv{number}.pid")
            command = (binary, "--vrrp", "--dont-fork", "--log-console", "--no-syslog", *pids)
            process = subprocess.Popen(
                network.inside(number, *command, f"--use-file={config}"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._processes.append(process)

    def _read(self, number: int, lines: IO[str]) -> None:
        for line in lines:
            match line.split():
                case ["INSTANCE", _, state, *_]:
                    # MASTER_RX_LOWER_PRI: it leads, and has just heard one that is to give way.
                    role = "primary" if state.startswith("MASTER") else state.lower()
                    self.watched.say(monotonic(), number, {"role": role})
                case _:
                    return

    def ready(self) -> bool:
        """Whether the first server is the master and all others back it up."""
        roles = [self.watched.now.get(one, {}).get("role") for one in range(self.size)]
        return roles == ["primary", *["backup"] * (self.size - 1)]

    def close(self) -> None:
        """Stop all of them."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)
        for lines, thread in zip(self._files, self._threads, strict=True):
            os.write(lines.fileno(), b"end\n")
            thread.join()
            lines.close()


def _config(fifo: Path, priority: int) -> str:
    return (
        f"global_defs {{\n vrrp_notify_fifo {fifo}\n}}\n"
        "vrrp_instance bench {\n state BACKUP\n interface eth0\n virtual_router_id 77\n"
        f" priority {priority}\n virtual_ipaddress {{\n  {_VIRTUAL}/24\n }}\n}}\n"
    )
