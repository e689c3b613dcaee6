from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from dulwich.objects import Blob, ObjectID, ShaFile, Tree, TreeEntry
from hypothesis import given
from hypothesis import strategies as st

from configrepo.store.tree_building import NotAlike, changed_tree, tree_of
from tests.support.repositories import new_store, real_git

PLACES = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "a.b/", "c/") for name in "xyz"]
TREES = st.dictionaries(st.sampled_from(PLACES), st.sampled_from(["1\n", "2\n", "3\n"]))


class Shelf:
    """Objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[ObjectID, bytes] = {Tree().id: b""}

    def put(self, made: tuple[ObjectID, list[ShaFile]]) -> ObjectID:
        tree, objects = made
        self.objects |= {one.id: one.as_raw_string() for one in objects}
        return tree

    def load(self, name: ObjectID) -> bytes:
        return self.objects[name]

    def items(self, name: ObjectID) -> list[TreeEntry]:
        tree = ShaFile.from_raw_string(Tree.type_num, self.objects[name])
        assert isinstance(tree, Tree)
        return tree.items()


def between(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, ObjectID | None]:
    paths = [path for path in {*before, *after} if before.get(path) != after.get(path)]
    return {p: Blob.from_string(after[p].encode()).id if p in after else None for p in paths}


@given(TREES, TREES)
def test_a_changed_tree_is_the_tree_of_all_files_and_nothing_of_it_is_missing(
    before: dict[str, str], after: dict[str, str]
) -> None:
    shelf = Shelf()
    base = shelf.put(tree_of(before))
    made = shelf.put(changed_tree(base, between(before, after), shelf.load))
    assert made == tree_of(after)[0]
    todo = [made]
    while todo:
        for item in shelf.items(todo.pop()):
            if item.mode == 0o040000:
                todo.append(item.sha)


@pytest.mark.parametrize(
    "changes", [{"a": "1\n"}, {"a/b": "1\n"}, {"c/x/deeper": "1\n"}, {"d": "1\n", "d/e": "1\n"}]
)
def test_a_file_in_the_place_of_a_folder_is_told(changes: dict[str, str]) -> None:
    shelf = Shelf()
    base = shelf.put(tree_of({"a/b/x": "1\n", "c/x": "1\n"}))
    with pytest.raises(NotAlike):
        changed_tree(base, between({}, changes), shelf.load)


def test_the_same_path_as_file_and_folder_is_no_tree() -> None:
    with pytest.raises(ValueError, match="is a f"):
        tree_of({"a": "1\n", "a/b": "1\n"})
    with pytest.raises(ValueError, match="is a f"):
        tree_of({"a/b": "1\n", "a": "1\n"})


def test_git_reads_the_commits_that_were_made_from_others(tmp_path: Path) -> None:
    steps = [
        {"common/policy/rate/b.conf": "b\n", "common/ntp.conf": "ntp\n"},
        {"common/policy/rate/a.conf": "a\n", "common/policy/rate/b.conf": "c\n"},
        {"servers/0/hostname.conf": "h\n", "common/policy/rate/a.conf": "a\n"},
        {"common.conf": "file\n", "servers/0/hostname.conf": "h\n"},
        {"common/ntp.conf": "a folder again\n"},
    ]
    with new_store(tmp_path / "config.git") as store:
        head = None
        for files in steps:
            assert store.signer is not None
            parents = () if head is None else (head,)
            who = store.signer.committer
            head = store.write_commit(parents, files, who, "Change", {})
            listed = real_git(store.path, "ls-tree", "-r", "--name-only", head).splitlines()
            assert listed == list(store.files(head)) == list(store.entries(head))
            assert store.files(head) == files
            for path, text in files.items():
                assert real_git(store.path, "show", f"{head}:{path}") == text.strip()
        assert store.fsck() is None
