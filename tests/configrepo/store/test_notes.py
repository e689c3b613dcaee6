from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configrepo.errors import StoreError
from configrepo.revision import CommitId
from configrepo.sshsig import public_line
from configrepo.store import Store
from tests.support.repositories import KEY, LINE, line_of, new_store, real_git

NOTES = "refs/notes/apply-0"
BY = {"Server": "0"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "store.git") as store:
        yield store


def test_real_git_reads_the_notes(store: Store) -> None:
    first, second = line_of(store, 2)
    store.write_note(NOTES, first, "applied\n", BY)
    store.write_note(NOTES, second, "failed\n", BY)
    assert real_git(store.path, "notes", "--ref=apply-0", "show", first) == "applied"
    log = real_git(store.path, "log", "--notes=apply-0", "--format=%N", LINE)
    assert [line for line in log.splitlines() if line] == ["failed", "applied"]
    assert store.fsck() is None


def test_a_note_can_grow_and_its_history_stays(store: Store) -> None:
    (first,) = line_of(store)
    store.write_note(NOTES, first, "one\n", BY)
    newest = store.write_note(NOTES, first, "one\ntwo\n", BY)
    assert store.note(NOTES, first) == "one\ntwo\n"
    assert real_git(store.path, "rev-list", "--count", NOTES) == "2"
    assert store.signed_by(newest) == public_line(KEY.public_key())
    assert store.revision(newest).trailers == BY


def test_what_has_no_note_has_none(store: Store) -> None:
    first, second = line_of(store, 2)
    assert store.note(NOTES, first) is None
    store.write_note(NOTES, first, "x\n", BY)
    assert store.note(NOTES, second) is None
    assert store.note(NOTES, CommitId(first[:2] + second[2:])) is None


def test_many_notes_stay_readable(store: Store) -> None:
    made = line_of(store, 12)
    for number, one in enumerate(made):
        store.write_note(NOTES, one, f"{number}\n", BY)
    assert [store.note(NOTES, one) for one in made] == [f"{n}\n" for n in range(12)]
    assert len(real_git(store.path, "notes", "--ref=apply-0", "list").splitlines()) == 12


def test_a_store_that_only_reads_writes_no_note(store: Store) -> None:
    (first,) = line_of(store)
    with Store.open(store.path, None) as reader, pytest.raises(StoreError, match="reading"):
        reader.write_note(NOTES, first, "x\n", BY)
