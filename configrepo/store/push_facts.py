"""Gathers what `configrepo.admission` needs to know about a push that git has received.

The objects lie in git's quarantine; nothing is read before git has told its size, and
only files of a `cluster` whose trees are in order are read at all.

Edge: the repository on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from configrepo import git
from configrepo.admission import (
    CLUSTER,
    MOST_UNFOLDED,
    Brought,
    PushedRef,
    PushFacts,
    is_notes,
    refusal_of_notes,
    refusal_of_trees,
)
from configrepo.authorship import Keys, Written
from configrepo.cluster_settings import PATH as CLUSTER_SETTINGS
from configrepo.cluster_settings import cluster_settings
from configrepo.errors import ConfigRepoError, NotFound, StoreError
from configrepo.factory import FACTORY_ROOT
from configrepo.layout import read_files
from configrepo.members import FOLDER, members_of
from configrepo.model import SCHEMA, Problem, ServerId, Severity
from configrepo.revision import CommitId
from configrepo.store.intake import FETCHED, Limits, brought_by
from configrepo.store.loose import Loose
from configrepo.store.repository import Store

_NONE = "0" * 40
# Where a ref was, where it is to be, and its name.
_Move = tuple[CommitId | None, CommitId | None, str]
_TOO_MUCH_CHANGES = f"more than {MOST_UNFOLDED} bytes change at a time"


def facts_of_push(
    view: Store,
    lines: Sequence[str],
    *,
    peer: ServerId,
    standing: Literal["member", "joining"],
    me: ServerId,
    following: ServerId | None,
    epoch: int,
    accepted: tuple[int, ServerId] | None,
    keys: Keys,
    limits: Limits = FETCHED,
) -> PushFacts:
    """Gather the facts of one push.

    Args:
        view: `Store.in_quarantine` of the push.
        lines: what git gave to `pre-receive`: `<old> <new> <ref>` each.
        peer: as in `PushFacts`, like the arguments after it.
        standing: as in `PushFacts`.
        me: as in `PushFacts`.
        following: as in `PushFacts`.
        epoch: as in `PushFacts`.
        accepted: as in `PushFacts`.
        keys: as in `PushFacts`.
        limits: how much may come at a time.

    Raises:
        StoreError: a line is not git's, or git could not answer.
    """
    moves = [_move(line) for line in lines]
    tips = list(dict.fromkeys(new for _, new, _ in moves if new is not None))
    loose = Loose.in_directory(view.objects, view.quarantine)
    kinds = _kinds(view, tips, loose)
    brought, notes = (
        brought_by(view.path, view.objects, _tips(moves, notes=kind), view.quarantine, limits)
        for kind in (False, True)
    )
    newer = _is_newer(view, brought, [tip for tip in tips if kinds.get(tip) == "commit"])
    sound = (newer or refusal_of_trees(brought) is None) and refusal_of_notes(notes) is None
    makers = _Makers(view)
    if sound:
        refs = tuple(_pushed(view, move, kinds, loose, makers) for move in moves)
    else:
        # What is not in order is refused: nobody reads more of it than git has said.
        refs = tuple(_pushed(view, move, kinds) for move in moves)
    return PushFacts(
        peer=peer,
        standing=standing,
        me=me,
        following=following,
        epoch=epoch,
        accepted=accepted,
        refs=refs,
        brought=brought,
        problems=_problems_of(view, refs) if sound else (),
        notes=notes,
        commits=makers.of_all(brought, notes) if sound else (),
        keys=keys,
        newer=newer,
    )


def _is_newer(view: Store, brought: Brought, commits: Sequence[CommitId]) -> bool:
    """Whether what would be refused here is in order by a schema that a commit names."""
    return (
        refusal_of_trees(brought) is not None
        and refusal_of_trees(brought, newer=True) is None
        and any(_schema_in(view, commit) > SCHEMA for commit in commits)
    )


def _pushed(
    view: Store,
    move: _Move,
    kinds: dict[str, str],
    loose: Loose | None = None,
    makers: _Makers | None = None,
) -> PushedRef:
    old, new, ref = move
    commit = new if kinds.get(new or "") == "commit" else None
    made = None if makers is None or commit is None else makers.of(commit)
    return PushedRef(ref, old, new, commit is not None, _grows(view, old, commit, loose), made)


def _problems_of(view: Store, refs: Sequence[PushedRef]) -> tuple[Problem, ...]:
    cluster = next((one for one in refs if one.ref == CLUSTER), None)
    return _problems(view, cluster) if cluster is not None and cluster.fast_forward else ()


def _schema_in(view: Store, commit: CommitId) -> int:
    """The schema that a commit names, if its name for it can be read."""
    tree = view.objects.tree_id(commit)
    folder, _, name = CLUSTER_SETTINGS.rpartition("/")
    for part in (folder, name):
        found = next((one for one in view.objects.children(tree) if one.path == part), None)
        if found is None:
            return 1
        tree = found.blob
    try:
        return cluster_settings({CLUSTER_SETTINGS: view.objects.text(tree)}).format
    except ConfigRepoError:
        return 1


def _tips(moves: Sequence[_Move], notes: bool) -> list[CommitId]:
    tips = (new for _, new, ref in moves if new is not None and is_notes(ref) is notes)
    return list(dict.fromkeys(tips))


class _Makers:
    """Reads what commits say of their making."""

    def __init__(self, view: Store) -> None:
        self._view = view
        self._members: dict[str, tuple[tuple[ServerId, str], ...]] = {}

    def of_all(self, brought: Brought, notes: Brought) -> tuple[Written, ...]:
        # A store that has no ref yet sees the factory root as new; nobody signed it.
        new = (one for one in (*brought.commits, *notes.commits) if one != FACTORY_ROOT)
        return tuple(self.of(one) for one in dict.fromkeys(new))

    def of(self, commit: CommitId) -> Written:
        trailers = self._view.revision(commit).trailers
        term = trailers.get("Term", "")
        members = self._members_in(commit) if term else ()
        key = self._view.signed_by(commit)
        return Written(commit, trailers.get("Server", ""), term, key, members)

    def _members_in(self, commit: CommitId) -> tuple[tuple[ServerId, str], ...]:
        """The keys of the members in a commit's tree; the same directory is read once."""
        tree = self._view.objects.tree_id(commit)
        for name in FOLDER.strip("/").split("/"):
            inside = (one for one in self._view.objects.children(tree) if one.path == name)
            found = next(inside, None)
            if found is None:
                return ()
            tree = found.blob
        if tree not in self._members:
            self._members[tree] = self._read_members(tree)
        return self._members[tree]

    def _read_members(self, tree: str) -> tuple[tuple[ServerId, str], ...]:
        try:
            entries = self._view.objects.children(tree)
            files = {FOLDER + one.path: self._view.objects.text(one.blob) for one in entries}
            return tuple(
                (member.id, " ".join(member.ssh_key.split()[:2])) for member in members_of(files)
            )
        except ConfigRepoError:
            # Nobody is learned from members that cannot be read; the reader says why.
            return ()


