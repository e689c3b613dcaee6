"""Looks at what commits bring that is not here yet, before they are let in.

The objects may come from a server that lies: a tree can be huge, endlessly deep, or a
few objects that unfold to millions of files. So kinds and sizes are looked at first without
inflating anything (of a small push here, else by git), files are counted per tree and not
per path, and the walk is bounded.

Edge: the repository on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configrepo import git
from configrepo.admission import (
    DIRECTORY_MODE,
    LARGEST_TREE_OR_COMMIT,
    MOST_ENTRIES,
    Brought,
    IncomingFile,
)
from configrepo.revision import CommitId
from configrepo.store.loose import Loose
from configrepo.store.objects import Objects

_DEEPEST = 8
_MOST_NEW = 400_000


def brought_by(
    path: Path, objects: Objects, tips: Sequence[CommitId], quarantine: Path | None
) -> Brought:
    """What `tips` reach that no ref of the repository does."""
    if not tips:
        return Brought()
    loose = Loose.in_directory(objects, quarantine)
    if loose is not None and loose.kinds_of(tips) is None:
        loose = None
    sizes = _sizes(path, tips, quarantine) if loose is None else loose.sizes
    heaviest = max((size for kind, size in sizes.values() if kind != "blob"), default=0)
    kinds = frozenset(kind for kind, _ in sizes.values())
    largest = max((size for kind, size in sizes.values() if kind == "blob"), default=0)
    if heaviest > LARGEST_TREE_OR_COMMIT or not kinds <= {"commit", "tree", "blob"}:
        return Brought(kinds, heaviest, largest, listed=False)
    commits = None if loose is None else loose.commits(tips)
    if commits is None:
        sizes = _sizes(path, tips, quarantine)
        commits = git.rev_list(path, tips, unknown_only=True, quarantine=quarantine)
    look = _Look(objects, sizes)
    most = max((look.count(objects.tree_id(one), 0) for one in commits), default=0)
    if most <= MOST_ENTRIES:
        look.walk(commits)
    oldest_first = tuple(reversed(commits))
    return Brought(kinds, heaviest, largest, most, tuple(look.files), look.complete, oldest_first)


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
        self._children: dict[str, frozenset[tuple[str, int, str]]] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._seen: dict[str, set[tuple[str, int, str]]] = {}
        self._new = 0

    def count(self, tree: str, depth: int) -> int:
        """How many files a tree unfolds to; what lies too deep counts as one."""
        if depth > _DEEPEST:
            return 1
        known = self._counts.get((tree, depth))
        if known is None:
            known = sum(
                self.count(inner, depth + 1) if mode == DIRECTORY_MODE else 1
                for _, mode, inner in self._children_of(tree)
            )
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
        return known
