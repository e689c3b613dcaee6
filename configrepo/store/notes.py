"""Notes of git on commits: one text a commit, in trees that any git can read.

A line of notes is a history of trees in which the file `ab/cdef…` is the note of the
commit `abcdef…`. Only the tree of that commit's first two digits is written anew, so a
note costs the same however many there are.

Edge: the repository on disk.
"""

from __future__ import annotations

from dulwich.objects import Blob, ObjectID, ShaFile, Tree

from configrepo.revision import CommitId
from configrepo.store.objects import Entry, Objects
from configrepo.store.tree_building import DIRECTORY, FILE


def note_in(objects: Objects, notes: CommitId, about: CommitId) -> str | None:
    """The note of a commit, as it stood in that commit of the notes."""
    folder = _entry(objects, objects.tree_id(notes), about[:2])
    if folder is None or folder.mode != DIRECTORY:
        return None
    found = _entry(objects, folder.blob, about[2:])
    return None if found is None else objects.text(found.blob)


def with_note(
    objects: Objects, notes: CommitId | None, about: CommitId, text: str
) -> tuple[ObjectID, list[ShaFile]]:
    """The tree of the notes with that note in it, and the objects that it needs."""
    root = _copy(objects, None if notes is None else objects.tree_id(notes))
    name = about[:2].encode()
    old = None if name not in root else root[name][1].decode("ascii")
    folder = _copy(objects, old)
    blob = Blob.from_string(text.encode())
    folder.add(about[2:].encode(), FILE, blob.id)
    root.add(name, DIRECTORY, folder.id)
    return root.id, [blob, folder, root]


def _entry(objects: Objects, tree: str, name: str) -> Entry | None:
    return next((one for one in objects.children(tree) if one.path == name), None)


def _copy(objects: Objects, tree: str | None) -> Tree:
    copy = Tree()
    for entry in [] if tree is None else objects.children(tree):
        copy.add(entry.path.encode(), entry.mode, ObjectID(entry.blob.encode("ascii")))
    return copy
