"""Servers that were made alone become one cluster, before any of them runs.

It writes what a joining leaves behind; the joining itself is tested elsewhere.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from configrepo.layout import files_of
from configrepo.members import Member, member_file, with_allowed_signers
from configrepo.model import ServerId
from configrepo.parser import read
from configrepo.store import CommitId, RefUpdate
from configrepo.store import Person as Author
from scheduler.changes import CLUSTER, line_of, term_ref
from tests.support.small_server import SmallServer

CLUSTER_ID = "c0ffee00" * 4


def found_cluster(
    servers: Sequence[SmallServer], records: Sequence[Member], common: str
) -> CommitId:
    """Put the servers with these records and this common configuration together; closes them."""
    first = servers[0]
    files: dict[str, str] = {}
    for server, record in zip(servers, records, strict=True):
        files |= {p: t for p, t in server.files().items() if not p.startswith("common/")}
        files |= dict([member_file(record)])
    files |= files_of(read(common.encode()).document, "0")
    commit = first.store.write_commit(
        (first.changes.head(),),
        with_allowed_signers(first.vault.seal_files(files)),
        Author("test", "test@bqn.invalid"),
        "The cluster of a test",
        {"Server": "0", "Term": "1-0"},
    )
    updates = (
        RefUpdate(term_ref(1, ServerId(0)), None, commit),
        RefUpdate(CLUSTER, None, commit),
    )
    for server in servers[1:]:
        _bring_line(server, first)
    for server in servers:
        _bring(first, server, commit)
        server.store.move(updates, "test")
        server.store.set_head(CLUSTER)
        server.state.set_cluster(CLUSTER_ID)
        server.vault.keep(first.vault.keyring)
    for server in servers:
        server.close()
    return commit


def _bring_line(server: SmallServer, first: SmallServer) -> None:
    """What the joining leaves behind: the line of each server is at the first one."""
    line = line_of(server.me)
    git = ["git", "-C", str(first.store.path), "-c", "protocol.file.allow=always"]
    subprocess.run([*git, "fetch", "-q", str(server.store.path), line], check=True)
    first.store.move((RefUpdate(line, None, server.changes.head()),), "test")


def _bring(first: SmallServer, server: SmallServer, commit: CommitId) -> None:
    if server is first:
        return
    first.store.move((RefUpdate("refs/heads/lent", None, commit),), "test")
    git = ["git", "-C", str(server.store.path), "-c", "protocol.file.allow=always"]
    subprocess.run([*git, "fetch", "-q", str(first.store.path), "refs/heads/lent"], check=True)
    first.store.move((RefUpdate("refs/heads/lent", commit, None),), "test")
