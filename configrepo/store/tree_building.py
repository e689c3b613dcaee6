"""The tree of a commit: from all of its files, or from another tree and what is different.

Both give the same tree. The second reads and writes only the folders on the way to what
changed, so that a commit of one object costs little however many there are.

Core: objects of dulwich.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from dulwich.objects import Blob, ObjectID, ShaFile, Tree

from configrepo.model import Files

DIRECTORY = 0o040000
FILE = 0o100644

_Changes: TypeAlias = "dict[str, _Changes | ObjectID | None]"
"""What is different in a folder: a folder again, the id of a file, or None for gone."""


class NotAlike(Exception):
    """A folder of one tree is a file in the other: the tree is made from all files instead."""


def tree_of(files: Files) -> tuple[ObjectID, list[ShaFile]]:
    """The id of the tree of `files`, and all objects that it is made of."""
    objects: list[ShaFile] = []
    root: _Changes = {}
    for path, text in files.items():
        blob = Blob.from_string(text.encode("utf-8"))
        objects.append(blob)
        try:
            _place(root, path, blob.id)
        except NotAlike as error:
            raise ValueError(str(error)) from error
    tree = _changed(Tree(), root, objects, lambda _: Tree())
    objects.append(tree)
    return tree.id, objects


def changed_tree(
    base: ObjectID, changes: Mapping[str, ObjectID | None], load: Callable[[ObjectID], Tree]
) -> tuple[ObjectID, list[ShaFile]]:
    """The id of a tree that differs from `base` by files, and the trees that are new.

    Args:
        base: the id of the other tree.
        changes: the blobs of changed files by path; None for files that are gone.
        load: reads a tree; what it returns is changed here.

    Raises:
        NotAlike: a file takes the place of a folder, or the other way round.
    """
    root: _Changes = {}
    for path, blob in changes.items():
        _place(root, path, blob)
    objects: list[ShaFile] = []
    tree = _changed(load(base), root, objects, load)
    if tree.id != base:
        objects.append(tree)
    return tree.id, objects


def read_tree(raw: bytes) -> Tree:
    """A tree from its content, for the caller to change."""
    tree = ShaFile.from_raw_string(Tree.type_num, raw)
    assert isinstance(tree, Tree), "made as one"
    return tree


def _place(root: _Changes, path: str, blob: ObjectID | None) -> None:
    *folders, name = path.split("/")
    folder = root
    for part in folders:
        inner = folder.setdefault(part, {})
        if not isinstance(inner, dict):
            raise NotAlike(f"{path}: {part} is a file")
        folder = inner
    if isinstance(folder.get(name), dict):
        raise NotAlike(f"{path}: {name} is a folder")
    folder[name] = blob


def _changed(
    tree: Tree, changes: _Changes, objects: list[ShaFile], load: Callable[[ObjectID], Tree]
) -> Tree:
    """Change a tree, and return what it is then; new trees below go to `objects`."""
    for name, change in changes.items():
        key = name.encode()
        if isinstance(change, dict):
            _change_folder(tree, key, change, objects, load)
        elif key in tree and tree[key][0] == DIRECTORY:
            raise NotAlike(f"{name} is a folder")
        elif change is not None:
            tree[key] = (FILE, change)
        elif key in tree:
            del tree[key]
    # In one piece: dulwich hashes and compresses each entry of a changed tree by itself.
    return read_tree(b"".join(tree.as_raw_chunks()))


def _change_folder(
    tree: Tree,
    key: bytes,
    changes: _Changes,
    objects: list[ShaFile],
    load: Callable[[ObjectID], Tree],
) -> None:
    known = key in tree
    if known and tree[key][0] != DIRECTORY:
        raise NotAlike(f"{key.decode()} is a file")
    inner = tree[key][1] if known else None
    folder = _changed(Tree() if inner is None else load(inner), changes, objects, load)
    if len(folder) == 0:
        if known:
            del tree[key]
    elif folder.id != inner:
        objects.append(folder)
        tree[key] = (DIRECTORY, folder.id)
