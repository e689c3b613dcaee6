"""What 255 other members cost the primary, and how soon it shows that one is dead.

    python bench/members.py [--quick] [--members N] [--seconds S]

One real control room, with its control process, leads; the others are clients of the
control port's protocol (TLS 1.3, pinned certificates, HELLO, PING and PONG at the pace of
the preset *lan*) on addresses of their own in 127.0.0.0/8, all in this process. Counted is
what the primary's two processes use. A member dies in two ways in turn: its connection
breaks and new ones are refused, and it falls silent with its connection open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures
from bench.figures import Figures
from bench.one_server import CLUSTER, Peer
from configrepo.model import ServerId
from scheduler import tls
from scheduler.beacon_signing import private_key, signed
from scheduler.control_channel import NoSession
from scheduler.control_session import PeerAddress, Session, answer
from scheduler.control_view import ControlRole
from scheduler.election_values import Beacon
from scheduler.identity import Identity
from scheduler.messages import Hello, Message, Ping, Pong
from scheduler.presets import LAN

MEMBERS = 255
SECONDS = 60.0
DEATHS = 20
_READY_S = 120.0
_LIMIT_S = 600
_LIMIT_QUICK_S = 240
_ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Client:
    """One member that only speaks the protocol."""

    id: ServerId
    address: str
    port: int
    identity: Identity
    listener: socket.socket
    silent: bool = False
    seq: int = 0
    answered: int = 0
    asked: int = 0
    sessions: int = 0
    session: Session | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._key = private_key(self.identity.control_pem.read_bytes())
        self._beacon = self.beacon()

    def beacon(self) -> Beacon:
        """What it says, signed: it follows the primary."""
        self.seq += 1
        said = Beacon(self.id, 1, self.seq, ControlRole.SECONDARY, 1, 1, ServerId(0), None)
        return signed(said, CLUSTER, self._key)

    async def serve(self, primary: PeerAddress) -> None:
        """Answer the primary's connections, one after the other."""
        loop = asyncio.get_running_loop()
        context = tls.server_context(self.identity.control_pem, [primary.certificate])
        hello = Hello(CLUSTER, self.id, 1, "bench")
        while True:
            connection, _ = await loop.sock_accept(self.listener)
            try:
                members = {primary.id: primary}
                session = await answer(connection, context, hello, members, monotonic())
            except (NoSession, OSError):
                continue
            self.session = session
            self.sessions += 1
            beat = loop.create_task(self.beat(session))
            self.tasks.append(beat)
            try:
                await session.serve(partial(self.hear, session), lambda: LAN.dead_s * 10)
            finally:
                beat.cancel()
                session.close()

    def hear(self, session: Session, message: Message) -> None:
        """Answer each heartbeat, unless it is to be silent."""
        now = monotonic()
        if isinstance(message, Ping | Pong) and not self.silent:
            self.answered += session.took_s(message, now) is not None
            if isinstance(message, Ping):
                session.answer(message, self._beacon, (), 0, now)

    async def beat(self, session: Session) -> None:
        """Say something new, and ask where the primary does not, at the pace of a real one."""
        while True:
            # Like a real one's: members do not beat in step.
            await asyncio.sleep(LAN.hb_s * random.uniform(0.9, 1.1))  # noqa: S311
            self._beacon, now = self.beacon(), monotonic()
            if not self.silent and session.due(LAN.hb_s, now):
                self.asked += 1
                session.ask(self._beacon, (), 0, now)

    def die(self) -> None:
        """End as a killed program does: its connections break, new ones are refused."""
        self.listener.close()
        for task in self.tasks:
            task.cancel()
        if self.session is not None:
            self.session.abort()


