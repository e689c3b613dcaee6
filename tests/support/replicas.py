"""Servers with a real repository, a real sshd, the real gate and the real receiver.

Edge: processes, files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from queue import Queue

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.factory import FACTORY_ROOT
from configrepo.model import ServerId
from configrepo.sshsig import Signer
from configrepo.store import CommitId, Person, RefUpdate, Store
from scheduler.authorized_keys import MEMBER, KeyHolder, Verb
from scheduler.gate_trail import GateNote
from scheduler.receiving import Receiver, Situation
from scheduler.ssh import SshLimits, SshPool, SshTarget
from scheduler.sshd import account
from tests.support.sshd import SshServer, public_line

CLUSTER = "refs/heads/cluster"
ROOT = CommitId(FACTORY_ROOT)


class Replica:
    """One server that can send and receive."""

    def __init__(self, folder: Path, server: int) -> None:
        self.id = ServerId(server)
        self.term = 1
        self.state = folder / f"server{server}"
        self.state.mkdir()
        self.key = Ed25519PrivateKey.generate()
        self.person = Person(f"BQN {server}", f"bqn{server}@example.net")
        self.store = Store.create(self.state / "config.git", Signer(self.person, self.key))
        self.situation = Situation(None, 0, frozenset(), keys=self.keys())
        self.received: list[tuple[int, tuple[str, ...]]] = []
        self.told: Queue[GateNote] = Queue()
        self.pool = SshPool(self.key, account(), SshLimits(3.0, 6.0, 5.0, 30.0))
        self.receiver = Receiver(
            self.state,
            self.id,
            self.store,
            lambda: self.situation,
            lambda peer, refs: self.received.append((peer, refs)),
            self.told.put,
        )
        self._sshd: SshServer | None = None

    @property
    def sshd(self) -> SshServer:
        """The sshd, after `listen`."""
        assert self._sshd is not None
        return self._sshd

    def keys(self, *others: Replica) -> dict[ServerId, frozenset[str]]:
        """What this server and others sign with."""
        return {one.id: frozenset({public_line(one.key)}) for one in (self, *others)}

    def listen(self, *others: Replica, verbs: tuple[Verb, ...] = MEMBER) -> None:
        """Let others in, and start to receive."""
        holders = tuple(KeyHolder(other.id, public_line(other.key), verbs) for other in others)
        self._sshd = SshServer(self.state, holders)
        self.receiver.start()

    def follow(self, primary: Replica | None, epoch: int = 1, *others: Replica) -> None:
        """Take `cluster` from this primary from now on."""
        members = frozenset(one.id for one in (self, *others, *([primary] if primary else [])))
        known = self.keys(*others, *([primary] if primary else []))
        following = None if primary is None else primary.id
        self.situation = Situation(following, epoch, members, keys=known)

    def let_join(self, *joining: Replica) -> None:
        """Let servers in that are no members yet."""
        known = {**self.situation.keys, **self.keys(*joining)}
        ids = frozenset(one.id for one in joining)
        self.situation = replace(self.situation, joining=ids, keys=known)

    def target(self) -> SshTarget:
        """How the others reach this server."""
        return self.sshd.target(self.id)

    def commit(self, text: str, ref: str = CLUSTER) -> CommitId:
        """Commit another `ntp` block on a ref."""
        old = self.store.ref(ref)
        parent = old or ROOT
        files = {**self.store.files(parent), "common/ntp.conf": f"ntp\n server {text}\n"}
        return self.commit_files(files, ref)

    def commit_files(self, files: dict[str, str], ref: str = CLUSTER) -> CommitId:
        """Commit these files on a ref."""
        old = self.store.ref(ref)
        trailers = {"Server": str(self.id), "Term": f"{self.term}-{self.id}"}
        new = self.store.write_commit([old or ROOT], files, self.person, "Change", trailers)
        self.store.move([RefUpdate(ref, old, new)], "test")
        return new

    def close(self) -> None:
        """Stop everything."""
        self.pool.close()
        self.receiver.stop()
        if self._sshd is not None:
            self._sshd.stop()
        self.store.close()
