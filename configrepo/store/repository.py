"""The Git store of one server: commits are written, refs moved, history read.

A change is: blobs, trees and the signed commit object written and fsynced; then the refs
moved by git, all or none, each from the value that the caller read; then the barrier.
Before the refs move nothing is visible; after the barrier nothing can be lost. One
`Store` serves all threads of the program.

Core.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Self

from dulwich.pack import UnpackedObject

from configrepo import durable, git
from configrepo.admission import Brought, refusal_of_trees
from configrepo.errors import DiskFull, NotFound, RefMoved, StoreError, TransferFailed
from configrepo.factory import (
    FACTORY_AUTHOR,
    FACTORY_FILES,
    FACTORY_MESSAGE,
    FACTORY_ROOT,
    FACTORY_TIME,
)
from configrepo.git_config import repository_config
from configrepo.model import Files
from configrepo.revision import (
    CommitId,
    Person,
    RefUpdate,
    Revision,
    compose_message,
    is_ref_name,
)
from configrepo.sshsig import Signer
from configrepo.store.intake import brought_by
from configrepo.store.lineage import Lineage
from configrepo.store.notes import note_in, with_note
from configrepo.store.objects import Draft, Entry, Objects
from configrepo.store.packing import Packing, counts_for
from configrepo.store.transfer import LARGEST_PACK, Pushed, Stream, fetch, push

_CACHED_ANSWERS = 4_096
_MOST_HAVES = 256
_NEAREST = 32
_NEWEST = 1_000


Judge = Callable[["Store", Mapping[str, CommitId]], str | None]
"""Why what was fetched is not let in; None if it is."""


class Store:
    """The repository `config.git` of one server.

    Attributes:
        path: the bare repository.
        signer: who commits; None for a store that only reads.
        objects: the object database below.
        quarantine: the object directory of a push that is not accepted yet, if any.
    """

    def __init__(
        self,
        path: Path,
        signer: Signer | None,
        *,
        now: Callable[[], float] = time.time,
        quarantine: Path | None = None,
        base: Objects | None = None,
    ) -> None:
        """Use `create`, `open` or `in_quarantine`."""
        self.path = path
        self.signer = signer
        self.quarantine = quarantine
        self.objects = Objects(path, quarantine, base)
        self._packing = Packing(path, self.objects)
        self._lineage = Lineage(path, self.revision, quarantine)
        self._now = now
        self._ancestor = lru_cache(_CACHED_ANSWERS)(self._ask_ancestor)
        self._ahead = lru_cache(_CACHED_ANSWERS)(self._lineage.ahead)

    # --- Life ------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: Path,
        signer: Signer | None,
        *,
        hooks: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> Self:
        """Make a repository that holds the factory root, and open it.

        Safe to repeat after a crash in the middle. No ref exists yet.
        """
        git.init_bare(path)
        store = cls.open(path, signer, hooks=hooks, now=now)
        try:
            store._write_factory_root()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(
        cls,
        path: Path,
        signer: Signer | None,
        *,
        hooks: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> Self:
        """Open a repository: its configuration is that of this release, old locks are gone.

        Args:
            path: the bare repository.
            signer: who commits; None to read only.
            hooks: the directory of the installed hooks; without it no hook runs.
            now: the wall clock, POSIX seconds.
        """
        if not (path / "objects").is_dir():
            raise StoreError(f"{path} is not a repository of this program")
        config = repository_config(hooks).encode()
        if (path / "config").read_bytes() != config:
            durable.write_file(path / "config", config, mode=0o644)
        durable.recover(path)
        return cls(path, signer, now=now)

    def close(self) -> None:
        """Close the files of the repository; safe to repeat."""
        self.objects.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def in_quarantine(self, objects: Path) -> Store:
        """A view for reading that also sees the objects git received but did not accept yet."""
        return Store(self.path, None, now=self._now, quarantine=objects, base=self.objects)

    # --- Refs ------------------------------------------------------------------------

    def ref(self, name: str) -> CommitId | None:
        """The commit that a ref points to, as it is on disk now."""
        return self.objects.ref(name)

    def refs(self, prefix: str = "refs/") -> dict[str, CommitId]:
        """All refs whose full name starts with `prefix`."""
        return self.objects.refs(prefix)

    def set_head(self, ref: str) -> None:
        """Point HEAD, what a clone checks out, to a branch."""
        if not is_ref_name(ref):
            raise ValueError(f"not a ref name: {ref!r}")
        git.set_head(self.path, ref)
        durable.barrier(self.path)

    def move(self, updates: Sequence[RefUpdate], reason: str) -> None:
        """Move refs, all or none, and return when that is on disk.

        Raises:
            RefMoved: one of them no longer holds its old value; nothing was moved.
            NotFound: a commit is not here; nothing was moved.
            DiskFull: there is no space; nothing was moved.
        """
        try:
            git.update_refs(self.path, updates, reason)
        except DiskFull:
            raise
        except StoreError as error:
            self._explain(updates, error)
            # What is left is a lock: try once more without those that nobody holds.
            durable.remove_stale_locks(self.path)
            git.update_refs(self.path, updates, reason)
        durable.barrier(self.path)

    def _explain(self, updates: Sequence[RefUpdate], error: StoreError) -> None:
        for update in updates:
            current = self.ref(update.ref)
            if current != update.old:
                raise RefMoved(
                    f"{update.ref} is at {current or 'nothing'}, not at {update.old or 'nothing'}"
                ) from error
            if update.new is not None and not self.has(update.new):
                raise NotFound(f"there is no commit {update.new}") from error
        if durable.is_full(self.path):
            raise DiskFull("no space left on the device; nothing was changed") from error

    # --- Reading ---------------------------------------------------------------------

    def has(self, commit: CommitId) -> bool:
        """Whether the object is here."""
        return self.objects.has(commit)

    def files(self, commit: CommitId) -> dict[str, str]:
        """The whole tree of a commit: path to text.

        Raises:
            NotFound: there is no such commit.
            StoreError: a file is not UTF-8 (nothing that was let in is).
        """
        return dict(self.objects.files(commit))

    def entries(self, commit: CommitId) -> Mapping[str, Entry]:
        """The files of a commit's tree without their texts."""
        return self.objects.entries(commit)

    def folders(self, commit: CommitId, inside: str = "") -> dict[str, str]:
        """The tree ids of the folders directly in one of a commit ("": at its root)."""
        found = self.objects.folders(self.objects.tree_id(commit))
        if not inside:
            return found
        return self.objects.folders(found[inside]) if inside in found else {}

    def changed_paths(self, old: CommitId | None, new: CommitId) -> tuple[str, ...]:
        """The paths whose files differ between two commits, sorted."""
        before = {} if old is None else self.entries(old)
        after = self.entries(new)
        return tuple(sorted(p for p in {*before, *after} if before.get(p) != after.get(p)))

    def revision(self, commit: CommitId) -> Revision:
        """What a commit says.

        Raises:
            NotFound: there is no such commit.
        """
        return self.objects.revision(commit)

    def signed_by(self, commit: CommitId) -> str | None:
        """The SSH public key that signed a commit; None without a good signature."""
        return self.objects.signed_by(commit)

    def log(
        self, start: CommitId, limit: int = 100, skip: int = 0, path: str | None = None
    ) -> list[Revision]:
        """The history from `start`, newest first; with `path` the commits that changed it."""
        if path is None and skip + limit <= _NEWEST:
            ids: Sequence[CommitId] = self._lineage.newest(start, _NEWEST)[skip : skip + limit]
        else:
            ids = git.rev_list(self.path, [start], limit=limit, skip=skip, only_path=path)
        return [self.revision(one) for one in ids]

    def find_trailer(
        self, name: str, value: str, start: CommitId, limit: int = _NEWEST
    ) -> Revision | None:
        """The newest of the last `limit` commits with this trailer."""
        for commit in self._lineage.newest(start, limit):
            revision = self.revision(commit)
            if revision.trailers.get(name) == value:
                return revision
        return None

    def is_ancestor(self, ancestor: CommitId, commit: CommitId) -> bool:
        """Whether `commit` is `ancestor` or grew from it; NotFound if one is not here."""
        return ancestor == commit or self._ancestor(ancestor, commit)

    def ahead(self, commit: CommitId, of: CommitId) -> int:
        """How many commits `commit` has that `of` has not."""
        return 0 if commit == of else self._ahead(commit, of)

    def missing(self, commit: CommitId, of: CommitId) -> tuple[CommitId, ...]:
        """The commits that `commit` has and `of` has not, newest first."""
        return tuple(git.rev_list(self.path, [commit], not_from=[of]))

    def merge_base(self, a: CommitId, b: CommitId) -> CommitId | None:
        """The best common ancestor of two commits."""
        return git.merge_base(self.path, a, b)

    def fsck(self, *, connectivity_only: bool = False) -> str | None:
        """Check the repository; None if it is sound, else what git said."""
        return git.fsck(self.path, connectivity_only=connectivity_only)

    def _ask_ancestor(self, ancestor: CommitId, commit: CommitId) -> bool:
        # Mostly one has just grown from the other: that is seen without starting git.
        if ancestor in self._nearest(commit):
            return True
        return git.is_ancestor(self.path, ancestor, commit, self.quarantine)

    def _nearest(self, commit: CommitId) -> Iterator[CommitId]:
        """Some commits that `commit` certainly grew from, the newest first."""
        seen: set[CommitId] = set()
        todo = deque(self.revision(commit).parents)
        while todo and len(seen) < _NEAREST:
            one = todo.popleft()
            if one not in seen:
                seen.add(one)
                todo.extend(self.revision(one).parents)
                yield one

    # --- Writing ---------------------------------------------------------------------

    def write_commit(
        self,
        parents: Sequence[CommitId],
        files: Files,
        author: Person,
        message: str,
        trailers: Mapping[str, str],
    ) -> CommitId:
        """Write a signed commit with exactly these files; no ref moves.

        The server is the committer, at the later of now and one second after the newest
        parent, so that time never runs backwards along the history.

        Raises:
            DiskFull: there is no space; what was written is not visible.
            StoreError: this store only reads.
        """
        draft = self._draft(parents, files, author, compose_message(message, trailers))
        return self.objects.write(draft, self.signer)

    def _draft(
        self, parents: Sequence[CommitId], files: Files, author: Person, message: str
    ) -> Draft:
        if self.signer is None:
            raise StoreError("this store was opened for reading: nobody signs here")
        newest = max((int(self.revision(one).time.timestamp()) for one in parents), default=-1)
        return Draft(
            parents=tuple(parents),
            files=files,
            author=author,
            committer=self.signer.committer,
            time=max(int(self._now()), newest + 1),
            message=message,
        )

    def note(self, ref: str, about: CommitId) -> str | None:
        """The note of a commit in a line of notes; None without one."""
        notes = self.ref(ref)
        return None if notes is None else note_in(self.objects, notes, about)

    def write_note(
        self, ref: str, about: CommitId, text: str, trailers: Mapping[str, str]
    ) -> CommitId:
        """Replace the note of a commit in a line of notes, durably.

        Raises:
            RefMoved: somebody else wrote a note at the same moment; nothing was moved.
            DiskFull: there is no space; nothing was moved.
        """
        if self.signer is None:
            raise StoreError("this store was opened for reading: nobody signs here")
        old = self.ref(ref)
        message = compose_message(f"Note on {about[:12]}", trailers)
        parents = () if old is None else (old,)
        draft = self._draft(parents, {}, self.signer.committer, message)
        tree, objects = with_note(self.objects, old, about, text)
        new = self.objects.write_tree(draft, tree, objects, self.signer)
        self.move((RefUpdate(ref, old, new),), "note")
        return new

    def _write_factory_root(self) -> None:
        draft = Draft(
            parents=(),
            files=FACTORY_FILES,
            author=FACTORY_AUTHOR,
            committer=FACTORY_AUTHOR,
            time=FACTORY_TIME,
            message=FACTORY_MESSAGE,
        )
        written = self.objects.write(draft, signer=None)
        if written != FACTORY_ROOT:
            raise StoreError(f"the factory root came out as {written}")
        durable.barrier(self.path)

    # --- Other servers ---------------------------------------------------------------

    def push(self, stream: Stream, updates: Mapping[str, CommitId]) -> Pushed:
        """Ask git at the far end of `stream` (`receive-pack`) to move refs, all or none.

        Each ref goes from what the far end has to the given commit; whether that is
        allowed is decided there. The caller closes the stream.

        Raises:
            TransferFailed: the stream ended early or was not git's protocol.
        """

        def objects_between(
            before: Mapping[str, CommitId], want: list[CommitId]
        ) -> tuple[int, Iterator[UnpackedObject]]:
            have = [one for one in counts_for(updates, before) if self.has(one)]
            return self._packing.between(have, want)

        return push(stream, updates, objects_between)

    def slice_of(
        self, updates: Mapping[str, CommitId], there: Mapping[str, CommitId]
    ) -> dict[str, CommitId]:
        """The part of these updates that a server with the refs `there` can take at once."""
        return self._packing.slice_of(updates, there)

    def fetch(
        self,
        stream: Stream,
        wanted: Sequence[str],
        judge: Judge | None = None,
        most_bytes: int = LARGEST_PACK,
    ) -> dict[str, CommitId]:
        """Bring commits from git at the far end of `stream` (`upload-pack`); no ref moves.

        What comes is checked by git and by the rules for trees (or by `judge`) before it is
        part of the repository. The caller closes the stream.

        Args:
            stream: leads to the far end.
            wanted: full ref names; one that ends with `/` stands for all refs below it.
            judge: says why what came is not let in, from a view that sees it and from where
                the far end has the wanted refs.
            most_bytes: how much may come.

        Returns:
            Where the far end has the wanted refs; those that it lacks are left out.

        Raises:
            TooMuchAtOnce: more would come; nothing of it is kept.
            TransferFailed: the stream ended early, or what came is not let in.
        """
        tips = list(dict.fromkeys(self.refs().values()))
        have = [*tips, *git.rev_list(self.path, tips, limit=_MOST_HAVES)]
        try:
            place = Path(tempfile.mkdtemp(prefix="tmp_objdir-fetch-", dir=self.path / "objects"))
        except OSError as error:
            raise durable.translated(error, self.path) from error
        try:
            with (place / "incoming").open("w+b") as pack:
                found = fetch(stream, wanted, have, self.has, pack, most_bytes)
                if pack.tell() > 0:
                    pack.seek(0)
                    self._take_in(pack, place, found, judge or _refusal_of_trees)
        except OSError as error:
            raise durable.translated(error, self.path) from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return found

    def _take_in(
        self, pack: IO[bytes], place: Path, found: Mapping[str, CommitId], judge: Judge
    ) -> None:
        try:
            git.index_pack(self.path, pack, place)
            with self.in_quarantine(place) as view:
                refusal = judge(view, found)
        except DiskFull:
            raise
        except (NotFound, StoreError) as error:
            raise TransferFailed(f"what the other server sent is not whole: {error}") from error
        if refusal is not None:
            raise TransferFailed(f"what the other server sent is not let in: {refusal}")
        # The index last: a pack without it is not seen.
        for ending in (".pack", ".rev", ".idx"):
            for file in (place / "pack").glob(f"pack-*{ending}"):
                file.replace(self.path / "objects" / "pack" / file.name)
        durable.barrier(self.path)

    def brought_by(self, tips: Sequence[CommitId]) -> Brought:
        """What `tips` reach that no ref of the repository does, for `configrepo.admission`."""
        return brought_by(self.path, self.objects, tips, self.quarantine)


def _refusal_of_trees(view: Store, found: Mapping[str, CommitId]) -> str | None:
    return refusal_of_trees(view.brought_by(list(dict.fromkeys(found.values()))))
