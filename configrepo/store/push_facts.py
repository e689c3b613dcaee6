"""Gathers what `configrepo.admission` needs to know about a push that git has received.

The objects lie in git's quarantine; nothing is read before git has told its size, and
only files of a `cluster` whose trees are in order are read at all.

Edge: the repository on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from configrepo import git
from configrepo.admission import CLUSTER, PushedRef, PushFacts, refusal_of_trees
from configrepo.errors import NotFound, StoreError
from configrepo.layout import read_files
from configrepo.model import Problem, ServerId, Severity
from configrepo.revision import CommitId
from configrepo.store.repository import Store

_NONE = "0" * 40


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

    Raises:
        StoreError: a line is not git's, or git could not answer.
    """
    moves = [_move(line) for line in lines]
    tips = list(dict.fromkeys(new for _, new, _ in moves if new is not None))
    kinds = {
        name: kind for name, (kind, _) in git.object_sizes(view.path, tips, view.quarantine).items()
    }
    refs = tuple(
        PushedRef(ref, old, new, kinds.get(new or "") == "commit", _grows(view, old, new, kinds))
        for old, new, ref in moves
    )
    brought = view.brought_by(tips)
    cluster = next((one for one in refs if one.ref == CLUSTER), None)
    problems: tuple[Problem, ...] = ()
    if cluster is not None and cluster.fast_forward and refusal_of_trees(brought) is None:
        problems = _problems(view, cluster)
    return PushFacts(
        peer=peer,
        standing=standing,
        me=me,
        following=following,
        epoch=epoch,
        accepted=accepted,
        refs=refs,
        brought=brought,
        problems=problems,
    )


def _move(line: str) -> tuple[CommitId | None, CommitId | None, str]:
    match line.split(" ", 2):
        case [old, new, ref]:
            return _known(old), _known(new), ref
    raise StoreError("git's hook gave a line that cannot be read")


def _known(name: str) -> CommitId | None:
    return None if name == _NONE else CommitId(name)


def _grows(view: Store, old: CommitId | None, new: CommitId | None, kinds: dict[str, str]) -> bool:
    if new is None or kinds.get(new) != "commit":
        return False
    try:
        return old is None or view.is_ancestor(old, new)
    except NotFound:
        return False


def _problems(view: Store, cluster: PushedRef) -> tuple[Problem, ...]:
    """What the reader says of the files that the new `cluster` changes."""
    if cluster.new is None:
        return ()
    before = {} if cluster.old is None else view.entries(cluster.old)
    texts = {}
    unreadable = []
    for path, entry in view.entries(cluster.new).items():
        if before.get(path) == entry:
            continue
        try:
            texts[path] = view.objects.text(entry.blob)
        except StoreError:
            unreadable.append(Problem(Severity.ERROR, 0, 0, "found bytes, expected UTF-8", path))
    return (*unreadable, *read_files(texts))
