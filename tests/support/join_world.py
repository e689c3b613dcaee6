"""Both sides of a join in one test: two servers, their messages plain calls.

Edge: files, threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from configrepo.sealing import Keyring
from scheduler.beacon_signing import private_key
from scheduler.inviting import Inviting, new_secret
from scheduler.joincode import JoinCode, host_key_digest
from scheduler.joining import Agreed, Joining
from scheduler.views import AddForm, JoinProgress, Reach
from tests.support.small_server import SmallServer

FORM = AddForm(ServerId(1), "192.0.2.11", "192.0.2.10")
FINE = Reach("BQN 1", "BQN 0", "control port", "192.0.2.10", 63500, True, "ok", "it answers")
FILTERED = replace(FINE, ok=False, cause="filtered", sentence="No answer from 192.0.2.10.")


def control_key(server: SmallServer) -> Ed25519PrivateKey:
    return private_key(server.identity.control_pem.read_bytes())


class World:
    """Two servers whose join messages are plain calls; `wire` may spoil them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1000.0
        self.zero = SmallServer(folder, 0)
        self.one = SmallServer(folder, 1)
        self.rings = {0: Keyring.create(), 1: Keyring.create()}
        self.agreed: list[Agreed | None] = []
        self.reaches: tuple[Reach, ...] = (FINE,)
        self.wire: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _, answer: answer
        self.turn = threading.Semaphore(0)
        self.progressed = threading.Semaphore(0)
        self.inviting = self.new_inviting()
        self.source = "192.0.2.11"
        self.joining = self.new_joining()

    def new_inviting(self, schema: int = 1) -> Inviting:
        return Inviting(
            self.folder / "inviting.json",
            keyring=lambda: self.rings[0],
            keep_keyring=lambda ring: self.rings.__setitem__(0, ring),
            check_back=lambda _: (replace(FINE, source="BQN 0", target="BQN 1"),),
            clock=lambda: self.now,
            in_background=lambda work: work(),
            schema=lambda: schema,
        )

    def new_joining(self) -> Joining:
        return Joining(
            self.folder / "joining.json",
            call=self.call,
            check=lambda _: self.reaches,
            keyring=lambda: self.rings[1],
            keep_keyring=lambda ring: self.rings.__setitem__(1, ring),
            on_agreed=self.agreed.append,
            pause=self.pause,
            key=lambda: control_key(self.one),
            see=lambda _: self.zero.identity.fingerprint,
            clock=lambda: self.now,
        )

    def pause(self, _: float) -> bool:
        self.progressed.release()
        return not self.turn.acquire(timeout=20)

    def call(self, code: JoinCode, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert code.id == 0
        own = self.zero.record("192.0.2.10")
        if route == "/join/meet":
            answer = self.inviting.meet(own, body, self.source)
        elif route == "/join/knock":
            answer = self.inviting.knock(own, body, self.source)
        else:
            answer = self.inviting.enter(body, self.source)
        return self.wire(route, answer)

    @property
    def host_key(self) -> str:
        return host_key_digest(self.zero.record().ssh_host_key)

    def code(self) -> JoinCode:
        return JoinCode(
            "ab" * 16,
            ServerId(0),
            "192.0.2.10",
            63500,
            22,
            self.zero.identity.fingerprint,
            self.host_key,
            new_secret(),
        )

    def invite(self) -> str:
        return self.inviting.open(FORM, self.code(), ()).code

    def ended(self) -> JoinProgress:
        for thread in threading.enumerate():
            if thread.name == "joining":
                thread.join(20)
        return self.joining.progress

    def close(self) -> None:
        self.joining.give_up()
        self.turn.release(100)
        self.ended()
        self.zero.close()
        self.one.close()
