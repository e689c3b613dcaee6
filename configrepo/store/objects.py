"""The object database and the refs of a repository, as dulwich reads and composes them.

dulwich's file handles are not made for threads, so each use holds the lock. Another
process (git's receive-pack) may bring objects and move refs at any time; both are looked
up on disk. Objects are fsynced when written and never deleted.

Edge: the repository on disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile

from dulwich.errors import NotGitRepository
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.object_store import BaseObjectStore, DiskObjectStore, OverlayObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.pack import PackChunkGenerator, UnpackedObject, pack_objects_to_data
from dulwich.refs import Ref
from dulwich.repo import Repo

from configrepo import durable, git
from configrepo.errors import NotFound, StoreError
from configrepo.model import Files
from configrepo.revision import CommitId, Person, Revision, is_commit_id, split_message
from configrepo.sshsig import Signer, sign_commit, signed_by

DIRECTORY = 0o040000
FILE = 0o100644
_CACHED_TREES = 8
_CACHED_BLOBS = 50_000
_CACHED_COMMITS = 4_096
_PACK_ABOVE = 200
"""More new objects than this are written as one pack instead of one file each."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree as it is stored; nothing is promised about what is in it."""

    path: str
    mode: int
    blob: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a commit is made of, before it has an id."""

    parents: tuple[CommitId, ...]
    files: Files
    author: Person
    committer: Person
    time: int
    message: str


class Objects:
    """The objects and refs of one bare repository; one instance serves all threads."""

    def __init__(self, path: Path, quarantine: Path | None = None) -> None:
        """Open the repository; `quarantine` is an object directory to look into first."""
        self._path = path
        self._lock = threading.RLock()
        try:
            self._repo = Repo(str(path))
        except NotGitRepository as error:
            raise StoreError(f"{path} is not a repository of this program") from error
        self._store: BaseObjectStore = self._repo.object_store
        self._incoming: DiskObjectStore | None = None
        if quarantine is not None:
            self._incoming = DiskObjectStore(str(quarantine))
            self._store = OverlayObjectStore([self._incoming, self._repo.object_store])
        self._entries = lru_cache(_CACHED_TREES)(self._read_entries)
        self._files = lru_cache(_CACHED_TREES)(self._read_files)
        self.text = lru_cache(_CACHED_BLOBS)(self._text)
        self.revision = lru_cache(_CACHED_COMMITS)(self._revision)

    def close(self) -> None:
        """Close the files of the repository; safe to repeat."""
        with self._lock:
            if self._incoming is not None:
                self._incoming.close()
            self._repo.close()

    # --- Refs ------------------------------------------------------------------------

    def ref(self, name: str) -> CommitId | None:
        """What a ref points to on disk now."""
        with self._lock:
            try:
                return CommitId(self._repo.refs[Ref(name.encode())].decode("ascii"))
            except KeyError:
                return None

    def refs(self, prefix: str) -> dict[str, CommitId]:
        """All refs whose full name starts with `prefix`."""
        with self._lock:
            names = [bytes(one) for one in self._repo.refs.allkeys()]
        found = {}
        for name in sorted(one.decode("utf-8", "replace") for one in names):
            if name.startswith(prefix) and name.startswith("refs/"):
                value = self.ref(name)
                if value is not None:
                    found[name] = value
        return found

    # --- Reading ---------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether the object is here."""
        if not is_commit_id(name):
            return False
        with self._lock:
            return ObjectID(name.encode("ascii")) in self._store

    def entries(self, commit: CommitId) -> Mapping[str, Entry]:
        """The files of a commit's tree by path, without their texts."""
        with self._lock:
            return self._entries(self._commit(commit).tree)

    def files(self, commit: CommitId) -> Mapping[str, str]:
        """The texts of a commit's tree by path.

        Raises:
            StoreError: a file is not UTF-8.
        """
        with self._lock:
            return self._files(self._commit(commit).tree)

    def tree_id(self, commit: CommitId) -> str:
        """The id of a commit's tree."""
        with self._lock:
            return str(self._commit(commit).tree, "ascii")

    def children(self, tree: str) -> list[Entry]:
        """The direct entries of a tree, directories included (`path` is the bare name)."""
        with self._lock:
            found = self._object(tree.encode("ascii"))
        if not isinstance(found, Tree):
            raise StoreError(f"{tree} is not a tree")
        return [
            Entry(item.path.decode("utf-8", "surrogateescape"), item.mode, item.sha.decode("ascii"))
            for item in found.iteritems()
        ]

    def signed_by(self, commit: CommitId) -> str | None:
        """The SSH public key that signed a commit; None without a good signature."""
        with self._lock:
            found = self._commit(commit)
        signature = found.gpgsig
        if signature is None:
            return None
        return signed_by(found.raw_without_sig(), signature)

    def _text(self, blob: str) -> str:
        with self._lock:
            found = self._object(blob.encode("ascii"))
        try:
            return found.as_raw_string().decode("utf-8")
        except UnicodeDecodeError as error:
            raise StoreError(f"the file {blob} is not UTF-8") from error

    def _revision(self, commit: CommitId) -> Revision:
        with self._lock:
            found = self._commit(commit)
        name, email = _split_ident(found.author)
        subject, message, trailers = split_message(found.message.decode("utf-8", "replace"))
        return Revision(
            id=commit,
            parents=tuple(CommitId(parent.decode("ascii")) for parent in found.parents),
            author_name=name,
            author_email=email,
            committer=_split_ident(found.committer)[0],
            time=datetime.fromtimestamp(found.commit_time, UTC),
            subject=subject,
            message=message,
            trailers=trailers,
        )

    def _object(self, name: bytes) -> ShaFile:
        try:
            return self._store[ObjectID(name)]
        except (KeyError, AssertionError, ValueError) as error:
            raise NotFound(f"there is no object {ascii(name[:60])[2:-1]}") from error

    def _commit(self, commit: CommitId) -> Commit:
        found = self._object(commit.encode("ascii", "replace"))
        if not isinstance(found, Commit):
            raise NotFound(f"{commit} is not a commit")
        return found

    def _read_entries(self, tree: bytes) -> Mapping[str, Entry]:
        return {entry.path: entry for entry in self._walk(tree, "")}

    def _read_files(self, tree: bytes) -> Mapping[str, str]:
        return {path: self.text(entry.blob) for path, entry in self._entries(tree).items()}

    def _walk(self, tree: bytes, prefix: str) -> Iterator[Entry]:
        for item in self.children(tree.decode("ascii")):
            if item.mode == DIRECTORY:
                yield from self._walk(item.blob.encode("ascii"), f"{prefix}{item.path}/")
            else:
                yield Entry(prefix + item.path, item.mode, item.blob)

    def pack_of(self, names: Sequence[str]) -> tuple[int, Iterator[UnpackedObject]]:
        """How many objects a pack of `names` has, and the objects."""
        with self._lock:
            found = [(self._object(name.encode("ascii")), None) for name in names]
        return pack_objects_to_data(found)

    # --- Writing ---------------------------------------------------------------------

    def write(self, draft: Draft, signer: Signer | None) -> CommitId:
        """Write a commit with its trees and blobs; no ref moves.

        Raises:
            DiskFull: there is no space; what was written is not visible.
        """
        with self._lock:
            tree, objects = self._compose(draft)
            return self.write_tree(draft, tree, objects, signer)

    def write_tree(
        self, draft: Draft, tree: ObjectID, objects: Sequence[ShaFile], signer: Signer | None
    ) -> CommitId:
        """Write a commit of a tree that was composed elsewhere; the draft's files do not count.

        Raises:
            DiskFull: there is no space; what was written is not visible.
        """
        commit = Commit()
        commit.parents = [ObjectID(parent.encode("ascii")) for parent in draft.parents]
        commit.author = draft.author.ident().encode()
        commit.committer = draft.committer.ident().encode()
        commit.author_time = commit.commit_time = draft.time
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = draft.message.encode()
        commit.tree = tree
        if signer is not None:
            commit.gpgsig = sign_commit(commit.as_raw_string(), signer.key)
        with self._lock:
            self._add([*objects, commit])
        return CommitId(commit.id.decode("ascii"))

    def _compose(self, draft: Draft) -> tuple[ObjectID, list[ShaFile]]:
        same = {}
        for parent in draft.parents:
            entries = self.entries(parent)
            for path, text in self.files(parent).items():
                if draft.files.get(path) == text:
                    same[path] = entries[path].blob
        return _tree_of(draft.files, same)

    def _add(self, objects: Iterable[ShaFile]) -> None:
        new = [one for one in objects if one.id not in self._store]
        if len(new) > _PACK_ABOVE:
            self._add_pack(new)
            return
        for one in new:
            name = one.id.decode("ascii")
            folder = self._path / "objects" / name[:2]
            with self._disk_errors():
                folder.mkdir(exist_ok=True)
            data = one.as_legacy_object()
            durable.write_before_barrier(folder / name[2:], data, 0o444, prefix="tmp_obj_")

    def _add_pack(self, objects: Sequence[ShaFile]) -> None:
        count, records = pack_objects_to_data([(one, None) for one in objects])
        with self._disk_errors(), TemporaryFile(dir=self._path / "objects") as pack:
            for piece in PackChunkGenerator(
                num_records=count, records=records, object_format=DEFAULT_OBJECT_FORMAT
            ):
                pack.write(piece)
            pack.seek(0)
            git.index_pack(self._path, pack)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise durable.translated(error, self._path) from error


def _split_ident(ident: bytes) -> tuple[str, str]:
    name, _, rest = ident.decode("utf-8", "replace").partition(" <")
    return name, rest.removesuffix(">")


def _tree_of(files: Files, same: Mapping[str, str]) -> tuple[ObjectID, list[ShaFile]]:
    """The id of the tree of `files`, and its objects; `same` names blobs that are stored."""
    root: dict[str, object] = {}
    objects: list[ShaFile] = []
    for path, text in files.items():
        *folders, name = path.split("/")
        folder = root
        for part in folders:
            inner = folder.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{path}: {part} is a file")
            folder = inner
        if path in same:
            folder[name] = same[path].encode("ascii")
        else:
            blob = Blob.from_string(text.encode("utf-8"))
            objects.append(blob)
            folder[name] = blob.id
    return _write_tree(root, objects), objects


def _write_tree(folder: Mapping[str, object], objects: list[ShaFile]) -> ObjectID:
    tree = Tree()
    for name, inner in folder.items():
        if isinstance(inner, dict):
            tree.add(name.encode(), DIRECTORY, _write_tree(inner, objects))
        elif isinstance(inner, bytes):
            tree.add(name.encode(), FILE, ObjectID(inner))
    objects.append(tree)
    return tree.id
