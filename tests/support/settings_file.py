"""The settings file of a server in a test, and ports for it.

Edge: files, sockets.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Nobody listens on them yet, perhaps; they are not given to a second one.
_given: set[int] = set()
_SETTINGS = """
[server]
state = "{state}"
[gui]
address = "127.0.0.1"
port = {gui}
[control]
address = "{address}"
port = {control}
[ssh]
own_sshd = true
address = "{address}"
port = {ssh}
[samples]
source = "simulated"
"""


def write_settings(
    path: Path, state: Path, *, control: int, ssh: int, gui: int = 1, address: str = LOOPBACK
) -> None:
    """Write the settings of a server with these ports; its pages are on the loopback address."""
    path.write_text(
        _SETTINGS.format(state=state, gui=gui, control=control, ssh=ssh, address=address)
    )
    path.chmod(0o600)


def free_ports(count: int, addresses: Sequence[str] = (LOOPBACK,)) -> list[int]:
    """Ports that are free on all these addresses, below the range of outgoing connections."""
    found: list[int] = []
    for port in random.sample(sorted(set(range(20_000, 32_000)) - _given), 2_000):
        with contextlib.ExitStack() as stack:
            try:
                for address in addresses:
                    stack.enter_context(socket.socket()).bind((address, port))
            except OSError:
                continue
        found.append(port)
        _given.add(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")
