"""The object database and the refs of a repository, as dulwich reads and composes them.

dulwich's file handles are not made for threads, so each use holds the lock. Another
process (git's receive-pack) may bring objects and move refs at any time; both are looked
up on disk. Objects are fsynced when written and never deleted.

Edge: the repository on disk.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

from dulwich.errors import FileFormatException, NotGitRepository
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.object_store import BaseObjectStore, DiskObjectStore, OverlayObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.pack import PackChunkGenerator, UnpackedObject, pack_objects_to_data
from dulwich.refs import Ref
from dulwich.repo import Repo

from configrepo import durable, git
from configrepo.errors import NotFound, StoreError
from configrepo.model import Files
from configrepo.remembered import Remembered
from configrepo.revision import CommitId, Person, Revision, is_commit_id, split_message
from configrepo.sshsig import Signer, sign_commit, signed_by
from configrepo.store.tree_building import (
    DIRECTORY,
    FILE,
    NotAlike,
    changed_tree,
    tree_of,
)

_CACHED_CHARACTERS = 64 * 1024 * 1024
"""Texts, and trees, that were read or written lately."""

_CACHED_COMMITS = 4_096
_CACHED_BYTES = 4 * 1024 * 1024
"""Trees and commits that were parsed lately, as they are stored; parsed they are larger."""

_REMEMBERED = 50_000
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


@dataclass(frozen=True, slots=True)
class _Listing:
    """A whole tree: what is stored by path, and (once asked for) the texts by path."""

    entries: Mapping[str, Entry]
    files: Mapping[str, str] | None = None

    @property
    def weight(self) -> int:
        """Its characters; an entry counts as many as a short file."""
        texts = () if self.files is None else self.files.values()
        return 100 * (len(self.entries) + 1) + sum(map(len, texts))


@dataclass(frozen=True, slots=True)
class _Composed:
    """The tree of a draft, what of it may not be stored yet, and the tree as it will be read."""

    tree: ObjectID
    objects: list[ShaFile]
    listing: _Listing | None = None


class Objects:
    """The objects and refs of one bare repository; one instance serves all threads."""

    def __init__(
        self, path: Path, quarantine: Path | None = None, base: Objects | None = None
    ) -> None:
        """Open the repository.

        Args:
            path: the bare repository.
            quarantine: an object directory to look into first.
            base: the objects of the same repository without the quarantine; what is not in
                the quarantine is asked there, where it is mostly known already.
        """
        self._path = path
        self._base = base
        self._lock: threading.RLock = threading.RLock() if base is None else base._lock
        # Refs are files of their own: who asks for one never waits for objects.
        self._refs_lock: threading.Lock = threading.Lock() if base is None else base._refs_lock
        self._repo: Repo = _opened(path) if base is None else base._repo
        self._store: BaseObjectStore = self._repo.object_store
        self._incoming: DiskObjectStore | None = None
        self._came: frozenset[str] | None = None
        if quarantine is not None:
            self._incoming = DiskObjectStore(str(quarantine))
            self._store = OverlayObjectStore([self._incoming, self._repo.object_store])
            self._came = _loose_in(quarantine)
        self._present: set[str] = set()
        self._parsed: Remembered[bytes, ShaFile] = Remembered(_CACHED_BYTES)
        self._trees: Remembered[bytes, bytes] = Remembered(_CACHED_BYTES)
        self._listings: Remembered[bytes, _Listing] = Remembered(_CACHED_CHARACTERS)
        self._texts: Remembered[str, str] = Remembered(_CACHED_CHARACTERS)
        self.revision = lru_cache(_CACHED_COMMITS)(self._revision)
        self.signed_by = lru_cache(_CACHED_COMMITS)(self._signed_by)

    def close(self) -> None:
        """Close the files of the repository; safe to repeat."""
        with self._lock:
            if self._incoming is not None:
                self._incoming.close()
            if self._base is None:
                self._repo.close()

    def _elsewhere(self, name: str) -> Objects | None:
        """Where an object must be that is not in the quarantine; None if it may be here."""
        if self._came is None or name in self._came:
            return None
        return self._base

    # --- Refs ------------------------------------------------------------------------

    def ref(self, name: str) -> CommitId | None:
        """What a ref points to on disk now."""
        with self._refs_lock:
            try:
                return CommitId(self._repo.refs[Ref(name.encode())].decode("ascii"))
            except KeyError:
                return None

    def refs(self, prefix: str) -> dict[str, CommitId]:
        """All refs whose full name starts with `prefix`."""
        with self._refs_lock:
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
        if name in self._present:
            return True
        if not is_commit_id(name):
            return False
        if (elsewhere := self._elsewhere(name)) is not None:
            return elsewhere.has(name)
        with self._lock:
            found = ObjectID(name.encode("ascii")) in self._store
        if found:
            # Objects are never deleted; looking anew means reading and parsing a file.
            if len(self._present) >= _REMEMBERED:
                self._present.clear()
            self._present.add(name)
        return found

    def entries(self, commit: CommitId) -> Mapping[str, Entry]:
        """The files of a commit's tree by path, without their texts."""
        with self._lock:
            return self._listing(self._commit(commit).tree).entries

    def files(self, commit: CommitId) -> Mapping[str, str]:
        """The texts of a commit's tree by path.

        Raises:
            StoreError: a file is not UTF-8.
        """
        with self._lock:
            tree = self._commit(commit).tree
            listing = self._listing(tree)
            if listing.files is not None:
                return listing.files
            files = {path: self.text(entry.blob) for path, entry in listing.entries.items()}
            self._keep(tree, _Listing(listing.entries, files))
            return files

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

    def folders(self, tree: str) -> dict[str, str]:
        """The ids of the trees directly in a tree, by name."""
        return {one.path: one.blob for one in self.children(tree) if one.mode == DIRECTORY}

    def _signed_by(self, commit: CommitId) -> str | None:
        with self._lock:
            found = self._commit(commit)
        signature = found.gpgsig
        if signature is None:
            return None
        return signed_by(found.raw_without_sig(), signature)

    def text(self, blob: str) -> str:
        """The text of a file.

        Raises:
            StoreError: it is not UTF-8.
        """
        known = self._texts.get(blob)
        if known is not None:
            return known
        if (elsewhere := self._elsewhere(blob)) is not None:
            return elsewhere.text(blob)
        with self._lock:
            found = self._object(blob.encode("ascii"))
        try:
            text = found.as_raw_string().decode("utf-8")
        except UnicodeDecodeError as error:
            raise StoreError(f"the file {blob} is not UTF-8") from error
        return self._texts.keep(blob, text, len(text) + len(blob))

    def _revision(self, commit: CommitId) -> Revision:
        if (elsewhere := self._elsewhere(commit)) is not None:
            return elsewhere.revision(commit)
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
        known = self._parsed.get(name)
        if known is not None:
            return known
        if (elsewhere := self._elsewhere(name.decode("ascii"))) is not None:
            return elsewhere._object(name)
        try:
            found = self._read(name.decode("ascii"))
        except (KeyError, AssertionError, ValueError) as error:
            raise NotFound(f"there is no object {ascii(name[:60])[2:-1]}") from error
        if isinstance(found, Blob):
            return found
        return self._parsed.keep(name, found, found.raw_length())

    def _read(self, name: str) -> ShaFile:
        if self._incoming is None or self._came is None or name not in self._came:
            return self._store[ObjectID(name.encode("ascii"))]
        # Where it lies is known: no pack is looked through, and it is parsed once, not twice.
        try:
            return ShaFile.from_path(str(Path(self._incoming.path) / name[:2] / name[2:]))
        except (OSError, zlib.error, FileFormatException) as error:
            raise StoreError(f"the object {name} cannot be read") from error

    def _commit(self, commit: CommitId) -> Commit:
        found = self._object(commit.encode("ascii", "replace"))
        if not isinstance(found, Commit):
            raise NotFound(f"{commit} is not a commit")
        return found

    def _listing(self, tree: bytes) -> _Listing:
        known = self._listings.get(tree)
        if known is not None:
            return known
        if (elsewhere := self._elsewhere(tree.decode("ascii"))) is not None:
            # A killed push may have left a directory there without what is below it.
            with suppress(NotFound):
                return elsewhere._listing(tree)
        return self._keep(tree, _Listing({entry.path: entry for entry in self._walk(tree, "")}))

    def _keep(self, tree: bytes, listing: _Listing) -> _Listing:
        return self._listings.keep(tree, listing, listing.weight)

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
            composed = self._compose(draft)
        commit = self.write_tree(draft, composed.tree, composed.objects, signer)
        for one in composed.objects:
            if isinstance(one, Tree):
                raw = one.as_raw_string()
                self._trees.keep(one.id, raw, len(raw))
        if composed.listing is not None:
            self._keep(composed.tree, composed.listing)
        return commit

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
        self._add([*objects, commit])
        return CommitId(commit.id.decode("ascii"))

    def _compose(self, draft: Draft) -> _Composed:
        if not draft.parents:
            return _Composed(*tree_of(draft.files))
        base = draft.parents[0]
        before, entries = self.files(base), self.entries(base)
        texts = {path: text for path, text in draft.files.items() if before.get(path) != text}
        gone = [path for path in before if path not in draft.files]
        blobs, objects = self._blobs(texts, draft.parents[1:])
        try:
            changes = {**dict.fromkeys(gone), **blobs}
            tree, trees = changed_tree(self._commit(base).tree, changes, self._tree)
        except NotAlike:
            return _Composed(*tree_of(draft.files))
        new = {path: Entry(path, FILE, blob.decode("ascii")) for path, blob in blobs.items()}
        listing = _Listing(_laid_over(entries, new, gone), _laid_over(before, texts, gone))
        return _Composed(tree, [*objects, *trees], listing)

    def _blobs(
        self, texts: Files, others: Sequence[CommitId]
    ) -> tuple[dict[str, ObjectID], list[ShaFile]]:
        """The ids of these texts by path, and the blobs that none of the `others` has there."""
        blobs: dict[str, ObjectID] = {}
        for other in others:
            known, entries = self.files(other), self.entries(other)
            for path, text in texts.items():
                if known.get(path) == text:
                    blobs[path] = ObjectID(entries[path].blob.encode("ascii"))
        objects: list[ShaFile] = []
        for path, text in texts.items():
            if path not in blobs:
                objects.append(Blob.from_string(text.encode("utf-8")))
                blobs[path] = objects[-1].id
        return blobs, objects

    def _tree(self, name: ObjectID) -> bytes:
        """A tree, as it is stored."""
        known = self._trees.get(name)
        return self._store.get_raw(name)[1] if known is None else known

    def _add(self, objects: Iterable[ShaFile]) -> None:
        with self._lock:
            new = {one.id: one for one in objects if one.id not in self._store}.values()
        if len(new) > _PACK_ABOVE:
            self._add_pack(list(new))
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


def _loose_in(quarantine: Path) -> frozenset[str] | None:
    """The names of the objects in a quarantine; None if some are in packs."""
    found: list[str] = []
    for folder in quarantine.iterdir():
        if folder.name == "pack" and any(folder.iterdir()):
            return None
        if len(folder.name) == 2:
            found += [folder.name + file.name for file in folder.iterdir()]
    return frozenset(found)


def _opened(path: Path) -> Repo:
    try:
        return Repo(str(path))
    except NotGitRepository as error:
        raise StoreError(f"{path} is not a repository of this program") from error


def _split_ident(ident: bytes) -> tuple[str, str]:
    name, _, rest = ident.decode("utf-8", "replace").partition(" <")
    return name, rest.removesuffix(">")


Item = TypeVar("Item")


def _laid_over(
    before: Mapping[str, Item], new: Mapping[str, Item], gone: Iterable[str]
) -> Mapping[str, Item]:
    """The items of another tree, in the order in which git has their paths."""
    result = {**before, **new}
    for path in gone:
        del result[path]
    if new.keys() <= before.keys():
        return result
    return {path: result[path] for path in sorted(result, key=str.encode)}
