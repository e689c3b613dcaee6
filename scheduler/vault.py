"""The keyring of this server in use: seals what comes in, opens what is applied.

Sealing is deterministic per place and key, so two trees written with the current key can
be compared as they are. A tree that was sealed with a former key is sealed anew first. A
tree that names its key (`configrepo.cluster_settings`) is committed sealed with that one.

Edge: the keyring file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from configrepo.cluster_settings import cluster_settings
from configrepo.layout import document_of
from configrepo.model import Document, Files
from configrepo.sealing import Keyring
from configrepo.secrets import reseal_files, seal_document, seal_files


class Vault:
    """Holds the keyring; safe for threads.

    Args:
        path: the keyring file; it exists since the state directory was made.
        hash_password: turns the clear password of a user into its argon2id hash.
    """

    def __init__(self, path: Path, hash_password: Callable[[str], str]) -> None:
        self._path = path
        self._hash_password = hash_password
        self._guard = threading.Lock()
        self._keyring = Keyring.load(path)

    @property
    def keyring(self) -> Keyring:
        """The keys of this server or its cluster."""
        return self._keyring

    def keep(self, keyring: Keyring) -> None:
        """Use another keyring from now on; it is on the disk before this returns."""
        with self._guard:
            keyring.save(self._path)
            self._keyring = keyring

    def add_key(self) -> str:
        """Make one more key, which only opens as yet; returns its id."""
        with self._guard:
            ring, key_id = self._keyring.with_new_key()
            self._save(ring)
            return key_id

    def take_in(self, other: Keyring) -> None:
        """Open with the keys of `other` too; the key that seals stays the same."""
        with self._guard:
            self._save(self._keyring.merged_with(other))

    def seal_with(self, key_id: str) -> bool:
        """Seal with that key from now on; False if it is not here."""
        with self._guard:
            if key_id not in self._keyring.keys:
                return False
            self._save(self._keyring.sealing_with(key_id))
            return True

    def _save(self, keyring: Keyring) -> None:
        if keyring != self._keyring:
            keyring.save(self._path)
            self._keyring = keyring

    def seal_document(self, document: Document, server: str) -> Document:
        """The document with every secret sealed by the current key.

        Raises:
            UnreadableConfig: a sealed token that no key opens, at its place.
        """
        return seal_document(document, server, self._keyring, self._hash_password)

    def seal(self, path: str, key: str, clear: str) -> str:
        """Seal one word for its place."""
        return self._keyring.seal(path, key, clear)

    def open(self, path: str, key: str, token: str) -> str:
        """Open one word at its place. Raises UnknownKey."""
        return self._keyring.open(path, key, token)

    def reseal(self, files: Files) -> dict[str, str]:
        """The files with every token sealed by the current key."""
        return reseal_files(files, self._keyring)

    def seal_files(self, files: Files) -> dict[str, str]:
        """The files with every secret sealed, also those in clear, by the key that they name."""
        ring, named = self._keyring, cluster_settings(files).sealing_key
        if named is not None and named in ring.keys:
            ring = ring.sealing_with(named)
        return seal_files(files, ring, self._hash_password)

    def effective(self, files: Files, server: str) -> Document:
        """What `server` runs with these files, sealed by the current key."""
        scope = ("common/", f"servers/{server}/")
        return document_of(
            self.reseal({p: t for p, t in files.items() if p.startswith(scope)}), server
        )