def _move(line: str) -> _Move:
    match line.split(" ", 2):
        case [old, new, ref]:
            return _known(old), _known(new), ref
    raise StoreError("git's hook gave a line that cannot be read")


def _known(name: str) -> CommitId | None:
    return None if name == _NONE else CommitId(name)


def _kinds(view: Store, tips: Sequence[CommitId], loose: Loose | None) -> dict[str, str]:
    known = None if loose is None else loose.kinds_of(tips)
    if known is not None:
        return known
    sizes = git.object_sizes(view.path, tips, view.quarantine)
    return {name: kind for name, (kind, _) in sizes.items()}


def _grows(
    view: Store,
    old: CommitId | None,
    new: CommitId | None,
    loose: Loose | None,
) -> bool:
    if new is None:
        return False
    try:
        if old is None or (loose is not None and loose.grows(old, new)):
            return True
        return view.is_ancestor(old, new)
    except NotFound:
        return False


def _problems(view: Store, cluster: PushedRef) -> tuple[Problem, ...]:
    """What the reader says of the files that the new `cluster` changes."""
    if cluster.new is None:
        return ()
    before = {} if cluster.old is None else view.entries(cluster.old)
    texts = {}
    unreadable = []
    size = 0
    after = view.entries(cluster.new)
    for path, entry in after.items():
        if before.get(path) == entry:
            continue
        try:
            texts[path] = view.objects.text(entry.blob)
        except StoreError:
            unreadable.append(Problem(Severity.ERROR, 0, 0, "found bytes, expected UTF-8", path))
            continue
        size += len(texts[path])
        if size > MOST_UNFOLDED:
            # One large file may stand in many places.
            return (Problem(Severity.ERROR, 0, 0, _TOO_MUCH_CHANGES, path),)
    moved = before.get(CLUSTER_SETTINGS) != after.get(CLUSTER_SETTINGS)
    return (*unreadable, *_unread(view, cluster, texts, moved))


def _unread(
    view: Store, cluster: PushedRef, texts: dict[str, str], moved: bool
) -> tuple[Problem, ...]:
    """What the reader says, as far as this release knows the schema; that never goes back."""
    problems = read_files(texts)
    if cluster.new is None or not (moved or problems):
        return problems
    now = _schema_in(view, cluster.new)
    before = 1 if cluster.old is None else _schema_in(view, cluster.old)
    if now < before:
        said = f"the schema of the configuration went back from {before} to {now}"
        return (*problems, Problem(Severity.ERROR, 0, 0, said, CLUSTER_SETTINGS))
    return () if now > SCHEMA else problems
