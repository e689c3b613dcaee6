"""Looks at what commits bring that is not here yet, before they are let in.

The objects may come from a server that lies: a tree can be huge, endlessly deep, or a
few objects that unfold to millions of files. So how many they are is read from the head of
the pack, kinds and sizes are looked at next without inflating anything (of a small push
here, else by git), files are counted per tree and not per path, no further than it takes to
refuse, and only some trees are kept in memory.

Edge: the repository on disk.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configrepo import git
from configrepo.admission import (
    DIRECTORY_MODE,
    LARGEST_TREE_OR_COMMIT,
    MOST_ENTRIES,
    MOST_OBJECTS,
    MOST_UNFOLDED,
    Brought,
    IncomingFile,
)
from configrepo.revision import CommitId
from configrepo.store.loose import Loose
from configrepo.store.objects import Objects

_DEEPEST = 8
_MOST_NEW = 400_000
_KEPT_ENTRIES = 100_000
_PACK_HEAD = struct.Struct(">4sII")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may come at a time: objects, and bytes that they unfold to (None: any)."""

    objects: int
    size: int | None = None


PUSHED = Limits(MOST_OBJECTS, MOST_UNFOLDED)
"""Servers send in slices (`configrepo.store.packing`) that are far smaller than this."""

FETCHED = Limits(2 * MOST_OBJECTS)
"""What was missed for long is fetched at once; the size of the pack is bounded elsewhere."""


def brought_by(
    path: Path,
    objects: Objects,
    tips: Sequence[CommitId],
    quarantine: Path | None,
    limits: Limits = FETCHED,
) -> Brought:
    """What `tips` reach that no ref of the repository does."""
    if not tips:
        return Brought()
    count = 0 if quarantine is None else _packed(quarantine)
    if count > limits.objects:
        return Brought(objects=count, listed=False)
    loose = Loose.in_directory(objects, quarantine)
    if loose is not None and loose.kinds_of(tips) is None:
        loose = None
    sizes = _sizes(path, tips, quarantine) if loose is None else loose.sizes
    heaviest = max((size for kind, size in sizes.values() if kind != "blob"), default=0)
    kinds = frozenset(kind for kind, _ in sizes.values())
    largest = max((size for kind, size in sizes.values() if kind == "blob"), default=0)
    if heaviest > LARGEST_TREE_OR_COMMIT or not kinds <= {"commit", "tree", "blob"}:
        return Brought(kinds, heaviest, largest, listed=False)
    unfolded = sum(size for _, size in sizes.values())
    if limits.size is not None and unfolded > limits.size:
        return Brought(kinds, heaviest, largest, unfolded=unfolded, listed=False)
    commits = None if loose is None else loose.commits(tips)
    if commits is None:
        sizes = _sizes(path, tips, quarantine)
        commits = git.rev_list(path, tips, unknown_only=True, quarantine=quarantine)
    look = _Look(objects, sizes)
    most = look.most(commits)
    if most <= MOST_ENTRIES:
        look.walk(commits)
    oldest_first = tuple(reversed(commits))
    return Brought(kinds, heaviest, largest, most, tuple(look.files), look.complete, oldest_first)


def _packed(quarantine: Path) -> int:
    """How many objects the packs of a quarantine say they hold."""
    count = 0
    for pack in (quarantine / "pack").glob("*.pack"):
        with pack.open("rb") as file:
            head = file.read(_PACK_HEAD.size)
        if len(head) == _PACK_HEAD.size:
            count += _PACK_HEAD.unpack(head)[2]
    return count


def _sizes(
    path: Path, tips: Sequence[CommitId], quarantine: Path | None
) -> dict[str, tuple[str, int]]:
    return git.object_sizes(path, git.new_objects(path, tips, quarantine=quarantine), quarantine)


class _Look:
    """One look at the trees of new commits."""

    def __init__(self, objects: Objects, sizes: dict[str, tuple[str, int]]) -> None:
        self.files: list[IncomingFile] = []
        self.complete = False
        self._objects = objects
        self._sizes = sizes
        self._children: OrderedDict[str, frozenset[tuple[str, int, str]]] = OrderedDict()
        self._kept = 0
        self._counts: dict[tuple[str, int], int] = {}
        self._seen: dict[str, set[tuple[str, int, str]]] = {}
        self._new = 0

    def most(self, commits: Sequence[CommitId]) -> int:
        """The most files in the tree of one commit; no more are counted once it is too many."""
        most = 0
        for commit in commits:
            most = max(most, self._count(self._objects.tree_id(commit), 0))
            if most > MOST_ENTRIES:
                break
        return most

    def _count(self, tree: str, depth: int) -> int:
        """How many files a tree unfolds to; what lies too deep counts as one."""
        if depth > _DEEPEST:
            return 1
        known = self._counts.get((tree, depth))
        if known is None:
            known = 0
            for _, mode, inner in self._children_of(tree):
                known += self._count(inner, depth + 1) if mode == DIRECTORY_MODE else 1
                if known > MOST_ENTRIES:
                    break
            self._counts[tree, depth] = known
        return known

    def walk(self, commits: Sequence[CommitId]) -> None:
        """List the files that the commits have and their parents have not, oldest first."""
        new = set(commits)
        for commit in reversed(commits):
            for parent in self._objects.revision(commit).parents:
                if parent not in new:
                    self._into(self._objects.tree_id(parent), "", 0, listing=False)
            self._into(self._objects.tree_id(commit), "", 0, listing=True)
        self.complete = self._new <= _MOST_NEW

    def _into(self, tree: str, prefix: str, depth: int, *, listing: bool) -> None:
        seen = self._seen.setdefault(prefix, set())
        fresh = self._children_of(tree) - seen
        seen |= fresh
        for name, mode, inner in fresh:
            if mode == DIRECTORY_MODE and depth < _DEEPEST:
                self._into(inner, f"{prefix}{name}/", depth + 1, listing=listing)
            elif listing and self._new <= _MOST_NEW:
                self._new += 1
                size = self._sizes.get(inner, ("", 0))[1]
                self.files.append(IncomingFile(prefix + name, mode, size))

    def _children_of(self, tree: str) -> frozenset[tuple[str, int, str]]:
        known = self._children.get(tree)
        if known is None:
            children = self._objects.children(tree)
            known = frozenset((entry.path, entry.mode, entry.blob) for entry in children)
            self._children[tree] = known
            self._kept += len(known)
            while self._kept > _KEPT_ENTRIES and len(self._children) > 1:
                self._kept -= len(self._children.popitem(last=False)[1])
        else:
            self._children.move_to_end(tree)
        return known
