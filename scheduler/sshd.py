"""An OpenSSH server of our own, without privileges, for one state directory.

A real installation uses the system's sshd on port 22. Where several servers share a
machine (the demo, the tests), each runs its own: another port, its own host key, only
public keys, only forced commands, nothing to forward. `StrictModes` is off because the
state directory of a demo may lie anywhere; the directory itself is 0700. `HOME` leads
nowhere, because some shells read a file there before they run the gate: 100 ms a push.

It ends with the program that started it, also if that was killed. Should one be left
nevertheless, the next `start` finds it by its pid file, makes sure that it is the sshd of
this configuration, and replaces it.

Edge: processes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from select import select
from time import monotonic
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scheduler.errors import PortInUse, SchedulerError, SettingsError
from scheduler.state_dir import write_durably

_SBIN: Final = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin"
_PRIVSEP: Final = Path("/run/sshd")
_STARTING_S: Final = 10.0
_STOPPING_S: Final = 5.0
_LOG_BYTES: Final = 1 << 20

_CONFIG: Final = """\
Port {port}
ListenAddress {address}
HostKey "{home}/host_ed25519"
PidFile "{home}/sshd.pid"
AuthorizedKeysFile "{keys}"
AllowUsers {user}
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin forced-commands-only
UsePAM no
StrictModes no
MaxStartups 200
MaxSessions 20
LoginGraceTime 20
ClientAliveInterval 15
AllowTcpForwarding no
AllowStreamLocalForwarding no
AllowAgentForwarding no
X11Forwarding no
PermitTunnel no
PermitTTY no
PermitUserRC no
PermitUserEnvironment no
SetEnv HOME=/nonexistent
PrintMotd no
LogLevel INFO
"""


def account() -> str:
    """Return the name of the account that this program runs as."""
    return pwd.getpwuid(os.getuid()).pw_name


def sshd_config(home: Path, address: str, port: int, authorized_keys: Path, user: str) -> str:
    """Return the configuration of an own sshd that keeps its files in `home`."""
    return _CONFIG.format(
        home=home,
        address=address,
        port=port,
        keys=str(authorized_keys).replace("%", "%%"),
        user=user,
    )


def create_host_key(path: Path) -> str:
    """Make an ed25519 host key at `path` (0600) unless there is one.

    Returns:
        The public part as `ssh-ed25519 BASE64`.
    """
    if not path.exists():
        key = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        write_durably(path, key)
    private = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return public.decode()


def system_host_key(path: Path | None) -> str:
    """Return the public host key of the system's sshd, `ssh-ed25519 BASE64`.

    Raises:
        SettingsError: the file cannot be read.
    """
    path = path or Path("/etc/ssh/ssh_host_ed25519_key.pub")
    try:
        return " ".join(path.read_text().split()[:2])
    except OSError as error:
        sentence = f"[ssh] host_key_public: {path} cannot be read ({error.strerror})"
        raise SettingsError((sentence,)) from error


class OwnSshd:
    """An sshd that this program starts and stops.

    Attributes:
        port: the port it listens on.
        host_key: its public host key, `ssh-ed25519 BASE64`.
    """

    def __init__(
        self, home: Path, port: int, authorized_keys: Path, address: str = "127.0.0.1"
    ) -> None:
        """Prepare the files; nothing is started yet.

        Args:
            home: a directory of its own (made 0700) for key, configuration, log and pid.
            port: where to listen; 0 is not possible with sshd.
            authorized_keys: read by sshd at each login.
            address: the address to listen on.
        """
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = port
        self._address = address
        self._home = home.resolve()
        self._config = self._home / "sshd_config"
        self._pid_file = self._home / "sshd.pid"
        self._log = self._home / "sshd.log"
        self.host_key = create_host_key(self._home / "host_ed25519")
        text = sshd_config(self._home, address, port, authorized_keys.resolve(), account())
        # Left alone where nothing is new: a full disk might not take it again.
        if not self._config.exists() or self._config.read_text() != text:
            write_durably(self._config, text.encode())
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it listens; it ends with the thread that calls this.

        Raises:
            PortInUse: something else listens on the port.
            SchedulerError: sshd is missing, or refuses to start; says why.
        """
        binary = shutil.which("sshd", path=_SBIN)
        if binary is None:
            raise SchedulerError(
                "OpenSSH's server is not installed; install it: apt-get install openssh-server"
            )
        if os.geteuid() == 0:
            _PRIVSEP.mkdir(mode=0o755, exist_ok=True)
        self._stop_leftover()
        self._pid_file.unlink(missing_ok=True)
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        said = self._log.stat().st_size if self._log.exists() else 0
        self._process = subprocess.Popen(
            [*_ending_with_us(), binary, "-D", "-E", str(self._log), *self._options(binary)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_until_listening(self._process, said)

    def alive(self) -> bool:
        """Whether the sshd that was started here still runs."""
        return self._process is not None and self._process.poll() is None

    def keep_alive(self) -> str:
        """Start it again if it ended by itself; returns one sentence. Meant as a job."""
        if self.alive():
            return "the own sshd runs"
        self.start()
        return "the own sshd had ended and was started again"

    def stop(self) -> None:
        """Stop it and the sessions it serves; does nothing if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process)
            self._wait_until_free()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # Held, it starts no further session between the look and the end.
        process.send_signal(signal.SIGSTOP)
        sessions = _children(process.pid)
        process.terminate()
        process.send_signal(signal.SIGCONT)
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            process.wait(_STOPPING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._pid_file.unlink(missing_ok=True)

    def _wait_until_free(self) -> None:
        """A session that was just being started may hold the port a moment longer."""
        end = monotonic() + _STOPPING_S
        pause = threading.Event()
        while monotonic() < end:
            with socket.socket(_family(self._address)) as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self._address, self.port))
                return
            pause.wait(0.02)

    def _options(self, binary: str) -> list[str]:
        """Return what sshd is given; all servers of a demo share one address, so no penalties."""
        options = ["-f", str(self._config)]
        newer = [*options, "-o", "PerSourcePenalties=no"]
        known = subprocess.run(
            [binary, "-t", *newer],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_STARTING_S,
            check=False,
        )
        return newer if known.returncode == 0 else options

    def _wait_until_listening(self, process: subprocess.Popen[bytes], said: int) -> None:
        deadline = monotonic() + _STARTING_S
        while not self._pid_file.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
            if process.returncode is not None or monotonic() > deadline:
                self._process = None
                self._end(process)
                raise self._failure(said)

    def _failure(self, said: int) -> SchedulerError:
        text = self._log.read_bytes()[said:].decode(errors="replace") if self._log.exists() else ""
        if "Address already in use" in text:
            return PortInUse(
                f"the SSH port {self.port} on {self._address} is already in use; stop what "
                "listens there or choose another port in the section [ssh] of the settings"
            )
        last = text.strip().splitlines()[-1:] or ["it said nothing"]
        return SchedulerError(f"the own sshd does not start: {last[0]} (see {self._log})")

    def _stop_leftover(self) -> None:
        """Stop the sshd that a killed run of this program left behind."""
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"sshd" not in command or str(self._config).encode() not in command:
                return
            handle = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                select([handle], [], [], _STOPPING_S)
            finally:
                os.close(handle)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _ending_with_us() -> list[str]:
    """What makes the kernel end the sshd when the thread that starts it ends."""
    setpriv = shutil.which("setpriv", path=_SBIN)
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM"]


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]
