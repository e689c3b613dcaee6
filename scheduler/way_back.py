"""The way back, tried before anything is set up: a server asks another to dial it.

Whoever asks is dialled at the address that the question came from, and nowhere else, so
nobody can make this server look at other machines. Few are tried at a time.

Core: works through `scheduler.connectivity`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from configrepo.model import ServerId
from scheduler import causes
from scheduler.connectivity import check_control, check_ssh
from scheduler.errors import RemoteRefused, SchedulerError
from scheduler.inviting import reaches_from_json
from scheduler.views import Reach

ROUTE = "/probe/back"
AT_ONCE = 2
EACH_S = 3.0
ANSWER_S = 10.0

AskBack = Callable[[str, int, str, dict[str, Any]], dict[str, Any]]


class WayBack:
    """Answers those who want to be dialled. `me` names this server in the sentences."""

    def __init__(self, me: ServerId) -> None:
        self._me = me
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def answer(self, address: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Route `/probe/back`, for everybody.

        Raises:
            RemoteRefused: the question cannot be read, or others are being tried.
        """
        match body:
            case {"control_port": int(control_port), "ssh_port": int(ssh_port)} if (
                0 < control_port < 65536 and 0 < ssh_port < 65536
            ):
                pass
            case _:
                raise RemoteRefused("the question about the way back cannot be read")
        if not self._room.acquire(blocking=False):
            raise RemoteRefused("other servers are being tried at this moment; try again")
        try:
            found = both_ways(f"BQN {self._me}", "you", address, control_port, ssh_port, EACH_S)
        finally:
            self._room.release()
        return {"id": self._me, "reaches": [asdict(reach) for reach in found]}


def both_ways(
    source: str, target: str, address: str, control_port: int, ssh_port: int, timeout_s: float
) -> tuple[Reach, ...]:
    """The control port and SSH of an address, at the same time."""
    with ThreadPoolExecutor(2) as pool:
        control = pool.submit(check_control, source, target, address, control_port, None, timeout_s)
        ssh = pool.submit(check_ssh, source, target, address, ssh_port, None, timeout_s)
        return control.result(), ssh.result()


def there_and_back(
    me: ServerId,
    own_ports: tuple[int, int],
    address: str,
    control_port: int,
    ssh_port: int,
    ask: AskBack,
) -> tuple[Reach, ...]:
    """Try an address, and let whoever answers there try the way back.

    Args:
        me: this server.
        own_ports: its control port and SSH port.
        address: what is tried; nothing needs to be set up there.
        control_port: its control port.
        ssh_port: its SSH port.
        ask: asks an unknown server (address, port, route, body).
    """
    mine, there = f"BQN {me}", f"the server at {address}"
    found = both_ways(mine, there, address, control_port, ssh_port, 5.0)
    if not found[0].ok:
        return found
    body = {"control_port": own_ports[0], "ssh_port": own_ports[1]}
    try:
        back = reaches_from_json(ask(address, control_port, ROUTE, body).get("reaches"))
    except SchedulerError as error:
        sentence = f"The way back could not be tried: {error}."
        way = (there, mine, "way back", address, control_port)
        back = (Reach(*way, ok=False, cause=causes.NO_ANSWER, sentence=sentence),)
    return (*found, *back)
