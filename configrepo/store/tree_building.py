"""The tree of a commit: from all of its files, or from another tree and what is different.

Both give the same tree. The second reads and writes only the folders on the way to what
changed, so that a commit of one object costs little however many there are. A folder is
changed as git stores it (`mode name NUL id`, sorted by name, that of a folder as if it ended
with `/`): taken apart and put together by dulwich, one of 5,000 files costs ten times as much.

Core: objects of dulwich.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from dulwich.objects import Blob, ObjectID, ShaFile, Tree

from configrepo.model import Files

DIRECTORY = 0o040000
FILE = 0o100644
_FOLDER_MODE: Final = b"40000"
_FILE_MODE: Final = b"100644"
_ENTRY: Final = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)

_Entries: TypeAlias = dict[bytes, tuple[bytes, bytes]]
"""What is in a folder: mode and id (as 20 bytes) by name."""

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
    tree = _Whole.of(_changed(b"", root, objects, lambda _: b""))
    objects.append(tree)
    return tree.id, objects


def changed_tree(
    base: ObjectID, changes: Mapping[str, ObjectID | None], load: Callable[[ObjectID], bytes]
) -> tuple[ObjectID, list[ShaFile]]:
    """The id of a tree that differs from `base` by files, and the trees that are new.

    Args:
        base: the id of the other tree.
        changes: the blobs of changed files by path; None for files that are gone.
        load: reads a tree, as it is stored.

    Raises:
        NotAlike: a file takes the place of a folder, or the other way round.
    """
    root: _Changes = {}
    for path, blob in changes.items():
        _place(root, path, blob)
    objects: list[ShaFile] = []
    tree = _Whole.of(_changed(load(base), root, objects, load))
    if tree.id != base:
        objects.append(tree)
    return tree.id, objects


class _Whole(Tree):
    """A tree to be written as it is; nobody asks for its entries."""

    @classmethod
    def of(cls, raw: bytes) -> _Whole:
        tree = cls()
        tree.set_raw_string(raw)
        return tree

    def _deserialize(self, chunks: Iterable[bytes]) -> None:
        """Leave it whole."""


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
    raw: bytes, changes: _Changes, objects: list[ShaFile], load: Callable[[ObjectID], bytes]
) -> bytes:
    """Change a folder, and return what it is then; new folders below go to `objects`."""
    entries = _entries(raw)
    for name, change in changes.items():
        key = name.encode()
        mode, _ = entries.get(key, (b"", b""))
        if isinstance(change, dict):
            _change_folder(entries, key, change, objects, load)
        elif mode == _FOLDER_MODE:
            raise NotAlike(f"{name} is a folder")
        elif change is not None:
            entries[key] = (_FILE_MODE, _short(change))
        else:
            entries.pop(key, None)
    return _joined(entries)


def _change_folder(
    entries: _Entries,
    key: bytes,
    changes: _Changes,
    objects: list[ShaFile],
    load: Callable[[ObjectID], bytes],
) -> None:
    mode, known = entries.get(key, (_FOLDER_MODE, None))
    if mode != _FOLDER_MODE:
        raise NotAlike(f"{key.decode()} is a file")
    before = b"" if known is None else load(ObjectID(known.hex().encode()))
    after = _changed(before, changes, objects, load)
    if not after:
        entries.pop(key, None)
    elif after != before:
        folder = _Whole.of(after)
        objects.append(folder)
        entries[key] = (_FOLDER_MODE, _short(folder.id))


def _entries(raw: bytes) -> _Entries:
    found: list[tuple[bytes, bytes, bytes]] = _ENTRY.findall(raw)
    if sum([len(mode) + len(name) + 22 for mode, name, _ in found]) != len(raw):
        raise ValueError("this is not a tree as git stores it")
    return {name: (mode, short) for mode, name, short in found}


def _joined(entries: _Entries) -> bytes:
    rows = sorted(
        (name + b"/" if mode == _FOLDER_MODE else name, mode, name, short)
        for name, (mode, short) in entries.items()
    )
    return b"".join([b"%s %s\0%s" % (mode, name, short) for _, mode, name, short in rows])


def _short(name: ObjectID) -> bytes:
    return bytes.fromhex(name.decode("ascii"))
