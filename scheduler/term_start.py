"""When a primary may begin its term with a commit of its own.

Not before it has everything that the others have: a commit that changes nothing must not
make two histories out of one. Where lines grew apart, the merge that heals them is the
first commit of the term instead.

Core: reads a store.
"""

from __future__ import annotations

from typing import Protocol

from configrepo.revision import CommitId
from scheduler.changes import CLUSTER, Changes
from scheduler.control_view import ControlRole, ControlView

_ANSWERS = ("alive", "suspect")


class Lines(Protocol):
    """What is needed of the store."""

    def ref(self, name: str) -> CommitId | None:
        """The commit that a ref points to."""
        ...

    def has(self, commit: CommitId) -> bool:
        """Whether a commit is here."""
        ...

    def is_ancestor(self, ancestor: CommitId, commit: CommitId) -> bool:
        """Whether the second commit is, or grew from, the first."""
        ...


def begin_term(view: ControlView, lines: Lines, changes: Changes) -> str:
    """Begin the term of this server if it leads and may; returns one sentence.

    Doing it again does nothing: the ref of the term says that it has begun.

    Raises:
        DiskFull: nothing was changed; it is tried again.
    """
    if view.role is not ControlRole.PRIMARY or not view.running:
        return "this server does not lead"
    head = lines.ref(CLUSTER)
    if head is None:
        return "there is no cluster yet"
    for peer in view.peers:
        if peer.state in _ANSWERS and peer.head and not _contains(lines, head, peer.head):
            return f"BQN {peer.id} has commits that come first"
    begun = changes.begin_term()
    return "the term has begun" if begun is None else f"term {view.epoch} begins with {begun}"


def _contains(lines: Lines, head: CommitId, other: str) -> bool:
    commit = CommitId(other)
    return lines.has(commit) and lines.is_ancestor(commit, head)
