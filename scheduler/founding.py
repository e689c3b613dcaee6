"""Makes a new server: keys, keyring, repository, and the first commit of its own line.

The first commit stands on the factory root, so that whatever the server holds can later
be unified with any other. Nothing counts until the record of the state directory is
written, so a making that was cut short is simply done again.

Edge: files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from configrepo.factory import FACTORY_ROOT
from configrepo.layout import files_of
from configrepo.model import Document, ServerId
from configrepo.sealing import Keyring
from configrepo.secrets import seal_document
from configrepo.sshsig import Signer
from configrepo.store import Person, RefUpdate, Store
from configrepo.words import join
from scheduler.changes import line_of
from scheduler.identity import Identity
from scheduler.state_dir import ServerRecord, StateDir


def keyring_path(state: StateDir) -> Path:
    """Where the keyring is."""
    return state.keys / "keyring.json"


def signer_of(identity: Identity, server: ServerId) -> Signer:
    """Who commits on this server."""
    return Signer(Person(f"BQN {server}", f"bqn-{server}@bqn.invalid"), identity.private_key)


def found_server(
    path: Path,
    record: ServerRecord,
    configuration: Document | None,
    hash_password: Callable[[str], str],
) -> StateDir:
    """Make the state directory of a new server.

    Args:
        path: the state directory.
        record: who the server is.
        configuration: what it holds; None for the factory default.
        hash_password: for clear passwords of users in the configuration.

    Raises:
        StateDirError: there is a server already.
        UnreadableConfig: a sealed secret in the configuration belongs to another server.
    """

    def fill(state: StateDir) -> None:
        # What a making that was cut short left behind.
        shutil.rmtree(state.repository, ignore_errors=True)
        identity = Identity.load_or_create(state.keys)
        keyring = Keyring.create()
        keyring.save(keyring_path(state))
        server = str(record.id)
        with Store.create(state.repository, signer_of(identity, record.id)) as store:
            files = store.files(FACTORY_ROOT)
            if configuration is not None:
                sealed = seal_document(configuration, server, keyring, hash_password)
                files = files_of(sealed, server)
            files.setdefault(
                f"servers/{server}/hostname.conf", join(("hostname", record.name)) + "\n"
            )
            subject = (
                "Start from the factory default"
                if configuration is None
                else "Load the configuration that this server was made with"
            )
            first = store.write_commit(
                (FACTORY_ROOT,),
                files,
                Person("app.py init", f"init@bqn-{server}.invalid"),
                subject,
                {"Server": server},
            )
            line = line_of(record.id)
            store.move((RefUpdate(line, store.ref(line), first),), "init")
            store.set_head(line)

    return StateDir.create(path, record, fill)
