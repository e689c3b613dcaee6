"""The texts of this server: what a commit wants it to run, in clear and sealed.

A large configuration takes long to read. What was written here last is known as a document
too (`read(canonical_text(d))` is `d`), so it is read only where somebody else wrote it.

Core: reads the store, seals with the keyring.
"""

from __future__ import annotations

from configrepo.model import Document, ServerId
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
        self._wanted: tuple[str, Document] = ("", Document())
        self._opened: tuple[bytes, Document] = (b"", Document())

    def wanted(self, commit: CommitId) -> str:
        """The effective text at a commit: canonical, sealed with the current key."""
        document = self._vault.effective(self._store.files(commit), self._server)
        text = canonical_text(document)
        self._wanted = text, document
        return text

    def opened(self, sealed: str) -> str:
        """The same text with its secrets in clear."""
        text, document = self._wanted
        if text != sealed:
            document = read(sealed).document
        clear = open_document(document, self._server, self._vault.keyring)
        opened = canonical_text(clear)
        self._opened = opened.encode(), clear
        return opened

    def sealed(self, clear: bytes) -> str:
        """What was read back: canonical, sealed with the current key."""
        data, document = self._opened
        if data != clear:
            document = read(clear).document
        return canonical_text(self._vault.seal_document(document, self._server))

    def key(self) -> str:
        """Which key is the current one."""
        return self._vault.keyring.current_key_id
