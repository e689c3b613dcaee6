"""Reads what a small push has brought, without starting git.

Git unpacks a small push into one file per object, in a directory of its own. Kind and
size stand in the first bytes of each file, so they are known before anything is inflated.
Starting git five times to ask the same costs several times what receiving the push costs.
Where this cannot be certain (a pack, many objects, a parent that no ref points to) it says
so, and git is asked.

Edge: the repository on disk.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from configrepo.errors import NotFound, StoreError
from configrepo.revision import CommitId
from configrepo.store.objects import Objects

_MOST = 200
_HEADER = re.compile(rb"(commit|tree|blob|tag) ([0-9]{1,12})\0")
# The tables of the compression come before the first byte; they take some 300 bytes at most.
_FIRST_BYTES = 1024
_LONGEST_HEADER = 64
_FANOUT = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{38}")


class Loose:
    """The objects of a quarantine that holds nothing but loose objects.

    Attributes:
        sizes: kind and size of each object.
    """

    def __init__(self, objects: Objects, sizes: dict[str, tuple[str, int]]) -> None:
        """Use `in_directory`."""
        self.sizes = sizes
        self._objects = objects

    @classmethod
    def in_directory(cls, objects: Objects, quarantine: Path | None) -> Loose | None:
        """Look into a quarantine; None if git must be asked."""
        if quarantine is None:
            return None
        sizes: dict[str, tuple[str, int]] = {}
        try:
            for file in _files_in(quarantine):
                header = _header_of(file)
                if header is None or len(sizes) >= _MOST or not _REST.fullmatch(file.name):
                    return None
                sizes[file.parent.name + file.name] = header
        except (OSError, StoreError):
            return None
        return cls(objects, sizes)

    def kinds_of(self, tips: Sequence[CommitId]) -> dict[str, str] | None:
        """The kinds of pushed objects; None if one of them did not come with this push."""
        found: dict[str, str] = {one: self.sizes[one][0] for one in tips if one in self.sizes}
        return found if all(one in found for one in tips) else None

    def commits(self, tips: Sequence[CommitId]) -> list[CommitId] | None:
        """What `tips` reach that no ref does, children first; None if git must be asked.

        To be asked after the sizes were found acceptable.
        """
        known = set(self._objects.refs("refs/").values())
        oldest_first: dict[CommitId, None] = {}
        try:
            whole = all(self._walk(tip, known, oldest_first) for tip in tips)
        except (NotFound, StoreError):
            return None
        return list(reversed(oldest_first)) if whole else None

    def _walk(
        self, start: CommitId, known: set[CommitId], oldest_first: dict[CommitId, None]
    ) -> bool:
        """Add a commit and what it grew from; False at a parent that no ref points to."""
        todo: list[tuple[CommitId, bool]] = [(start, False)]
        while todo:
            commit, parents_done = todo.pop()
            if commit in oldest_first or commit in known:
                continue
            if self.sizes.get(commit, ("", 0))[0] != "commit":
                return False
            if parents_done:
                oldest_first[commit] = None
                continue
            parents = self._objects.revision(commit).parents
            todo.append((commit, True))
            todo.extend((parent, False) for parent in parents)
        return True

    def grows(self, old: CommitId, new: CommitId) -> bool:
        """Whether `new` certainly grew from `old`; if not, git must be asked."""
        todo, seen = [new], set()
        while todo:
            commit = todo.pop()
            if commit == old:
                return True
            if commit in seen or self.sizes.get(commit, ("", 0))[0] != "commit":
                continue
            seen.add(commit)
            todo.extend(self._objects.revision(commit).parents)
        return False


def _files_in(quarantine: Path) -> list[Path]:
    found = []
    for directory in quarantine.iterdir():
        if _FANOUT.fullmatch(directory.name):
            found += list(directory.iterdir())
        elif directory.name != "pack" or any(directory.iterdir()):
            raise StoreError(f"{directory.name} is not a directory of loose objects")
    return found


def _header_of(file: Path) -> tuple[str, int] | None:
    with file.open("rb") as opened:
        start = opened.read(_FIRST_BYTES)
    try:
        found = _HEADER.match(zlib.decompressobj().decompress(start, _LONGEST_HEADER))
    except zlib.error:
        return None
    return None if found is None else (found[1].decode(), int(found[2]))
