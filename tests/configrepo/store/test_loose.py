from __future__ import annotations

import random
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from configrepo.revision import CommitId
from configrepo.store import Store
from configrepo.store.intake import brought_by
from configrepo.store.loose import Loose
from tests.support.repositories import ANA, SIGNER, commit, line_of, new_store, policy

CLUSTER = "refs/heads/cluster"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "here.git") as store:
        line_of(store, 2, ref=CLUSTER)
        yield store


@pytest.fixture
def there(here: Store, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(here.path, tmp_path / "there.git")
    with Store.open(tmp_path / "there.git", SIGNER) as store:
        yield store


def unpacked(here: Store, there: Store) -> Path:
    """What `there` has and `here` has not, as git's receive-pack unpacks a small push."""
    place = Path(mkdtemp(prefix="tmp_objdir-incoming-", dir=here.path / "objects"))
    objects = there.path / "objects"
    for file in objects.glob("[0-9a-f][0-9a-f]/*"):
        inside = file.relative_to(objects)
        if not (here.path / "objects" / inside).exists():
            (place / inside).parent.mkdir(exist_ok=True)
            shutil.copy(file, place / inside)
    return place


def head(store: Store) -> CommitId:
    found = store.ref(CLUSTER)
    assert found is not None
    return found


def grown(there: Store) -> list[CommitId]:
    """A fork and a merge on top of `cluster`; the last one is the tip."""
    old = head(there)
    left = commit(there, old, "left", policy(7))
    right = commit(there, old, "right", policy(8))
    both = {**there.files(left), **policy(8)}
    return [old, left, right, there.write_commit([left, right], both, ANA, "both", {})]


def test_what_a_push_brings_is_the_same_as_git_says(here: Store, there: Store) -> None:
    old, left, right, merge = grown(there)
    place = unpacked(here, there)
    with here.in_quarantine(place) as view:
        quick = brought_by(here.path, view.objects, [merge], place)
        (place / "pack").mkdir()
        (place / "pack" / "unknown").touch()  # git is asked where there is a pack
        slow = brought_by(here.path, view.objects, [merge], place)
    assert set(quick.commits) == set(slow.commits) == {left, right, merge}
    assert quick.commits[-1] == merge
    assert sorted(quick.files, key=repr) == sorted(slow.files, key=repr)
    assert (quick.kinds, quick.largest_blob, quick.most_entries) == (
        slow.kinds,
        slow.largest_blob,
        slow.most_entries,
    )
    assert old not in quick.commits


def test_a_header_behind_large_tables_of_the_compression_is_read(
    here: Store, tmp_path: Path
) -> None:
    rare = random.Random(1)
    content = bytes(min(255, int(rare.expovariate(1 / 40))) for _ in range(8000))
    (tmp_path / "q" / "ab").mkdir(parents=True)
    data = zlib.compress(b"tree %d\0" % len(content) + content, 9)
    assert not zlib.decompressobj().decompress(data[:64])
    (tmp_path / "q" / "ab" / ("c" * 38)).write_bytes(data)
    loose = Loose.in_directory(here.objects, tmp_path / "q")
    assert loose is not None
    assert loose.sizes == {"ab" + "c" * 38: ("tree", len(content))}


def test_kinds_growth_and_commits_are_read_without_git(here: Store, there: Store) -> None:
    old, left, right, merge = grown(there)
    place = unpacked(here, there)
    with here.in_quarantine(place) as view:
        loose = Loose.in_directory(view.objects, place)
        assert loose is not None
        assert loose.kinds_of([merge]) == {merge: "commit"}
        assert loose.kinds_of([merge, old]) is None
        assert loose.grows(old, merge)
        assert loose.grows(left, merge)
        assert not loose.grows(right, left)
        assert loose.commits([merge]) is not None


def test_a_parent_that_no_ref_points_to_is_for_git(here: Store, there: Store) -> None:
    between = commit(there, head(there), "between", policy(7))
    shutil.copytree(unpacked(here, there), here.path / "objects", dirs_exist_ok=True)
    tip = commit(there, between, "tip", policy(8))
    place = unpacked(here, there)
    with here.in_quarantine(place) as view:
        loose = Loose.in_directory(view.objects, place)
        assert loose is not None
        assert loose.commits([tip]) is None
        assert set(brought_by(here.path, view.objects, [tip], place).commits) == {between, tip}


@pytest.mark.parametrize("content", [b"", b"not zlib", zlib.compress(b"strange 5\0hello")])
def test_what_is_no_object_is_for_git(here: Store, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "q" / "ab").mkdir(parents=True)
    (tmp_path / "q" / "ab" / ("c" * 38)).write_bytes(content)
    assert Loose.in_directory(here.objects, tmp_path / "q") is None


def test_other_names_and_no_quarantine_are_for_git(here: Store, tmp_path: Path) -> None:
    (tmp_path / "q" / "info").mkdir(parents=True)
    assert Loose.in_directory(here.objects, tmp_path / "q") is None
    assert Loose.in_directory(here.objects, tmp_path / "missing") is None
    assert Loose.in_directory(here.objects, None) is None
