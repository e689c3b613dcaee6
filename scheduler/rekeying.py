"""The key that seals, changed while the cluster runs.

1. The primary makes a new key and gives it to the remaining servers, over mutual TLS;
   with it they can open, but nobody seals with it yet.
2. The commit names it (`cluster/cluster.conf`) and holds every secret sealed with it.
3. Whoever gets the commit seals with it from then on; who does not have the key asks the
   other members for it, again and again.

So a server that was away gets the key when it is back, and a server that was removed never
does: the members answer only those whose certificate is pinned. A key that was given away
before a commit that did not come about does no harm: nothing is sealed with it. Keys are
taken only from the primary: another member could give so many that no new key fits. What
was asked for is bounded too: of others than the primary only the key that is missing is
taken, and of the primary only that one where all of its keys would be too many.

Core: the network is behind a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from configrepo.cluster_settings import cluster_settings
from configrepo.members import Member
from configrepo.model import Files, ServerId
from configrepo.sealing import Keyring
from scheduler.errors import RemoteRefused, SchedulerError
from scheduler.submission import Call
from scheduler.vault import Vault

ROUTE = "/keyring"
MOST_KEYS = 4096
_PARALLEL = 8
_TIMEOUT_S = 4.0


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made: who has it, and (with the cause) who does not have it yet."""

    id: str
    given: tuple[ServerId, ...]
    missing: Mapping[ServerId, str]


class Rekeying:
    """Changes and fetches the key of the cluster, for one server."""

    def __init__(
        self,
        vault: Vault,
        newest: Callable[[], Files],
        others: Callable[[], Sequence[Member]],
        call: Call,
        leader: Callable[[], ServerId | None],
    ) -> None:
        """Wire it.

        Args:
            vault: the keyring in use.
            newest: the files of the newest commit here.
            others: the other active members, the primary first.
            call: asks a member over mutual TLS.
            leader: the primary that this server follows; None if it leads or there is none.
        """
        self._vault = vault
        self._newest = newest
        self._others = others
        self._call = call
        self._leader = leader

    def new_key(self, to: Sequence[Member]) -> NewKey:
        """Make a key and give it to these servers; nothing is sealed with it yet."""
        key_id = self._vault.add_key()
        body = {"keyring": self._vault.keyring.to_json()}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            causes = dict(pool.map(lambda member: (member.id, self._give(member, body)), to))
        return NewKey(
            key_id,
            tuple(server for server, cause in causes.items() if cause is None),
            {server: cause for server, cause in causes.items() if cause is not None},
        )

    def _give(self, member: Member, body: Mapping[str, Any]) -> str | None:
        try:
            self._call(member, ROUTE, body, _TIMEOUT_S)
        except SchedulerError as error:
            return str(error)
        return None

    def answer(self, asker: ServerId, body: Mapping[str, Any]) -> dict[str, Any]:
        """The primary gives its keys (`keyring`), or a member asks. RPC route `/keyring`.

        Raises:
            RemoteRefused: what is given is not a keyring, or not given by the primary.
        """
        if "keyring" in body:
            if asker != self._leader():
                raise RemoteRefused("keys are taken from the primary only")
            ring = _read(body["keyring"])
            if not self._fits(ring):
                raise RemoteRefused(f"a keyring has at most {MOST_KEYS} keys")
            self._vault.take_in(ring)
            return {}
        return {"keyring": self._vault.keyring.to_json()}

    def settle(self) -> bool:
        """Seal with the key that the newest commit names; False if it is not here."""
        wanted = cluster_settings(self._newest()).sealing_key
        return wanted is None or self._vault.seal_with(wanted)

    def fetch(self) -> str:
        """Ask the others for a key that is missing; a job. Returns what it did."""
        wanted = cluster_settings(self._newest()).sealing_key
        if wanted is None or self._vault.seal_with(wanted):
            return "the key of the cluster is here"
        causes: list[str] = []
        for member in self._others():
            try:
                ring = _read(self._call(member, ROUTE, {}, _TIMEOUT_S).get("keyring"))
                self._take_in(ring, wanted, everything=member.id == self._leader())
            except SchedulerError as error:
                causes.append(f"BQN {member.id}: {error}")
                continue
            if self._vault.seal_with(wanted):
                return f"BQN {member.id} gave the key of the cluster"
        return f"nobody gave the key of the cluster ({'; '.join(causes)})"

    def _take_in(self, ring: Keyring, wanted: str, *, everything: bool) -> None:
        """Former keys open old revisions; who is not the primary gives none of them."""
        if everything and self._fits(ring):
            self._vault.take_in(ring)
        elif wanted in ring.keys:
            self._vault.take_in(ring.only(wanted))

    def _fits(self, ring: Keyring) -> bool:
        return len({*ring.keys, *self._vault.keyring.keys}) <= MOST_KEYS


def _read(stored: object) -> Keyring:
    try:
        ring = Keyring.from_json(str(stored))
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteRefused("the keyring cannot be read") from error
    if len(ring.keys) > MOST_KEYS:
        raise RemoteRefused(f"a keyring has at most {MOST_KEYS} keys")
    return ring
