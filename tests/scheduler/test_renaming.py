from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from configrepo.factory import FACTORY_ROOT
from configrepo.layout import document_of
from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate
from configrepo.store import Person as Author
from configrepo.writer import canonical_text
from scheduler.changes import line_of
from scheduler.renaming import Renaming
from scheduler.views import Committed, Refused
from scheduler.wire import ChangeRequest
from tests.support.small_server import ADMIN, OPERATOR, SmallServer

FIVE = ServerId(5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SmallServer]:
    made = SmallServer(tmp_path, 0)
    yield made
    made.close()


@pytest.fixture
def restarts() -> list[str]:
    return []


@pytest.fixture
def renaming(server: SmallServer, restarts: list[str]) -> Renaming:
    return Renaming(
        server.me, server.state, server.store, server.changes, lambda: restarts.append("now")
    )


def test_a_server_alone_becomes_another_id_with_what_it_runs(
    server: SmallServer, renaming: Renaming, restarts: list[str]
) -> None:
    head = server.changes.head()
    before = canonical_text(document_of(server.files(), "0"))
    outcome = renaming.alone(ADMIN, FIVE, head, "once")
    assert isinstance(outcome, Committed)
    new = server.store.ref(line_of(FIVE))
    assert new == outcome.revision
    assert canonical_text(document_of(server.store.files(CommitId(new)), "5")) == before
    assert server.store.revision(CommitId(new)).parents == (FACTORY_ROOT,)
    assert server.store.ref(line_of(server.me)) == head
    assert server.state.record().id == FIVE
    assert restarts == ["now"]


def test_what_cannot_be_is_refused_and_nothing_changes(
    server: SmallServer, renaming: Renaming, restarts: list[str]
) -> None:
    head = server.changes.head()
    for person, new_id, base in (
        (OPERATOR, FIVE, head),
        (ADMIN, ServerId(0), head),
        (ADMIN, ServerId(256), head),
        (ADMIN, FIVE, FACTORY_ROOT),
    ):
        assert isinstance(renaming.alone(person, new_id, base, "x"), Refused)
    assert server.state.record().id == 0
    assert restarts == []
    assert server.store.ref(line_of(FIVE)) is None


def test_an_id_whose_history_is_here_is_not_taken(server: SmallServer, renaming: Renaming) -> None:
    files, made = server.files(), {"Server": "5"}
    author = Author("noc", "noc@bqn-5.invalid")
    line = server.store.write_commit((FACTORY_ROOT,), files, author, "Made by BQN 5", made)
    server.store.move((RefUpdate(line_of(FIVE), None, line),), "test")
    told = renaming.plan_alone(FIVE)
    assert isinstance(told, Refused)
    assert "history of a BQN 5" in told.sentence


def test_a_member_follows_the_record_with_its_certificate(
    server: SmallServer, renaming: Renaming, restarts: list[str]
) -> None:
    own = server.record()
    other = replace(own, id=ServerId(1), certificate="QUJD")
    old, new = replace(own, state="removed"), replace(own, id=FIVE)
    assert not renaming.follow((own, other), own.certificate)
    assert not renaming.follow((old, other), own.certificate)
    assert not renaming.follow((new, other), own.certificate)
    assert restarts == []
    assert renaming.follow((old, other, new), own.certificate)
    assert server.state.record().id == FIVE
    assert restarts == ["now"]


def test_a_change_of_id_that_fails_holds_nobody_up_and_can_be_made_again(
    server: SmallServer, renaming: Renaming, restarts: list[str]
) -> None:
    record = server.state.path / "server.json"
    text = record.read_text(encoding="utf-8")
    record.unlink()
    record.mkdir()  # it cannot be written
    (record / "kept").touch()
    head = server.changes.head()
    with pytest.raises(IsADirectoryError):
        renaming.alone(ADMIN, FIVE, head, "once")
    (record / "kept").unlink()
    record.rmdir()
    record.write_text(text, encoding="utf-8")
    assert server.state.record().id == 0
    assert restarts == []
    saved = server.changes.commit(
        ChangeRequest(head, {"common/ntp.conf": None}, "Without", "r1"), ADMIN
    )
    assert isinstance(saved, Committed), saved
    outcome = renaming.alone(ADMIN, FIVE, saved.revision, "twice")
    assert isinstance(outcome, Committed), outcome
    assert server.store.ref(line_of(FIVE)) == outcome.revision
    assert "common/ntp.conf" not in server.store.files(CommitId(outcome.revision))
    assert server.state.record().id == FIVE
    assert restarts == ["now"]


@pytest.mark.parametrize("request_id", ["", "a\nTerm: 9-9", "x\x00y", "\ud800"])
def test_a_form_sent_in_a_wrong_way_is_refused_in_words(
    server: SmallServer, renaming: Renaming, request_id: str
) -> None:
    outcome = renaming.alone(ADMIN, FIVE, server.changes.head(), request_id)
    assert isinstance(outcome, Refused)
    assert server.store.ref(line_of(FIVE)) is None
    assert isinstance(renaming.alone(ADMIN, FIVE, server.changes.head(), "once"), Committed)
