"""SSH to the other servers: the one place that knows paramiko.

Rules:

- The host key is compared with the pinned one after the key exchange and before anything
  about us is sent. It is pinned per server, never per address. A mismatch is a hard stop.
- One connection per server is kept and reused; a command is a channel on it.
- Every attempt ends: `SshLimits` bounds the login, the first byte of an answer, the
  silence between two bytes, and the whole. Our own clock closes the connection; paramiko's limits
  (some are missing, some follow the wall clock) are not relied on.
- Only ed25519 keys and AES-GCM; no agent, no key search, no known_hosts file.

Edge: SSH connections.
"""

from __future__ import annotations

import hmac
import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from scheduler import causes
from scheduler.authorized_keys import Verb
from scheduler.errors import KeyRefused, RemoteRefused, Unreachable, WrongIdentity
from scheduler.ssh_socket import SshSocket, dial

_KEEPALIVE_S: Final = 15
_PARALLEL_CONNECTS: Final = 8
_PIECE: Final = 32768
_TOLD: Final = 4096

_KEX: Final = ("mlkem768x25519-sha256", "curve25519-sha256@libssh.org")
_CIPHERS: Final = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
_MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")

_COMMANDS: Final = {
    Verb.RECEIVE: "git-receive-pack 'config.git'",
    Verb.UPLOAD: "git-upload-pack 'config.git'",
    Verb.PROBE: "bqn-probe",
}
GATE_ANSWER: Final = b"bqn-gate 1\n"

# Each outcome is told once, as a sentence of ours; paramiko's own lines only repeat it.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where a server's sshd answers. `host_key` is the pinned key, `ssh-ed25519 BASE64`."""

    id: ServerId
    address: str
    port: int
    host_key: str


@dataclass(frozen=True, slots=True)
class SshLimits:
    """How long things may take, in seconds.

    `login_s` from dialling to logged in, `attempt_s` from dialling to the first byte of an
    answer, `idle_s` between two bytes, `transfer_s` for a whole command.
    """

    login_s: float = 10.0
    attempt_s: float = 15.0
    idle_s: float = 15.0
    transfer_s: float = 600.0


