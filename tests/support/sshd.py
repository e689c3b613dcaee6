"""A real sshd with the real gate, on a free port, for one state directory.

Edge: processes.
"""

from __future__ import annotations

import socket
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from scheduler.authorized_keys import KeyHolder, write_authorized_keys
from scheduler.errors import PortInUse
from scheduler.ssh import SshTarget
from scheduler.sshd import OwnSshd


def public_line(key: Ed25519PrivateKey) -> str:
    """The public part of a key as `ssh-ed25519 BASE64`."""
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class SshServer:
    """A running sshd whose gate guards `state`; started at once, stopped by `stop`."""

    def __init__(self, state: Path, holders: tuple[KeyHolder, ...]) -> None:
        self.state = state
        self.keys = state / "ssh" / "authorized_keys"
        (state / "run").mkdir(parents=True, exist_ok=True)
        self.allow(holders)
        for attempt in range(5):
            self.sshd = OwnSshd(state / "ssh", free_port(), self.keys)
            try:
                self.sshd.start()
            except PortInUse:
                if attempt == 4:
                    raise
            else:
                break
        self.port = self.sshd.port
        self.host_key = self.sshd.host_key

    def allow(self, holders: tuple[KeyHolder, ...]) -> None:
        """Replace the keys that may come in."""
        write_authorized_keys(self.keys, holders, self.state)

    def target(self, server: int, host_key: str | None = None) -> SshTarget:
        """How another server sees this one."""
        return SshTarget(ServerId(server), "127.0.0.1", self.port, host_key or self.host_key)

    def stop(self) -> None:
        """Stop it."""
        self.sshd.stop()
