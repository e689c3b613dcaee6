"""Networks of our own: one network namespace per server, joined by a bridge in another.

Nothing of the machine's own network is touched, so several such networks can run at the
same time with the same addresses. A cut of one server takes its port at the bridge down; a
cut between servers is a rule of the bridge that lets no packet through, in silence.

Edge: network namespaces (root).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import RivalMissing

_NET = "10.77.0"
_CLONE_NEWNET = 0x40000000


def require() -> None:
    """Raise RivalMissing unless namespaces can be made."""
    if os.geteuid() != 0:
        raise RivalMissing("network namespaces are made by root only: run this as root")
    for program in ("ip", "nsenter", "nft"):
        if shutil.which(program) is None:
            raise RivalMissing(
                f"{program} is missing: apt-get install iproute2 util-linux nftables"
            )


class Network:
    """Namespaces with one address each: `10.77.0.<number + 1>`, on interface `eth0`."""

    def __init__(self, name: str, servers: int) -> None:
        """Make them; `name` is unique on this machine."""
        self._name = name
        self._switch = f"{name}sw"
        self._made: list[str] = []
        try:
            self._make(servers)
        except BaseException:
            self.remove()
            raise

    def _make(self, servers: int) -> None:
        self._add(self._switch)
        _ip("-n", self._switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", self._switch, "link", "set", "br0", "up")
        for number in range(servers):
            here, port = self._space(number), f"p{number}"
            self._add(here)
            peer = ("peer", "name", "eth0", "netns", here)
            _ip("-n", self._switch, "link", "add", port, "type", "veth", *peer)
            _ip("-n", self._switch, "link", "set", port, "master", "br0", "up")
            _ip("-n", here, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            _ip("-n", here, "link", "set", "lo", "up")
            _ip("-n", here, "link", "set", "eth0", "up")

    def _add(self, space: str) -> None:
        _ip("netns", "add", space)
        self._made.append(space)

    def _space(self, number: int) -> str:
        return f"{self._name}n{number}"

    def address(self, number: int) -> str:
        """Where a server is."""
        return f"{_NET}.{number + 1}"

    def dialled(self, number: int) -> str:
        """Where the others dial it: another address only if a router translates."""
        return self.address(number)

    def inside(self, number: int, *command: str) -> list[str]:
        """A command line that runs at a server; its process id stays that of the command."""
        return ["nsenter", f"--net=/run/netns/{self._space(number)}", *command]

    def cut(self, number: int) -> None:
        """Nothing reaches this server any more, and nothing comes from it."""
        _ip("-n", self._switch, "link", "set", f"p{number}", "down")

    def heal(self, number: int) -> None:
        """Undo `cut`."""
        _ip("-n", self._switch, "link", "set", f"p{number}", "up")

    def part(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Cut exactly these pairs of servers, both ways; all others reach each other."""
        rules = [
            f'iifname "p{one}" oifname "p{other}" drop\n'
            for pair in pairs
            for one, other in (pair, pair[::-1])
        ]
        chain = f"type filter hook forward priority 0;\n{''.join(rules)}"
        table = f"table bridge cut {{\nchain forward {{\n{chain}}}\n}}\n"
        # One transaction: all links change at the same instant.
        subprocess.run(
            ["ip", "netns", "exec", self._switch, "nft", "-f", "-"],
            input=f"table bridge cut\ndelete table bridge cut\n{table}".encode(),
            check=True,
        )

    @contextmanager
    def visiting(self, number: int) -> Iterator[None]:
        """Sockets that this thread makes in the block are at that server."""
        place = Path("/run/netns") / self._space(number)
        with Path("/proc/thread-self/ns/net").open() as home, place.open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def remove(self) -> None:
        """Remove what was made; the processes inside have ended."""
        for space in self._made:
            subprocess.run(["ip", "netns", "delete", space], check=False)
        self._made.clear()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _enter(space: int) -> None:
    """Move this thread into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(space, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def leftovers(name: str) -> list[str]:
    """Namespaces of that name that are still there."""
    place = Path("/run/netns")
    return sorted(one.name for one in place.glob(f"{name}*")) if place.is_dir() else []
