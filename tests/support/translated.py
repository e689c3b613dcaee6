"""Two servers with a router between them that translates addresses, as at a customer's site.

BQN 0 is on a network of its own; BQN 1 has an address behind the router, which hides it
behind its own (masquerade) and forwards nothing until it is told to. All of them are network
namespaces, the translation is the kernel's.

Edge: network namespaces (root).
"""

from __future__ import annotations

import subprocess

from bench.namespaces import Network

ROUTER = "10.77.0.9"
INSIDE = "192.168.77.2"
_GATEWAY = "192.168.77.1"
_TABLE = """
table ip nat {
 chain prerouting { type nat hook prerouting priority dstnat; }
 chain postrouting { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }
}
"""


class Translated(Network):
    """BQN 0 outside, BQN 1 behind the router."""

    def __init__(self, name: str, servers: int) -> None:
        """Make them; `name` is unique on this machine."""
        assert servers == 2
        self._router = f"{name}rt"
        super().__init__(name, servers)

    def _make(self, servers: int) -> None:
        super()._make(1)
        here = self._space(1)
        for space in (self._router, here):
            self._add(space)
            self._ip(space, "link", "set", "lo", "up")
        self._wire(self._router, "eth0", self._switch, "router")
        self._ip(self._switch, "link", "set", "router", "master", "br0", "up")
        self._wire(self._router, "inside", here, "eth0")
        self._address(self._router, "eth0", ROUTER)
        self._address(self._router, "inside", _GATEWAY)
        self._address(here, "eth0", INSIDE)
        self._ip(here, "route", "add", "default", "via", _GATEWAY)
        self.at_router("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self.at_router("nft", _TABLE)

    def _wire(self, one: str, name: str, other: str, there: str) -> None:
        peer = ("peer", "name", there, "netns", other)
        self._ip(one, "link", "add", name, "type", "veth", *peer)

    def _address(self, space: str, interface: str, address: str) -> None:
        self._ip(space, "addr", "add", f"{address}/24", "dev", interface)
        self._ip(space, "link", "set", interface, "up")

    def _ip(self, space: str, *words: str) -> None:
        subprocess.run(["ip", "-n", space, *words], check=True)

    def address(self, number: int) -> str:
        """Where a server listens."""
        return INSIDE if number == 1 else super().address(number)

    def dialled(self, number: int) -> str:
        """Where the others dial it."""
        return ROUTER if number == 1 else super().dialled(number)

    def at_router(self, *command: str) -> None:
        """Run a command at the router."""
        subprocess.run(["ip", "netns", "exec", self._router, *command], check=True)

    def forward_nothing(self) -> None:
        """Forget every forwarding of ports."""
        self.at_router("nft", "flush", "chain", "ip", "nat", "prerouting")