class SshStream:
    """Standard input and output of a command that runs at another server."""

    def __init__(
        self, channel: paramiko.Channel, who: str, first_byte_s: float, limits: SshLimits
    ) -> None:
        self._channel = channel
        self._who = who
        self._idle_s = limits.idle_s
        self._end = monotonic() + limits.transfer_s
        self._ahead = b""
        self._channel.settimeout(max(first_byte_s, 1.0))

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, fewer only at the end of the stream.

        Raises:
            Unreachable: nothing came in time, or the connection broke.
        """
        while len(self._ahead) < size:
            with self._told():
                piece = self._channel.recv(_PIECE)
            if not piece:
                break
            self._channel.settimeout(self._idle_s)
            self._ahead += piece
        found, self._ahead = self._ahead[:size], self._ahead[size:]
        return found

    def write(self, data: bytes) -> None:
        """Send all of `data`.

        Raises:
            Unreachable: the other end took nothing in time, or the connection broke.
        """
        for start in range(0, len(data), _PIECE):
            with self._told():
                self._channel.sendall(data[start : start + _PIECE])

    def finish(self) -> int:
        """Close our side, read what is left, and return the exit status of the command.

        Raises:
            Unreachable: the command did not end in time.
        """
        with self._told():
            self._channel.shutdown_write()
        while self.read(_PIECE):
            pass
        if not self._channel.status_event.wait(self._idle_s):
            raise Unreachable(f"{self._who} does not end its answer", causes.NO_ANSWER)
        return self._channel.exit_status

    def complaint(self) -> str:
        """Return what the command wrote to its error stream so far, made printable."""
        if not self._channel.recv_stderr_ready():
            return ""
        text = self._channel.recv_stderr(_TOLD).decode(errors="replace")
        return "".join(c if c.isprintable() else " " for c in text).strip()

    def close(self) -> None:
        """Close the channel; the connection stays for the next command."""
        self._channel.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        if monotonic() > self._end:
            raise Unreachable(f"{self._who} is too slow", causes.TOO_SLOW)
        try:
            yield
        except TimeoutError as error:
            raise Unreachable(f"{self._who} stopped answering", causes.NO_ANSWER) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise Unreachable(f"the connection to {self._who} broke", causes.NO_ANSWER) from error


class SshPool:
    """Connections to the other servers, one for each, shared by all threads."""

    def __init__(self, key: Ed25519PrivateKey, user: str, limits: SshLimits | None = None) -> None:
        """Keep what every login needs.

        Args:
            key: the identity of this server.
            user: the account to log in with at every server.
            limits: how long things may take.
        """
        self._limits = limits or SshLimits()
        self._key = _paramiko_key(key)
        self._user = user
        self._guard = threading.Lock()
        self._connecting = threading.BoundedSemaphore(_PARALLEL_CONNECTS)
        self._lines: dict[ServerId, _Line] = {}
        self._closed = False

    def open_command(self, target: SshTarget, verb: Verb) -> SshStream:
        """Start the command of `verb` at a server, over the kept connection if it lives.

        Raises:
            Unreachable: the server cannot be reached, or does not answer in time.
            WrongIdentity: it shows another host key than the pinned one.
            KeyRefused: it does not let our key in.
            RemoteRefused: it does not run the command.
        """
        line = self._line(target)
        end = monotonic() + self._limits.attempt_s
        if not line.lock.acquire(timeout=self._limits.attempt_s):
            raise Unreachable(f"{line.who} does not answer", causes.NO_ANSWER)
        try:
            channel = line.try_kept(_COMMANDS[verb])
            if channel is None:
                with self._connecting:
                    end = monotonic() + self._limits.attempt_s
                    line.connect(self._key, self._user)
                channel = line.run(_COMMANDS[verb], end)
        finally:
            line.lock.release()
        return SshStream(channel, line.who, end - monotonic(), self._limits)

    def forget(self, server: ServerId) -> None:
        """Close the kept connection to a server (removed, or its address changed)."""
        with self._guard:
            line = self._lines.pop(server, None)
        if line is not None:
            line.close()

    def close(self) -> None:
        """Close every connection for good; attempts that are under way end at once."""
        with self._guard:
            self._closed = True
            lines, self._lines = self._lines, {}
        for line in lines.values():
            line.close()

    def _line(self, target: SshTarget) -> _Line:
        with self._guard:
            if self._closed:
                raise _closed(f"server {target.id}")
            line = self._lines.get(target.id)
            if line is not None and line.target == target:
                return line
            fresh = self._lines[target.id] = _Line(target, self._limits.login_s)
        if line is not None:
            line.close()
        return fresh


class _Line:
    """The kept connection to one server; its lock is held while a command is started."""

    def __init__(self, target: SshTarget, login_s: float) -> None:
        self.target = target
        self._login_s = login_s
        self.who = f"server {target.id} ({target.address} port {target.port})"
        self.lock = threading.Lock()
        self._transport: paramiko.Transport | None = None
        self._guard = threading.Lock()
        self._closed = False
        self._sock: SshSocket | None = None

    def try_kept(self, command: str) -> paramiko.Channel | None:
        """Start the command on the kept connection; None if that is gone."""
        if self._transport is None or not self._transport.is_active():
            return None
        try:
            return self.run(command, monotonic() + self._login_s / 2)
        except Unreachable:
            return None

    def connect(self, key: paramiko.PKey, user: str) -> None:
        """Make a new connection, pinned and logged in."""
        end = monotonic() + self._login_s
        self._drop()
        transport = _handshake(self.target.address, self.target.port, self.who, end, self._hold)
        try:
            _check_pin(transport, self.target.host_key, self.who)
            _log_in(transport, user, key, self.who, end)
            transport.set_keepalive(_KEEPALIVE_S)
        except BaseException:
            transport.close()
            raise
        self._transport = transport

    def run(self, command: str, end: float) -> paramiko.Channel:
        """Start the command on the connection that is there."""
        if self._transport is None:
            raise _closed(self.who)
        return _execute(self._transport, command, self.who, end)

    def close(self) -> None:
        """Close for good, also a connection that is only being made."""
        with self._guard:
            self._closed = True
            if self._sock is not None:
                self._sock.hang_up()

    def _hold(self, sock: SshSocket) -> None:
        with self._guard:
            if self._closed:
                raise _closed(self.who)
            self._sock = sock

    def _drop(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()


@dataclass(frozen=True, slots=True)
class SshProbe:
    """What a look at a server's sshd found.

    `cause` is `ok` or one of the words of `scheduler.views.Reach`; `host_key` is the key
    that was shown, None if it did not come to that.
    """

    cause: str
    sentence: str
    host_key: str | None = None


def probe_ssh(
    address: str,
    port: int,
    key: Ed25519PrivateKey,
    user: str,
    expected_host_key: str | None,
    timeout_s: float = 5.0,
) -> SshProbe:
    """Look whether sshd answers, shows the right host key, and our key reaches the gate.

    Without `expected_host_key` only the shown key is read: nothing about us is sent to a
    server that was not recognised.
    """
    who = f"{address} port {port}"
    end = monotonic() + timeout_s
    try:
        transport = _handshake(address, port, who, end)
    except Unreachable as error:
        return SshProbe(error.cause, str(error))
    shown = _shown_key(transport)
    try:
        if expected_host_key is None:
            return SshProbe(causes.OK, f"an SSH server answers on {who}", shown)
        _check_pin(transport, expected_host_key, who)
        _log_in(transport, user, _paramiko_key(key), who, end)
        return _look_for_gate(transport, who, end, shown)
    except WrongIdentity as error:
        return SshProbe(causes.WRONG_IDENTITY, str(error), shown)
    except KeyRefused as error:
        return SshProbe(causes.WRONG_KEY, str(error), shown)
    except RemoteRefused as error:
        return SshProbe(causes.GATE_MISSING, str(error), shown)
    except Unreachable as error:
        return SshProbe(error.cause, str(error), shown)
    finally:
        transport.close()


def _look_for_gate(transport: paramiko.Transport, who: str, end: float, shown: str) -> SshProbe:
    channel = _execute(transport, _COMMANDS[Verb.PROBE], who, end)
    rest_s = max(end - monotonic(), 0.1)
    limits = SshLimits(idle_s=rest_s, transfer_s=rest_s)
    answer = SshStream(channel, who, rest_s, limits).read(len(GATE_ANSWER))
    if answer != GATE_ANSWER:
        return SshProbe(
            causes.GATE_MISSING,
            f"SSH lets this server in at {who}, but not to the gate of BQN",
            shown,
        )
    return SshProbe(causes.OK, f"SSH works to {who}: right host key, our key is let in", shown)


@contextmanager
def _closing_at(end: float, close: Callable[[], None]) -> Iterator[threading.Event]:
    """Call `close` if the block has not ended by `end`; tells whether it did."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        close()

    timer = threading.Timer(max(end - monotonic(), 0.0), stop)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _handshake(
    address: str, port: int, who: str, end: float, hold: Callable[[SshSocket], None] | None = None
) -> paramiko.Transport:
    """Connect and exchange keys; the host key is known afterwards, not yet compared."""
    try:
        sock = dial(address, port, end, hold or (lambda _: None))
    except (OSError, UnicodeError) as error:
        cause = causes.cause_of(error)
        raise Unreachable(f"{who}: {causes.said(cause)}", cause) from error
    try:
        transport = paramiko.Transport(sock)
    except BaseException:
        sock.close()
        raise
    options = transport.get_security_options()
    options.kex, options.ciphers, options.digests = _KEX, _CIPHERS, _MACS
    options.key_types = ("ssh-ed25519",)
    done = threading.Event()
    transport.start_client(event=done)
    answered = done.wait(max(end - monotonic(), 0.0))
    if answered and transport.is_active():
        return transport
    problem = transport.get_exception()
    spoke = transport.remote_version != ""
    transport.close()
    sock.close()
    if not answered:
        raise Unreachable(f"{who} accepts the connection but says nothing", causes.NO_ANSWER)
    if not spoke:
        raise Unreachable(
            f"what answers at {who} is not SSH, or hangs up at once", causes.NOT_OUR_PROGRAM
        )
    raise Unreachable(
        f"{who} and this server agree on no encryption ({problem})", causes.NOT_OUR_PROGRAM
    )


