"""Members for `bench/doctor.py`: real RPC over TLS, canned results of the checks.

    python -m bench.canned_members FOLDER COUNT PRIMARY_CERTIFICATE_FILE

Each has an address of its own in 127.0.0.0/8, its own keys, and answers `/doctor` with the
program's own code; only the check of a pair is canned. Prints the members as one JSON line
when all of them listen, and ends with its standard input.

Edge: processes, sockets.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler import tls
from scheduler.findings import Finding, Standpoint
from scheduler.identity import Identity
from scheduler.probing import ROUTE, Probing
from scheduler.rpc import RpcServer

REFUSES = ServerId(7)


class Canned:
    """Everything is fine, but BQN 7 refuses SSH and is far away."""

    def control(self, member: Member, cluster: str | None) -> Finding:
        """What the check of the control port would give."""
        return Finding("ok", 40 if member.id == REFUSES else 2)

    def ssh(self, member: Member) -> Finding:
        """What the check of SSH would give."""
        return Finding("refused", 1) if member.id == REFUSES else Finding("ok", 60)


def probing(me: ServerId, members: Mapping[ServerId, Member]) -> Probing:
    """The answering side of the doctor with canned checks."""
    return Probing(me, members.get, lambda: None, Canned(), lambda _: Standpoint(), parallel=1)


def main(arguments: list[str]) -> None:
    """Serve until standard input ends."""
    folder, count, certificate = Path(arguments[0]), int(arguments[1]), Path(arguments[2])
    pins = {ServerId(0): certificate.read_text()}
    primary = Member(ServerId(0), "bqn0", "127.0.0.1", 22, 63500, pins[ServerId(0)], "", "")
    members: dict[ServerId, Member] = {primary.id: primary}
    waiting = selectors.DefaultSelector()
    for number in range(1, count + 1):
        identity = Identity.create(folder / f"keys-{number}")
        address = f"127.0.{1 + number // 250}.{1 + number % 250}"
        listener = socket.create_server((address, 0), backlog=16)
        me = ServerId(number)
        server = RpcServer(identity, lambda: pins, {ROUTE: probing(me, members).answer})
        waiting.register(listener, selectors.EVENT_READ, server)
        port = listener.getsockname()[1]
        members[me] = Member(
            me, f"bqn{number}", address, 22, port, identity.certificate_b64, "", ""
        )
    threading.Thread(target=_accept, args=(waiting,), daemon=True).start()
    print(
        json.dumps([asdict(member) for member in members.values() if member != primary]), flush=True
    )
    sys.stdin.read()


def _accept(waiting: selectors.BaseSelector) -> None:
    while True:
        for key, _ in waiting.select():
            assert isinstance(key.fileobj, socket.socket)
            connection, address = key.fileobj.accept()
            with contextlib.suppress(tls.NotOurHello, OSError):
                key.data.accept(connection, address[0], tls.peek_server_name(connection))


if __name__ == "__main__":
    main(sys.argv[1:])