class Primary:
    """The real one, in processes of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.states: dict[str, str] = {}
        self.role = ""
        self.changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, members: list[dict[str, Any]]) -> asyncio.Task[None]:
        """Start it; it founds the cluster."""
        listed = self.folder / "members.json"
        listed.write_text(json.dumps({"founder": 0, "members": members}))
        words = ("0", "127.0.0.1", str(self.port), str(self.folder), str(listed))
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.one_server", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        pipe = self._process.stdout
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return loop.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            told = json.loads(line)
            self.states, self.role = told["states"], told["role"]
            self.changed.set()

    async def wait(self, number: int, state: str) -> None:
        """Wait until it shows that state of a member."""
        async with asyncio.timeout(_READY_S):
            while self.states.get(str(number)) != state:
                if self._failure is not None:
                    raise self._failure
                self.changed.clear()
                await self.changed.wait()

    def give_up(self, task: asyncio.Task[None]) -> None:
        """A client failed, so nothing more is to be waited for."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            self.changed.set()

    @property
    def pids(self) -> list[int]:
        """Its program and its control process."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        found = {int(one) for one in children.read_text().split()}
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(one) for one in (task / "children").read_text().split()}
        return [pid, *sorted(found)]

    def cpu_s(self) -> float:
        """CPU seconds that it has used."""
        return sum(figures.cpu_s(pid) for pid in self.pids)

    def rss_mb(self) -> float:
        """The most memory that it has had."""
        return sum(figures.resident_mb(pid, "VmHWM") for pid in self.pids)

    def close(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()


def client(number: int, folder: Path, stack: ExitStack) -> Client:
    """A member on an address of its own."""
    address = f"127.0.{1 + number // 200}.{1 + number % 200}"
    listener = stack.enter_context(socket.create_server((address, 0), backlog=8))
    listener.setblocking(False)
    identity = Identity.create(folder / f"m{number}")
    return Client(ServerId(number), address, listener.getsockname()[1], identity, listener)


async def contest(count: int, seconds: float, deaths: int, folder: Path) -> Figures:
    """Run the cluster, measure the calm, then let members die."""
    with ExitStack() as stack:
        clients = [client(number, folder, stack) for number in range(1, count + 1)]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        keys = Identity.create(folder / "keys")
        primary = Primary(folder, port)
        stack.callback(primary.close)
        members = [Peer(ServerId(0), "127.0.0.1", port, keys.certificate_b64)]
        members += [
            Peer(one.id, one.address, one.port, one.identity.certificate_b64) for one in clients
        ]
        known = PeerAddress(ServerId(0), "127.0.0.1", port, keys.certificate_b64)
        loop = asyncio.get_running_loop()
        tasks = []
        for one in clients:
            serving = loop.create_task(one.serve(known))
            serving.add_done_callback(primary.give_up)
            one.tasks.append(serving)
            tasks += one.tasks
        began = monotonic()
        tasks.append(await primary.start([asdict(member) for member in members]))
        for one in clients:
            await primary.wait(one.id, "alive")
        figures.note(f"{count} members are alive after {monotonic() - began:.1f} s")
        try:
            used = await calm(primary, clients, seconds)
            shown = [await death(primary, clients[-1 - n], n % 2 == 0) for n in range(deaths)]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        figures.note(f"a crash is shown after: {figures.spread(shown[::2])}")
        if shown[1::2]:
            figures.note(f"a silence is shown after: {figures.spread(shown[1::2])}")
        return {
            "primary_cpu_cores": used,
            "primary_rss_mb": primary.rss_mb(),
            "dead_shown_s": max(shown),
        }


async def calm(primary: Primary, clients: list[Client], seconds: float) -> float:
    """The cores that the primary uses while nothing happens."""
    await asyncio.sleep(3.0)
    before, began = primary.cpu_s(), monotonic()
    answered = sum(one.answered for one in clients)
    asked_before = sum(one.asked for one in clients)
    mine = os.times()
    await asyncio.sleep(seconds)
    took = monotonic() - began
    used = (primary.cpu_s() - before) / took
    rounds = (sum(one.answered for one in clients) - answered) / took
    own = (sum(os.times()[:2]) - sum(mine[:2])) / took
    figures.note(
        f"calm for {took:.0f} s: the primary uses {used:.3f} cores, is answered {rounds:.0f} times "
        f"a second; the {len(clients)} clients use {own:.3f} cores"
    )
    asked = sum(one.asked for one in clients) - asked_before
    if asked:
        figures.note(f"the clients had to ask {asked} times by themselves")
    again = sum(one.sessions - 1 for one in clients)
    if again:
        figures.note(f"not calm: {again} connections were opened again")
    dead = sum(state != "alive" for state in primary.states.values())
    if dead or primary.role != "primary":
        figures.note(f"not calm: {dead} members were not alive, the role was {primary.role}")
    return used


async def death(primary: Primary, victim: Client, crash: bool) -> float:
    """Seconds until the primary shows that a member is dead."""
    await primary.wait(victim.id, "alive")
    await asyncio.sleep(random.uniform(0.0, LAN.hb_s))  # noqa: S311
    began = monotonic()
    if crash:
        victim.die()
    else:
        victim.silent = True
    await primary.wait(victim.id, "dead")
    return monotonic() - began


def run(arguments: argparse.Namespace) -> Figures:
    """Measure."""
    with TemporaryDirectory(prefix="bqn-members-") as folder:
        work = contest(arguments.members, arguments.seconds, arguments.deaths, Path(folder))
        return asyncio.run(work)


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--members", type=int, default=MEMBERS, help="beside the primary")
    parser.add_argument("--seconds", type=float, help=f"of calm ({SECONDS:g}; quick: 12)")
    parser.add_argument("--deaths", type=int, help=f"how many die ({DEATHS}; quick: 4)")
    arguments = parser.parse_args(words)
    arguments.seconds = arguments.seconds or (12.0 if arguments.quick else SECONDS)
    arguments.deaths = arguments.deaths or (4 if arguments.quick else DEATHS)
    limit_s = _LIMIT_QUICK_S if arguments.quick else _LIMIT_S
    return figures.measure(lambda: run(arguments), limit_s)


if __name__ == "__main__":
    sys.exit(main())