def _shown_key(transport: paramiko.Transport) -> str:
    key = transport.get_remote_server_key()
    return f"{key.get_name()} {key.get_base64()}"


def _check_pin(transport: paramiko.Transport, pinned: str, who: str) -> None:
    wanted = " ".join(pinned.split()[:2])
    if not hmac.compare_digest(_shown_key(transport).encode(), wanted.encode()):
        raise WrongIdentity(
            f"{who} shows another host key than the pinned one; nothing was sent to it. "
            "If that server was installed anew, remove it and add it again"
        )


def _log_in(
    transport: paramiko.Transport, user: str, key: paramiko.PKey, who: str, end: float
) -> None:
    done = threading.Event()
    try:
        transport.auth_publickey(user, key, event=done)
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(f"the connection to {who} broke", causes.NO_ANSWER) from error
    if not done.wait(max(end - monotonic(), 0.0)):
        raise Unreachable(f"{who} does not answer the login", causes.NO_ANSWER)
    if transport.is_authenticated():
        return
    if transport.is_active() or isinstance(
        transport.get_exception(), paramiko.AuthenticationException
    ):
        raise KeyRefused(
            f"{who} does not let the SSH key of this server in (account {user}); "
            "its authorized_keys lacks the key, or its sshd does not read that file"
        )
    raise Unreachable(f"the connection to {who} broke during the login", causes.NO_ANSWER)


def _execute(transport: paramiko.Transport, command: str, who: str, end: float) -> paramiko.Channel:
    """Start a command; the connection is closed if that takes longer than until `end`."""
    with _closing_at(end, transport.close) as late:
        try:
            channel = transport.open_session(timeout=max(end - monotonic(), 0.1))
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            if late.is_set() or not transport.is_active():
                why = "does not start the command" if late.is_set() else "closed the connection"
                raise Unreachable(f"{who} {why}", causes.NO_ANSWER) from error
            raise RemoteRefused(f"{who} refuses to run the command: {error}") from error
    return channel


def _closed(who: str) -> Unreachable:
    return Unreachable(f"the connection to {who} was closed", causes.NO_ANSWER)


def _paramiko_key(key: Ed25519PrivateKey) -> paramiko.PKey:
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()
    return paramiko.Ed25519Key(file_obj=io.StringIO(text))
