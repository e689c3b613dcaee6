"""The hash that each server must report when it runs a commit.

A hash belongs to what a server runs: the common part and its own one. Both are known by
the ids of their trees, so what did not change between two commits is not read again, and
servers with equal parts share one answer. The common part is prepared once for all.

Core: reads the store, seals with the keyring.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from configrepo.effective import CommonPart
from configrepo.errors import UnreadableConfig
from configrepo.layout import server_of
from configrepo.model import Files, ServerId
from configrepo.remembered import Remembered
from configrepo.sealing import Keyring
from configrepo.store import CommitId, Store

_MOST = 8_192
"""How many hashes are remembered: those of 255 servers for some sixteen commits."""

_NONE = ""
"""Remembered for what cannot be read with the keys that are here."""


class ExpectedHashes:
    """Works out the hashes; safe for threads.

    Args:
        store: the repository.
        keyring: the keys now; another ring means other texts.
        reseal: seals tokens anew with the current key.
    """

    def __init__(
        self,
        store: Store,
        keyring: Callable[[], Keyring],
        reseal: Callable[[Files], Files],
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._reseal = reseal
        self._guard = threading.Lock()
        self._forget(keyring())

    def _forget(self, ring: Keyring) -> None:
        self._ring = ring
        self._hashes: Remembered[tuple[str, str], str] = Remembered(_MOST)
        self._common: tuple[str, CommonPart | None] | None = None

    def at(self, commit: CommitId, servers: Iterable[ServerId]) -> Mapping[ServerId, str]:
        """The hash of each server; those whose part cannot be read are left out.

        A commit can arrive before the key that it is sealed with.
        """
        common = self._store.folders(commit).get("common", "")
        own = self._store.folders(commit, "servers")
        with self._guard:
            if (ring := self._keyring()) is not self._ring:
                self._forget(ring)
            keys = {server: (common, own.get(str(server), "")) for server in servers}
            found = {server: self._hashes.get(key) for server, key in keys.items()}
            missing = {server: keys[server] for server, known in found.items() if known is None}
            if missing:
                found.update(self._made(commit, missing))
        return {server: value for server, value in found.items() if value}

    def _made(
        self, commit: CommitId, missing: Mapping[ServerId, tuple[str, str]]
    ) -> dict[ServerId, str]:
        common: dict[str, str] = {}
        own: dict[str, dict[str, str]] = {str(server): {} for server in missing}
        for path, text in self._store.files(commit).items():
            if path.startswith("common/"):
                common[path] = text
            elif (folder := server_of(path)) in own:
                own[folder][path] = text
        made: dict[tuple[str, str], str] = {}
        for server, key in missing.items():
            if key not in made:
                part = self._common_part(key[0], common)
                value = _NONE if part is None else self._hash(part, own[str(server)], str(server))
                made[key] = self._hashes.keep(key, value, 1)
        return {server: made[key] for server, key in missing.items()}

    def _common_part(self, tree: str, files: Files) -> CommonPart | None:
        if self._common is None or self._common[0] != tree:
            self._common = (tree, None)
            with suppress(UnreadableConfig):
                self._common = (tree, CommonPart(self._reseal(files)))
        return self._common[1]

    def _hash(self, common: CommonPart, own: Files, server: str) -> str:
        digest = hashlib.sha256()
        try:
            for piece in common.text_with(self._reseal(own), server):
                digest.update(piece)
        except UnreadableConfig:
            return _NONE
        return digest.hexdigest()
