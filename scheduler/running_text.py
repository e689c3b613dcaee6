"""The texts of this server: what a commit wants it to run, in clear and sealed.

Core: reads the store, seals with the keyring.
"""

from __future__ import annotations

from configrepo.model import ServerId
from configrepo.parser import read
from configrepo.secrets import open_document
from configrepo.store import CommitId, Store
from configrepo.writer import canonical_text
from scheduler.vault import Vault


class RunningText:
    """Implements `scheduler.applying.Texts` with the store and the keyring."""

    def __init__(self, store: Store, vault: Vault, server: ServerId) -> None:
        self._store = store
        self._vault = vault
        self._server = str(server)

    def wanted(self, commit: CommitId) -> str:
        """The effective text at a commit: canonical, sealed with the current key."""
        return self._vault.effective(self._store.files(commit), self._server)

    def opened(self, sealed: str) -> str:
        """The same text with its secrets in clear."""
        document = open_document(read(sealed).document, self._server, self._vault.keyring)
        return canonical_text(document)

    def sealed(self, clear: bytes) -> str:
        """What was read back: canonical, sealed with the current key."""
        return canonical_text(self._vault.seal_document(read(clear).document, self._server))

    def key(self) -> str:
        """Which key is the current one."""
        return self._vault.keyring.current_key_id
