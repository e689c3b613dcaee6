"""The merge of two heads: one tree, whichever server makes it.

The base is what both grew from (where merges in both directions left several bases, these
are merged first, in a fixed order). Which head is the lower line follows from the terms
that the two commits name. What waits is recorded with who gave each value and when.

Core: reads a store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from itertools import pairwise

from configrepo import git
from configrepo.checks import check_files
from configrepo.conflicts import Entry, Origin, conflicts_path, conflicts_text
from configrepo.healed_tree import Waiting, heal_trees
from configrepo.layout import read_files
from configrepo.members import with_allowed_signers
from configrepo.merge import merge_files
from configrepo.model import Files, Problem, ServerId
from configrepo.store import CommitId, Revision, Store
from scheduler.changes import has_error
from scheduler.heal_plan import Term, lower_first, term_of_trailers

_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class MergedHeads:
    """The tree of a merge commit, and how many values wait in it that did not before."""

    files: dict[str, str]
    waiting: int


def merged_heads(
    store: Store, a: CommitId, b: CommitId, reseal: Callable[[Files], dict[str, str]]
) -> MergedHeads:
    """The merge of two heads: the same tree on every server, whichever is named first.

    Raises:
        UnreadableConfig: a tree cannot be read, or a secret of it has no key here.
    """
    if not lower_first(_ranked(store, a), _ranked(store, b)):
        a, b = b, a
    bases = git.merge_bases(store.path, a, b)
    base = base_files(store, bases, reseal)
    lower, higher = reseal(store.files(a)), reseal(store.files(b))
    healed = heal_trees(base, lower, higher, git.merge_lines, problems_of)
    history = _History(store, bases, a, b)
    text = conflicts_text(history.entry(one) for one in healed.waiting)
    recorded = {} if text is None else {conflicts_path((a, b)): text}
    return MergedHeads(with_allowed_signers({**healed.files, **recorded}), len(healed.waiting))


def base_files(
    store: Store,
    bases: list[CommitId],
    reseal: Callable[[Files], dict[str, str]],
    depth: int = 0,
) -> dict[str, str]:
    """The tree that two lines grew from; several bases are merged themselves, in their order."""
    if not bases:
        return {}
    files = reseal(store.files(bases[0]))
    for one, other in pairwise(bases):
        below = git.merge_bases(store.path, one, other) if depth < _DEEPEST else []
        under = base_files(store, below, reseal, depth + 1)
        files = merge_files(under, files, reseal(store.files(other)), git.merge_lines).files
    return files


def problems_of(files: Files) -> tuple[Problem, ...]:
    """Everything that is wrong with a tree."""
    unreadable = read_files(files)
    return unreadable if has_error(unreadable) else check_files(files)


class _History:
    """Who gave a value in which line."""

    def __init__(
        self, store: Store, bases: list[CommitId], lower: CommitId, higher: CommitId
    ) -> None:
        self._store = store
        self._bases = bases
        self._heads = (lower, higher)
        self._found: dict[tuple[CommitId, str], Origin] = {}

    def entry(self, waiting: Waiting) -> Entry:
        lower, higher = (self._origin(head, waiting.path) for head in self._heads)
        return Entry(
            path=waiting.path,
            key=waiting.key,
            base=waiting.base,
            applied=waiting.applied,
            other=waiting.other,
            applied_by=lower,
            other_by=higher,
            reason=waiting.reason,
        )

    def _origin(self, head: CommitId, path: str) -> Origin:
        known = self._found.get((head, path))
        if known is None:
            changed = git.rev_list(
                self._store.path, [head], not_from=self._bases, limit=1, only_path=path
            )
            # A line that left the file alone speaks through its newest commit.
            known = _origin_of(self._store.revision(changed[0] if changed else head))
            self._found[head, path] = known
        return known


def _origin_of(revision: Revision) -> Origin:
    time = revision.time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    server = revision.trailers.get("Server", "")
    number = int(server) if server.isascii() and server.isdigit() and len(server) <= 3 else 0
    return Origin(revision.author_name, time, ServerId(min(number, 255)))


def _ranked(store: Store, head: CommitId) -> tuple[Term | None, CommitId]:
    return term_of_trailers(store.revision(head).trailers), head
