"""What is worked out before anybody commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from configrepo.sealing import Keyring
from configrepo.store import CommitId, RefUpdate
from scheduler.changes import line_of
from scheduler.preparing import Preparing
from scheduler.views import Committed
from scheduler.wire import ChangeRequest
from tests.support.counting import calls_of
from tests.support.small_server import OPERATOR, SmallServer

OBJECTS = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SmallServer]:
    """A server whose newest commit has objects that this process never read."""
    small = SmallServer(tmp_path, 0)
    bring(small, {f"fresh-{uuid4().hex}": 1000 for _ in range(OBJECTS)})
    yield small
    small.close()


def rate(name: str, value: int) -> dict[str, str]:
    text = f"policy rate {name}\n downlink rate {value}\n"
    return {f"common/policy/rate/{name}.conf": text}


def bring(server: SmallServer, rates: dict[str, int]) -> None:
    """A commit that comes from elsewhere: nothing of it is read on the way."""
    files = {**server.files()}
    for name, value in rates.items():
        files |= rate(name, value)
    head = server.changes.head()
    assert server.store.signer is not None
    author = server.store.signer.committer
    new = server.store.write_commit([head], files, author, "Bring", {})
    server.store.move([RefUpdate(line_of(server.me), head, new)], "test")


def files_read(act: Callable[[], object]) -> int:
    """How many texts were read as configuration meanwhile."""
    return calls_of(act, "read", "configrepo/parser.py")


def commit(server: SmallServer) -> None:
    changes: dict[str, str | None] = {**rate("mine", 5)}
    request = ChangeRequest(server.changes.head(), changes, "Change", uuid4().hex)
    assert isinstance(server.changes.commit(request, OPERATOR), Committed)


def test_the_first_commit_reads_only_what_it_changes(server: SmallServer) -> None:
    assert Preparing(server.changes).run() is not None
    assert files_read(lambda: commit(server)) <= 2


def test_without_that_it_reads_everything(server: SmallServer) -> None:
    assert files_read(lambda: commit(server)) >= OBJECTS


def test_a_commit_is_prepared_once_and_the_next_one_costs_what_is_new(server: SmallServer) -> None:
    preparing = Preparing(server.changes)
    said = preparing.run()
    assert said == f"{server.changes.head()[:10]} is read and checked"
    assert preparing.run() is None
    bring(server, {f"fresh-{uuid4().hex}": 1000})
    told: list[str | None] = []
    assert files_read(lambda: told.append(preparing.run())) == 1
    assert told == [f"{server.changes.head()[:10]} is read and checked"]


def test_files_that_are_wrong_are_no_reason_to_fail(server: SmallServer) -> None:
    head = server.changes.head()
    assert server.store.signer is not None
    files = {**server.files(), "common/ntp.conf": "clock\n"}
    new = server.store.write_commit([head], files, server.store.signer.committer, "Bad", {})
    server.store.move([RefUpdate(line_of(server.me), head, CommitId(new))], "test")
    assert Preparing(server.changes).run() == f"{new[:10]} is read and checked"


def test_a_commit_whose_key_is_missing_is_tried_once(server: SmallServer) -> None:
    head = server.changes.head()
    assert server.store.signer is not None
    token = Keyring.create().seal("common/snmp.conf", "community", "x")
    files = {**server.files(), "common/snmp.conf": f"snmp\n community {token}\n"}
    new = server.store.write_commit([head], files, server.store.signer.committer, "Sealed", {})
    server.store.move([RefUpdate(line_of(server.me), head, CommitId(new))], "test")
    preparing = Preparing(server.changes)
    said = preparing.run()
    assert said is not None
    assert said.startswith(f"{new[:10]} cannot be prepared: ")
    assert preparing.run() is None
