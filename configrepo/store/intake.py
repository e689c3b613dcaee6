"""Looks at what commits bring that is not here yet, before they are let in.

The objects may come from a server that lies: a tree can be huge, endlessly deep, or a
few objects that unfold to millions of files. So git first says kinds and sizes without
inflating anything, files are counted per tree and not per path, and the walk is bounded.

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
from configrepo.store.objects import Entry, Objects

_DEEPEST = 8
_MOST_STEPS = 400_000


def brought_by(
    path: Path, objects: Objects, tips: Sequence[CommitId], quarantine: Path | None
) -> Brought:
    """What `tips` reach that no ref of the repository does."""
    ids = git.new_objects(path, tips, quarantine=quarantine)
    sizes = git.object_sizes(path, ids, quarantine)
    heaviest = max((size for kind, size in sizes.values() if kind != "blob"), default=0)
    kinds = frozenset(kind for kind, _ in sizes.values())
    largest = max((size for kind, size in sizes.values() if kind == "blob"), default=0)
    if heaviest > LARGEST_TREE_OR_COMMIT or not kinds <= {"commit", "tree", "blob"}:
        return Brought(kinds, heaviest, largest, listed=False)
    commits = git.rev_list(path, tips, unknown_only=True, quarantine=quarantine)
    look = _Look(objects, sizes)
    most = max((look.count(objects.tree_id(one), 0) for one in commits), default=0)
    if most <= MOST_ENTRIES:
        look.walk(commits)
    return Brought(kinds, heaviest, largest, most, tuple(look.files), listed=look.complete)


class _Look:
    """One look at the trees of new commits."""

    def __init__(self, objects: Objects, sizes: dict[str, tuple[str, int]]) -> None:
        self.files: list[IncomingFile] = []
        self.complete = False
        self._objects = objects
        self._sizes = sizes
        self._children: dict[str, list[Entry]] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._seen: set[tuple[str, str]] = set()
        self._steps = 0

    def count(self, tree: str, depth: int) -> int:
        """How many files a tree unfolds to; what lies too deep counts as one."""
        if depth > _DEEPEST:
            return 1
        known = self._counts.get((tree, depth))
        if known is None:
            known = sum(
                self.count(entry.blob, depth + 1) if entry.mode == DIRECTORY_MODE else 1
                for entry in self._children_of(tree)
            )
            self._counts[tree, depth] = known
        return known

    def walk(self, commits: Sequence[CommitId]) -> None:
        """List the files in directories that the commits' parents do not have, oldest first."""
        new = set(commits)
        for commit in reversed(commits):
            for parent in self._objects.revision(commit).parents:
                if parent not in new:
                    self._into(self._objects.tree_id(parent), "", 0, listing=False)
            self._into(self._objects.tree_id(commit), "", 0, listing=True)
        self.complete = self._steps <= _MOST_STEPS

    def _into(self, tree: str, prefix: str, depth: int, *, listing: bool) -> None:
        if (tree, prefix) in self._seen or self._steps > _MOST_STEPS:
            return
        self._seen.add((tree, prefix))
        for entry in self._children_of(tree):
            self._steps += 1
            path = prefix + entry.path
            if entry.mode == DIRECTORY_MODE and depth < _DEEPEST:
                self._into(entry.blob, f"{path}/", depth + 1, listing=listing)
            elif listing:
                size = self._sizes.get(entry.blob, ("", 0))[1]
                self.files.append(IncomingFile(path, entry.mode, size))

    def _children_of(self, tree: str) -> list[Entry]:
        known = self._children.get(tree)
        if known is None:
            known = self._children[tree] = self._objects.children(tree)
        return known
