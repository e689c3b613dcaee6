"""The control room as the rest of the program sees it.

The control port and the election run in a process of their own, so that nothing the
program does can delay a heartbeat. This module starts that process, tells it who the
members are and what this server's heads are, and receives what it decides and the
connections that are requests. The two are tied together: if the program dies, the
control process ends at once, and the other servers see a crash; if the control process
dies, it is started again with growing pauses, and the view says so.

The listening socket belongs to the program: while the control process is started
again, new connections wait instead of being refused.

Edge: processes, sockets, threads.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from configrepo.model import SCHEMA, ServerId
from scheduler import witness
from scheduler.control_view import (
    Barred,
    ControlRole,
    ControlView,
    PeerView,
    barred_to_json,
    view_from_json,
)
from scheduler.errors import PortInUse, SettingsError
from scheduler.link import LineReader, LinkBroken, Received, encode
from scheduler.messages import PROTOCOL
from scheduler.presets import PRESETS, Timing, broken_rules

_ROOT = Path(__file__).resolve().parent.parent
_BEAT_S = 1.0
_SILENCE_BEATS = 10
# Until its first line it only starts, which takes long on a machine that does much else.
_STARTING_BEATS = 90
_STOP_S = 3.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_HEALTHY_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """What does not change while the program runs.

    `address` and `port` are what the control port listens on (port 0: any free one, see
    `ControlRoom.port`); `state_dir` holds what the election must remember and `keys_dir`
    the certificate; `version` is shown to the others. `timing` replaces the preset's.
    `witness` (`address` or `address:port`) must answer before this server takes over.
    `protocols` (lowest, highest) and `schema` are what this release speaks and reads.
    """

    id: ServerId
    port: int
    state_dir: Path
    keys_dir: Path
    address: str = ""
    preset: str = "lan"
    version: str = ""
    timing: Timing | None = None
    witness: str = ""
    protocols: tuple[int, int] = (PROTOCOL, PROTOCOL)
    schema: int = SCHEMA


class MemberLike(Protocol):
    """What the control room needs of `configrepo.members.Member`."""

    @property
    def id(self) -> ServerId:
        """Its id."""
        ...

    @property
    def address(self) -> str:
        """Where it is."""
        ...

    @property
    def control_port(self) -> int:
        """The port that it listens on."""
        ...

    @property
    def certificate(self) -> str:
        """Its pinned certificate, base64 of DER."""
        ...

    @property
    def state(self) -> str:
        """Either "active" or "removed"."""
        ...


def _nothing(*_: object) -> None:
    return


class ControlRoom:
    """Owns the control process; `beat_s` is how often it is told that the program runs.

    Callbacks (set them before `start`; each may be called from any thread):
        on_view: a new view; must return quickly.
        on_connection: a connection (socket, address, server name) with its TLS bytes
            unread, for `RpcServer.accept`; must return quickly.
        on_handover: this server leads and a lower id asks to take over: stop accepting
            commits, finish, then call `handover_done`. May block.
        on_removed: a member says that this server was removed from the cluster; called
            again as long as it dials members.
        on_catch_up: before (or while) this server leads, get the head that another one
            has, then call `caught_up`. May block.
    """

    def __init__(self, settings: ControlSettings, beat_s: float = _BEAT_S) -> None:
        self.settings = settings
        self._beat_s = beat_s
        self.on_view: Callable[[ControlView], None] = _nothing
        self.on_connection: Callable[[socket.socket, str, str], None] | None = None
        self.on_handover: Callable[[ServerId], None] = _nothing
        self.on_catch_up: Callable[[ServerId, str], None] = _nothing
        self.on_removed: Callable[[ServerId], None] = _nothing
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._link: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: socket.socket | None = None
        self._members: dict[str, Any] = {
            "t": "members",
            "cluster": None,
            "former": 0,
            "members": [],
        }
        self._heads: dict[str, Any] = {"t": "heads", "cluster": None, "terms": ""}
        self._bar: dict[str, Any] | None = None
        self._port = settings.port
        self._failure = ""
        self._threads: list[threading.Thread] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="control-room")
        self._view = ControlView(
            id=settings.id,
            role=ControlRole.ALONE,
            epoch=0,
            since=datetime.now(UTC),
            sentence="The control room is not started.",
            running=False,
        )

    @property
    def view(self) -> ControlView:
        """The newest view."""
        return self._view

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    def start(self) -> None:
        """Open the port and start the control process.

        Raises:
            PortInUse: another program has the port.
            SettingsError: the timing breaks a rule of `scheduler.presets`.
        """
        timing = self.settings.timing or PRESETS[self.settings.preset]
        if broken := broken_rules(timing):
            raise SettingsError(tuple(f"[control] {rule}" for rule in broken))
        try:
            witness.parse(self.settings.witness)
        except ValueError as error:
            raise SettingsError((f"[control] witness: {error}",)) from error
        self._listener = _listen(self.settings.address, self.settings.port)
        self._port = self._listener.getsockname()[1]
        for work in (self._supervise, self._beat):
            thread = threading.Thread(target=work, name=f"control{work.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Say good-bye to the others and end the control process."""
        self._stopping.set()
        self._send({"t": "stop"})
        process = self._process
        if process is not None:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
        for thread in self._threads:
            thread.join()
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._listener is not None:
            self._listener.close()

    def set_members(
        self,
        members: Sequence[MemberLike],
        cluster_id: str | None,
        *,
        founding: bool = False,
        former: int = 0,
    ) -> None:
        """Tell who belongs to the cluster, this server included.

        Removed members stay in the list, so that they can be told. No cluster id, or no
        other active member, is a server alone. `founding` says that this server has just
        made the cluster: nobody else can lead it yet, so it leads at once. `former` says
        how many other servers had its id before.
        """
        value = {
            "t": "members",
            "cluster": cluster_id,
            "former": former,
            "members": [
                {
                    "id": member.id,
                    "address": member.address,
                    "port": member.control_port,
                    "certificate": member.certificate,
                    "removed": member.state == "removed",
                }
                for member in members
            ],
        }
        with self._lock:
            self._members = value
        self._send({**value, "founding": founding})

    def set_heads(self, cluster: str | None, terms: str = "") -> None:
        """Tell this server's `cluster` head and a digest of its term lines."""
        value = {"t": "heads", "cluster": cluster, "terms": terms}
        with self._lock:
            self._heads = value
        self._send(value)

    def set_eligible(self, eligible: bool, reason: str = "", until: float | None = None) -> None:
        """Say whether this server may lead (R14). It is on the disk before it counts.

        A server that may not lead hands over to one that may, and leads only where no
        other can. What was said last counts, also after a restart; `view.barred` shows it.

        Args:
            eligible: whether it may lead.
            reason: why not, in a few words for people.
            until: Unix time at which it may again; None: when it is said.
        """
        text = "".join(c for c in reason if c.isprintable())[:200]
        barred = None if eligible else Barred(text, until)
        value = {"t": "bar", "barred": barred_to_json(barred)}
        with self._lock:
            self._bar = value
        self._send(value)

    def handover_done(self, cluster: str | None) -> None:
        """Answer `on_handover`: no commit is accepted any more, and this is the head."""
        self._send({"t": "handover-done", "cluster": cluster})

    def caught_up(self, head: str) -> None:
        """Answer `on_catch_up`: this server's line contains that head now."""
        self._send({"t": "caught-up", "head": head})

    # --- towards the process ---------------------------------------------------------

    def _send(self, value: dict[str, Any]) -> None:
        """Send a line; one that cannot be sent is told again when the process is back."""
        with self._lock:
            if self._link is None:
                return
            try:
                self._link.sendall(encode(value))
            except OSError:
                with contextlib.suppress(OSError):
                    self._link.shutdown(socket.SHUT_RDWR)

    def _beat(self) -> None:
        """Show the control process that the program still runs."""
        while not self._stopping.wait(self._beat_s):
            self._send({"t": "beat"})

    def _supervise(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                ended = self._run_once()
            except Exception as error:  # noqa: BLE001 (it must be started again, whatever went wrong)
                _log.exception("the control process cannot be served")
                ended = str(error)
            if self._stopping.is_set():
                return
            lived_s = time.monotonic() - began
            pause_s = _FIRST_PAUSE_S if lived_s > _HEALTHY_S else pause_s
            _log.error("the control process ended (%s); again in %.1f s", ended, pause_s)
            self._show_broken(ended)
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _run_once(self) -> str:
        """Start the process, serve its link until it ends, and say how it ended."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(self._beat_s)
            with theirs:
                process = self._spawn(theirs)
            self._greet(ours)
            try:
                said = self._serve(ours)
            finally:
                with self._lock:
                    self._link = None
                process.kill() if not self._stopping.is_set() else None
                ours.close()
                process.wait()
        failure, self._failure = self._failure, ""
        return failure or f"{said}, exit status {process.returncode}"

    def _spawn(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        assert self._listener is not None
        descriptors = (theirs.fileno(), self._listener.fileno())
        inherited = os.environ.get("PYTHONPATH")
        path = f"{_ROOT}{os.pathsep}{inherited}" if inherited else str(_ROOT)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scheduler.control_process", *map(str, descriptors)],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        return self._process

    def _greet(self, ours: socket.socket) -> None:
        settings = self.settings
        with self._lock:
            lines = [
                {
                    "t": "settings",
                    "id": settings.id,
                    "timing": asdict(settings.timing or PRESETS[settings.preset]),
                    "state_dir": str(settings.state_dir),
                    "pem": str(settings.keys_dir / "control.pem"),
                    "version": settings.version,
                    "witness": settings.witness,
                    "protocols": settings.protocols,
                    "schema": settings.schema,
                },
                self._heads,
                {**self._members, "founding": False},
                *([] if self._bar is None else [self._bar]),
            ]
            if self._stopping.is_set():  # `stop` found no link to say it on
                lines.append({"t": "stop"})
            self._link = ours
            with contextlib.suppress(OSError):
                ours.sendall(b"".join(encode(line) for line in lines))

    # --- from the process ------------------------------------------------------------

    def _serve(self, link: socket.socket) -> str:
        reader = LineReader()
        silent, patience = 0, _STARTING_BEATS
        try:
            while silent < patience:
                try:
                    received = reader.read(link)
                except TimeoutError:
                    # Counted, not measured: a pause of this process is no silence of that one.
                    silent += 1
                    continue
                silent, patience = 0, _SILENCE_BEATS
                for line in received:
                    self._take(line)
        except (LinkBroken, OSError) as error:
            return str(error)
        finally:
            reader.close()
        return "it was silent"

    def _take(self, line: Received) -> None:
        value = line.value
        match value["t"]:
            case "view":
                self._show(view_from_json(value["view"]))
            case "failed":
                self._failure = value["sentence"]
            case "connection":
                self._deliver(line, value)
            case "handover":
                self._later(self.on_handover, ServerId(value["requester"]))
            case "removed":
                self._later(self.on_removed, ServerId(value["by"]))
            case "catch-up":
                self._later(self.on_catch_up, ServerId(value["from"]), value["head"])

    def _deliver(self, line: Received, value: dict[str, Any]) -> None:
        if line.descriptor is None:
            return
        connection = socket.socket(fileno=line.descriptor)
        if self.on_connection is None:
            connection.close()
            return
        _guarded(self.on_connection, connection, value["address"], value["sni"])

    def _later(self, callback: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # stopping
            self._worker.submit(_guarded, callback, *arguments)

    def _show(self, view: ControlView) -> None:
        self._view = view
        _guarded(self.on_view, view)

    def _show_broken(self, ended: str) -> None:
        view = self._view
        clustered = self._members["cluster"] is not None and len(self._members["members"]) > 1
        self._show(
            replace(
                view,
                role=ControlRole.JOINING if clustered else ControlRole.ALONE,
                since=datetime.now(UTC),
                sentence=f"The control process ended ({ended}) and is being started again.",
                following=None,
                peers=tuple(
                    PeerView(peer.id, "unknown", "the control process is being started again")
                    for peer in view.peers
                ),
                running=False,
            )
        )


def _guarded(callback: Callable[..., None], *arguments: object) -> None:
    """A fault of the program must not end the election."""
    try:
        callback(*arguments)
    except Exception:  # noqa: BLE001 (the bulkhead of the control room)
        _log.exception("a callback of the control room failed")


def _listen(address: str, port: int) -> socket.socket:
    """Open the control port; without an address on all, IPv6 and IPv4."""
    try:
        if not address and _has_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256
            )
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family, backlog=256)
    except OSError as error:
        where = f"{address or '*'}:{port}"
        raise PortInUse(
            f"the control port {where} cannot be opened ({error.strerror}): stop the program that "
            "uses it, or set another [control] port"
        ) from error


def _has_ipv6() -> bool:
    """Whether IPv6 is not only compiled in but also switched on."""
    if not socket.has_dualstack_ipv6():
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as trial:
        trial.bind(("::1", 0))
        return True
    return False
