"""Answers git's hooks: whether a push may move its refs, and that they are on the disk.

The gate's hooks (`scheduler/gate`) connect to a socket of the running program and hand
over who pushes, where the new objects wait, and which refs are to move. The answer to
`pre-receive` is one line, `yes` or `no SENTENCE`; the answer to `post-receive` is one
`APPACK REF COMMIT` for each ref, given only after the barrier. A program that does not
run, or does not answer, lets nothing in. The gate itself tells who fetched, who was refused,
and what git did not take; what is refused here is told in the same way
(`scheduler.gate_trail`).

The highest term accepted is on the disk before the answer is `yes`: a primary of the
past stays refused after any crash. It counts in the cluster that it was accepted in: terms
of another cluster say nothing here. What is fetched instead of received is judged by the
same rules (`judge`).

Edge: a Unix socket.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final

from configrepo import durable
from configrepo.admission import (
    CLUSTER,
    MOST_REFS,
    TOO_MANY_REFS,
    Admitted,
    Denied,
    PushFacts,
    admit,
    refusal_of_contents,
)
from configrepo.authorship import Keys
from configrepo.errors import ConfigRepoError, DiskFull
from configrepo.model import ServerId
from configrepo.store import FETCHED, PUSHED, CommitId, Limits, Store, facts_of_push
from scheduler.gate_trail import PUSH, GateNote, note_of
from scheduler.state_dir import read_json, write_json

SOCKET: Final = "receive.sock"
DISK_FULL: Final = "disk full"
_TRACE: Final = "git-"
"""What the gate has git write down, until it is certain that git took the objects."""

_READ_S: Final = 10.0
_MOST_BYTES: Final = 1 << 20
_PARALLEL: Final = 8
_AGAIN_S: Final = 0.1
_NONE: Final = "0" * 40

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the program knows when a push arrives.

    Attributes:
        following: whose `cluster` is taken: the primary, or (while this server joins) the
            server that let it in; None if this server leads or knows none.
        epoch: the term of that primary.
        members: the active members.
        joining: servers that were let in but are no members yet.
        keys: the SSH keys of all servers that are known: what they may sign with.
        cluster: the id of the cluster that this server belongs to or joins.
    """

    following: ServerId | None
    epoch: int
    members: frozenset[ServerId]
    joining: frozenset[ServerId] = frozenset()
    keys: Keys = field(default_factory=dict)
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a hook.

    `gate` is the number of the gate's process, `address` where the peer comes from, `lines`
    are git's own, `<old> <new> <ref>` each.
    """

    hook: str
    peer: ServerId
    gate: str
    address: str
    quarantine: str
    lines: tuple[str, ...]


class Receiver:
    """Listens for the hooks of this server's repository."""

    def __init__(
        self,
        state: Path,
        me: ServerId,
        store: Store,
        situation: Callable[[], Situation],
        on_received: Callable[[ServerId, tuple[str, ...]], None],
        on_gate: Callable[[GateNote], None] = lambda _: None,
    ) -> None:
        """Read what was accepted before.

        Args:
            state: the state directory; the socket is `run/receive.sock` in it.
            me: this server.
            store: its repository.
            situation: asked at each push.
            on_received: told who moved which refs, after they are on the disk.
            on_gate: told what the gate saw: who fetched, who was refused.
        """
        self._run = state / "run"
        self._record = state / "accepted.json"
        self._me = me
        self._store = store
        self._situation = situation
        self._on_received = on_received
        self._on_gate = on_gate
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_PARALLEL)
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        stored = read_json(self._record)
        self._accepted = None if stored is None else (int(stored["epoch"]), ServerId(stored["id"]))
        self._accepted_in: str | None = None if stored is None else stored.get("cluster")

    @property
    def accepted(self) -> tuple[int, ServerId] | None:
        """The term and primary of the last `cluster` that was let in, in this cluster."""
        return self._accepted if self._accepted_in == self._situation().cluster else None

    def start(self) -> None:
        """Listen."""
        self._run.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._run / SOCKET).unlink(missing_ok=True)
        for left in self._run.glob(f"{_TRACE}*"):
            left.unlink(missing_ok=True)  # of a gate that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The name of a socket is limited to 107 bytes; through the directory it is short.
        folder = os.open(self._run, os.O_RDONLY | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)
        (self._run / SOCKET).chmod(0o600)
        listener.listen(_PARALLEL)
        self._listener = listener
        self._stopping.clear()
        self._thread = threading.Thread(target=self._serve, args=(listener,), name="receive")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and wait for the answers under way; from now on nothing is let in."""
        if self._listener is None or self._thread is None:
            return
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._listener = None
        (self._run / SOCKET).unlink(missing_ok=True)
        for _ in range(_PARALLEL):
            self._slots.acquire()
        for _ in range(_PARALLEL):
            self._slots.release()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                _log.warning("a hook cannot be let in: %s", error)  # no descriptor is free
                self._stopping.wait(_AGAIN_S)
                continue
            self._slots.acquire()
            try:
                threading.Thread(
                    target=self._answer, args=(connection,), name="receive-one"
                ).start()
            except RuntimeError as error:  # no thread is free: the hook refuses without an answer
                self._slots.release()
                connection.close()
                _log.warning("a hook cannot be answered: %s", error)

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                call = _read_call(connection)
                if call is None:
                    return
                if isinstance(call, GateNote):
                    self._on_gate(call)
                elif call.hook == "pre-receive":
                    (self._run / f"{_TRACE}{call.peer}-{call.gate}").unlink(missing_ok=True)
                    said = self._may_move(call)
                    connection.sendall(said.encode())
                    self._note(call, said)
                else:
                    self._moved(call, connection)
        except (OSError, ConfigRepoError) as error:
            _log.warning("a hook was not answered: %s", error)
        except Exception:  # noqa: BLE001 (no answer is a no; the log must say why)
            _log.exception("a hook was not answered")
        finally:
            self._slots.release()

    def _may_move(self, call: _Call) -> str:
        try:
            decision = self._decide(call)
        except DiskFull:
            decision = Denied(f"{DISK_FULL}: nothing was changed")
        except (ConfigRepoError, OSError) as error:
            decision = Denied(str(error))
        match decision:
            case Admitted():
                return "yes\n"
            case Denied(sentence):
                line = " ".join(sentence.split())
                _log.warning("a push of server %d was refused: %s", call.peer, line)
                return f"no {line}\n"

    def _note(self, call: _Call, said: str) -> None:
        """Tell who pushed in vain, and why."""
        _, refused, sentence = said.partition("no ")
        if refused:
            refs = " ".join(line.rpartition(" ")[2] for line in call.lines)
            who, why = str(call.peer), f"refused: {sentence.strip()}"
            self._on_gate(GateNote(who, call.address, why, f"{PUSH} {refs}"))

    def _decide(self, call: _Call) -> Admitted | Denied:
        situation = self._situation()
        known = {*situation.members, *situation.joining, situation.following}
        if call.peer not in known:
            return Denied(f"server {call.peer} is not a member here")
        if not call.quarantine:
            return Denied("refs are never deleted")
        if len(call.lines) > MOST_REFS:
            # Before anything is gathered: each ref costs time.
            return Denied(TOO_MANY_REFS)
        place = Path(call.quarantine)
        if not place.resolve().is_relative_to((self._store.path / "objects").resolve()):
            return Denied("the objects of the push are not where they belong")
        with self._store.in_quarantine(place) as view:
            return self.judge(view, call.peer, call.lines, PUSHED)

    def judge(
        self, view: Store, peer: ServerId, lines: Sequence[str], limits: Limits = FETCHED
    ) -> Admitted | Denied:
        """Whether refs may move, as if `peer` had pushed; the caller moves them at once.

        Args:
            view: sees the new objects.
            peer: who brings them.
            lines: `<old> <new> <ref>` each.
            limits: how much may come at a time.

        Raises:
            DiskFull: the accepted term cannot be written down.
            StoreError: the objects cannot be read.
        """
        situation = self._situation()
        facts = self._facts(view, peer, lines, situation, limits)
        with self._lock:
            return self._settle(facts, situation.cluster)

    def refusal_of_fetched(
        self, view: Store, peer: ServerId, found: Mapping[str, CommitId]
    ) -> str | None:
        """Why what was fetched from `peer` cannot be kept; None if it can. No ref moves."""
        lines = [f"{self._store.ref(ref) or _NONE} {new} {ref}" for ref, new in found.items()]
        return refusal_of_contents(self._facts(view, peer, lines, self._situation(), FETCHED))

    def _facts(
        self,
        view: Store,
        peer: ServerId,
        lines: Sequence[str],
        situation: Situation,
        limits: Limits,
    ) -> PushFacts:
        joining = peer in situation.joining - situation.members
        return facts_of_push(
            view,
            lines,
            peer=peer,
            standing="joining" if joining else "member",
            me=self._me,
            following=situation.following,
            epoch=situation.epoch,
            accepted=None,
            keys=situation.keys,
            limits=limits,
        )

    def _settle(self, facts: PushFacts, cluster: str | None) -> Admitted | Denied:
        accepted = self._accepted if self._accepted_in == cluster else None
        decision = admit(replace(facts, accepted=accepted))
        match decision:
            case Admitted(accepted=new) if new is not None and new != accepted:
                record = {"epoch": new[0], "id": new[1], "cluster": cluster}
                try:
                    write_json(self._record, record)
                except OSError as error:
                    raise durable.translated(error, self._record) from error
                self._accepted, self._accepted_in = new, cluster
        return decision

    def _moved(self, call: _Call, connection: socket.socket) -> None:
        durable.barrier(self._store.path)
        moved = [tuple(line.split(" ")) for line in call.lines]
        if any(len(words) != 3 for words in moved):
            # The hook could not say all of it (a full disk): what moved is looked at, and
            # without an APPACK the other server asks again.
            _log.warning("a push of server %s told only a part of what it moved", call.peer)
            self._on_received(call.peer, (CLUSTER,))
            return
        lines = [f"APPACK {ref} {new}\n" for _, new, ref in moved]
        connection.sendall("".join(lines).encode())
        self._on_received(call.peer, tuple(ref for _, _, ref in moved))


def _read_call(connection: socket.socket) -> _Call | GateNote | None:
    """Read what a hook or the gate hands over; None if it is not that."""
    end = monotonic() + _READ_S
    data = bytearray()
    while True:
        connection.settimeout(max(end - monotonic(), 0.01))
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
        if len(data) > _MOST_BYTES:
            return None
    connection.settimeout(_READ_S)
    try:
        hook, who, quarantine, *rest = data.decode().splitlines()
        if hook == "gate":
            return note_of((who, quarantine, *rest))
        if hook not in ("pre-receive", "post-receive"):
            return None
        peer, gate, address = [*who.split(" "), "0", ""][:3]
        return _Call(hook, ServerId(int(peer)), str(int(gate)), address, quarantine, tuple(rest))
    except ValueError:
        return None
