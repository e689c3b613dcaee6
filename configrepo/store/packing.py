"""What is sent to other servers: made once for all that lack the same, and in slices.

Many servers usually have the same commits, so the objects between what they have and what
they are sent are looked up and compressed once. What would be larger than a receiver takes
at a time is sent as slices of history: lines of terms from the oldest on, each as far as a
slice reaches; `cluster` comes last, when everything that it needs is there. A long history is
never looked through as a whole to find its first slice.

Edge: the repository on disk.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.pack import UnpackedObject, pack_object_chunks

from configrepo import git
from configrepo.admission import CLUSTER
from configrepo.revision import CommitId
from configrepo.store.objects import Objects

SLICE_BYTES = 16 * 1024 * 1024
"""The most that is sent at once, not compressed: safely below what a receiver takes (20 MiB)."""

_HELD_PACKS = 4
_LARGEST_HELD = 4 * 1024 * 1024
_MOST_HELD_OBJECTS = 20_000
_MANY_COMMITS = 1_000
_HISTORY = ("refs/heads/", "refs/terms/")

Key = tuple[frozenset[CommitId], frozenset[CommitId]]


@dataclass(frozen=True, slots=True)
class _Held:
    """Objects ready to be sent; `size` is that of their contents."""

    records: tuple[UnpackedObject, ...]
    size: int


def counts_for(updates: Collection[str], there: Mapping[str, CommitId]) -> frozenset[CommitId]:
    """What the far end has, as far as it matters for these refs.

    What ran where differs from server to server; it is left out unless it is what is sent,
    so that many servers are sent the same.
    """
    if all(not ref.startswith(_HISTORY) for ref in updates):
        return frozenset(there.values())
    return frozenset(commit for ref, commit in there.items() if ref.startswith(_HISTORY))


class Packing:
    """Makes what is sent from one repository."""

    def __init__(self, path: Path, objects: Objects, slice_bytes: int = SLICE_BYTES) -> None:
        self._path = path
        self._objects = objects
        self._slice_bytes = slice_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, _Held] = OrderedDict()

    def between(
        self, have: Collection[CommitId], want: Collection[CommitId]
    ) -> tuple[int, Iterator[UnpackedObject]]:
        """How many objects `want` reaches and `have` does not, and the objects."""
        key = (frozenset(have), frozenset(want))
        with self._lock:
            held = self._ready(key)
        if held is not None:
            return len(held.records), iter(held.records)
        return self._objects.pack_of(self._missing(key))

    def slice_of(
        self, updates: Mapping[str, CommitId], there: Mapping[str, CommitId]
    ) -> dict[str, CommitId]:
        """The part of these updates that is sent now; all of them, if they are small."""
        have = {one for one in counts_for(updates, there) if self._objects.has(one)}
        if self._fits(have, updates.values()):
            return dict(updates)
        for ref in sorted(updates, key=lambda ref: (ref == CLUSTER, ref)):
            if self._fits(have, (updates[ref],)):
                return {ref: updates[ref]}
            part = self._part(ref, updates[ref], have)
            if part is not None:
                return {ref: part}
        return dict(updates)

    def _part(self, ref: str, tip: CommitId, have: Collection[CommitId]) -> CommitId | None:
        """The newest commit of a line that fits; None if this line cannot be sent in parts."""
        if ref == CLUSTER:
            # Each part would be applied: servers run only what was the newest.
            return None
        new = git.rev_list(self._path, [tip], not_from=have)
        line = [one for one in reversed(new) if self._line_of(one) == self._line_of(tip)]
        if not line:
            return None
        fits, beyond = 0, 1
        while beyond < len(line) and self._fits(have, (line[beyond],)):
            fits, beyond = beyond, 2 * beyond
        beyond = min(beyond, len(line))
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            if self._fits(have, (line[middle],)):
                fits = middle
            else:
                beyond = middle
        return line[fits]

    def _line_of(self, commit: CommitId) -> tuple[str | None, str | None]:
        trailers = self._objects.revision(commit).trailers
        return trailers.get("Server"), trailers.get("Term")

    def _fits(self, have: Collection[CommitId], want: Collection[CommitId]) -> bool:
        """Whether it can be sent at once; of very many commits it is not even tried."""
        key = (frozenset(have), frozenset(want))
        with self._lock:
            held = self._ready(key)
            if held is not None:
                return held.size <= self._slice_bytes
        if self._many(key):
            return False
        sizes = git.object_sizes(self._path, self._missing(key), None)
        return sum(size for _, size in sizes.values()) <= self._slice_bytes

    def _ready(self, key: Key) -> _Held | None:
        """What is held for a key, made if it is small; the caller holds the lock."""
        held = self._held.get(key)
        if held is None:
            if self._many(key):
                return None
            names = self._missing(key)
            held = self._make(names) if len(names) <= _MOST_HELD_OBJECTS else None
            if held is None:
                return None
            self._held[key] = held
            while len(self._held) > _HELD_PACKS:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return held

    def _make(self, names: Sequence[str]) -> _Held | None:
        """Compress the objects; None if they are too large to be held."""
        sizes = git.object_sizes(self._path, names, None) if len(names) > 64 else {}
        if sum(size for _, size in sizes.values()) > _LARGEST_HELD:
            return None
        _, found = self._objects.pack_of(names)
        records = tuple(found)
        size = sum(sum(map(len, record.decomp_chunks)) for record in records)
        if size > _LARGEST_HELD:
            return None
        for record in records:
            record.comp_chunks = [_compressed(record)]
        return _Held(records, size)

    def _many(self, key: Key) -> bool:
        have, want = key
        new = git.rev_list(self._path, sorted(want), not_from=sorted(have), limit=_MANY_COMMITS + 1)
        return len(new) > _MANY_COMMITS

    def _missing(self, key: Key) -> list[str]:
        have, want = key
        return git.new_objects(self._path, sorted(want), not_from=sorted(have))


def _compressed(record: UnpackedObject) -> bytes:
    chunks = pack_object_chunks(
        record.pack_type_num, record.decomp_chunks, object_format=DEFAULT_OBJECT_FORMAT
    )
    return b"".join(chunks)
