"""OpenSSH for the rivals: clients that share connections, and an sshd for Ansible.

`Masters` keeps one connection of OpenSSH's client to each server, as `ControlMaster` does,
in foreground processes that are known and stopped. `PlainSshd` gives a key a shell, which
the product never does; it listens on 127.0.0.1 and ends with the measurement.

Edge: processes.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from scheduler.ssh import SshTarget
from scheduler.sshd import account, create_host_key
from tests.support.sshd import free_port

_READY_S = 60.0


def write_key(key: Ed25519PrivateKey, path: Path) -> None:
    """The private key as OpenSSH reads it."""
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    path.touch(mode=0o600)
    path.write_bytes(text)


class Masters:
    """A shared connection to each of some servers; `config` is for `ssh -F`."""

    def __init__(self, place: Path, key: Path, targets: Mapping[str, SshTarget]) -> None:
        place.mkdir()
        self.config = place / "config"
        self.names = tuple(targets)
        hosts = place / "hosts"
        hosts.write_text(
            "".join(f"[{t.address}]:{t.port} {t.host_key}\n" for t in targets.values())
        )
        lines = []
        for name, target in targets.items():
            lines += [
                f"Host {name}",
                f" HostName {target.address}",
                f" Port {target.port}",
                f" ControlPath {place}/{name}",
            ]
        lines += [
            "Host *",
            f" User {account()}",
            f" IdentityFile {key}",
            " IdentitiesOnly yes",
            f" UserKnownHostsFile {hosts}",
            " StrictHostKeyChecking yes",
            " BatchMode yes",
        ]
        self.config.write_text("\n".join(lines) + "\n")
        self._processes = [
            subprocess.Popen(
                ["ssh", "-F", str(self.config), "-M", "-N", name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name in targets
        ]
        try:
            for name in targets:
                _wait_for((place / name).exists, f"the connection to {name}")
        except BaseException:
            self.close()
            raise

    def cpu_s(self) -> float:
        """CPU seconds of the processes that hold the connections."""
        texts = [Path(f"/proc/{one.pid}/schedstat").read_text() for one in self._processes]
        return sum(int(text.split()[0]) for text in texts) / 1e9

    def close(self) -> None:
        """End the connections."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()


class PlainSshd:
    """An sshd on 127.0.0.1 that lets one key run what it wants."""

    def __init__(self, place: Path, number: int, public: str) -> None:
        place.mkdir()
        port = free_port()
        host_key = create_host_key(place / "host")
        (place / "keys").write_text(f"{public}\n")
        (place / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nPidFile {place}/pid\n"
            f"AuthorizedKeysFile {place}/keys\nStrictModes no\nUsePAM no\n"
            f"PermitRootLogin prohibit-password\nAllowUsers {account()}\nMaxStartups 200\n"
            "Subsystem sftp internal-sftp\n"
        )
        self.target = SshTarget(ServerId(number), "127.0.0.1", port, host_key)
        binary = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "sshd"
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._process = subprocess.Popen(
            [binary, "-D", "-f", str(place / "config"), "-E", str(place / "log")],
            stdin=subprocess.DEVNULL,
        )
        try:
            _wait_for(self._answers, "sshd")
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.target.port)) == 0

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()


def _wait_for(what: Callable[[], bool], words: str) -> None:
    end = monotonic() + _READY_S
    pause = threading.Event()
    while not what():
        if monotonic() > end:
            raise TimeoutError(f"{words} did not come about within {_READY_S:g} s")
        pause.wait(0.02)
