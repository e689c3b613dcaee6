"""What a server lets in when another one pushes: decided from facts, before any ref moves.

Every ref has one writer and only grows, so a push that is let in can never overwrite:

- `refs/heads/cluster` comes only from the primary that this server follows, in a term not
  older than the last one accepted (a stale primary cannot turn time back);
- `refs/heads/server/<id>` and `refs/terms/<epoch>-<id>` are written by server `<id>` and may
  be relayed by the primary, but never to their own writer;
- `refs/bqn/running/<id>` and `refs/notes/apply-<id>` (what runs there, and when it was
  applied) likewise; the former alone may move back;
- every new commit is signed by the server that it names (`configrepo.authorship`);
- nothing is deleted, no other ref exists, and a server that is still joining may bring
  only its own line.

What a push brings is plain configuration: directories and files that the writer of this
product could have written (`configrepo.layout`), in a bounded number and size, and a
`cluster` that can be read; notes are short texts, named by the commit. This module does
not know git, sockets or the clock.

A configuration of a newer schema is taken too, or this server could not follow: what cannot
be read is not read, but its kinds, modes, sizes and numbers keep their limits and its paths
their shape. The schema never goes back.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from configrepo.authorship import Keys, Written, refusal_of_commits, refusal_of_tip
from configrepo.layout import path_allowed
from configrepo.model import Problem, ServerId, Severity
from configrepo.revision import CommitId

MOST_ENTRIES = 40_000
LARGEST_BLOB = 16 * 1024 * 1024
LARGEST_TREE_OR_COMMIT = 4 * 1024 * 1024
MOST_OBJECTS = 200_000
MOST_UNFOLDED = 64 * 1024 * 1024
MOST_REFS = 1_024
TOO_MANY_REFS = f"a push moves at most {MOST_REFS} refs"
LARGEST_NOTE = 64 * 1024
LAST_SERVER = 255
CLUSTER = "refs/heads/cluster"
FILE_MODE = 0o100644
DIRECTORY_MODE = 0o040000

_SERVER_LINE = re.compile(r"refs/heads/server/(?P<id>0|[1-9][0-9]{0,2})")
_TERM = re.compile(r"refs/terms/(?P<term>[0-9]{12})-(?P<id>[0-9]{3})")
_RUNNING = re.compile(r"refs/bqn/running/(?P<id>0|[1-9][0-9]{0,2})")
_NOTES = re.compile(r"refs/notes/apply-(?P<id>0|[1-9][0-9]{0,2})")
_NAME = r"[A-Za-z0-9_%@+~-][A-Za-z0-9._%@+~-]{0,254}"
_PLAIN = re.compile(rf"(?:common|servers|cluster)(?:/{_NAME}){{1,8}}")
_NOTE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}")


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """One file that new commits place somewhere; `mode` as git stores it, `size` in bytes."""

    path: str
    mode: int
    size: int


@dataclass(frozen=True, slots=True)
class Brought:
    """What a push brings that was not here before.

    `commits` are the new ones, oldest first. `kinds` are git's kinds of the new objects,
    `heaviest` the largest new tree or commit in bytes, `most_entries` the largest number of
    files in one new tree. Where a limit is already broken neither files nor commits are
    listed (`listed` False); `objects` and `unfolded` (bytes) are told only if they are the
    limit that was broken.
    """

    kinds: frozenset[str] = frozenset()
    heaviest: int = 0
    largest_blob: int = 0
    most_entries: int = 0
    files: tuple[IncomingFile, ...] = ()
    listed: bool = True
    commits: tuple[CommitId, ...] = ()
    objects: int = 0
    unfolded: int = 0


@dataclass(frozen=True, slots=True)
class PushedRef:
    """One ref that a push wants to move.

    `commit`: the new value is a commit. `fast_forward`: it is, and grew from the old
    value or the ref is new. `tip`: what that commit says of its making.
    """

    ref: str
    old: CommitId | None
    new: CommitId | None
    commit: bool
    fast_forward: bool
    tip: Written | None = None


@dataclass(frozen=True, slots=True)
class PushFacts:
    """Everything the decision needs.

    Attributes:
        peer: who pushes, from its SSH key.
        standing: whether the peer is a member or still joining.
        me: this server.
        following: the primary that this server follows; None if it leads or knows none.
        epoch: the term of that primary.
        accepted: the term and primary of the last `cluster` accepted; None if none was.
        refs: what is to move.
        brought: the new objects of the configuration.
        problems: what the reader says of the new `cluster`.
        notes: the new objects of notes.
        commits: what the new commits say of their making, oldest first.
        keys: the keys of the servers that are known here.
        newer: the configuration is of a schema that this release does not know.
    """

    peer: ServerId
    standing: Literal["member", "joining"]
    me: ServerId
    following: ServerId | None
    epoch: int
    accepted: tuple[int, ServerId] | None
    refs: tuple[PushedRef, ...]
    brought: Brought
    problems: tuple[Problem, ...] = ()
    notes: Brought = Brought()
    commits: tuple[Written, ...] = ()
    keys: Keys = field(default_factory=dict)
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """The push may go on. `accepted`, if not None, must be on disk before the refs move."""

    accepted: tuple[int, ServerId] | None


@dataclass(frozen=True, slots=True)
class Denied:
    """The push is refused as a whole, for this reason."""

    sentence: str


def admit(facts: PushFacts) -> Admitted | Denied:
    """Decide about one push; the first broken rule is the answer."""
    if len(facts.refs) > MOST_REFS:
        return Denied(TOO_MANY_REFS)
    for pushed in facts.refs:
        sentence = _refusal_of(pushed, facts)
        if sentence is not None:
            return Denied(f"{pushed.ref}: {sentence}")
    sentence = refusal_of_contents(facts)
    if sentence is not None:
        return Denied(sentence)
    if any(pushed.ref == CLUSTER for pushed in facts.refs):
        return Admitted((facts.epoch, facts.peer))
    return Admitted(None)


def refusal_of_contents(facts: PushFacts) -> str | None:
    """Why what was brought cannot be let in, whichever refs move; None if it can."""
    sentence = (
        refusal_of_trees(facts.brought, facts.newer)
        or refusal_of_notes(facts.notes)
        or _refusal_of_problems(facts.problems)
        or refusal_of_commits(facts.commits, facts.keys)
    )
    if sentence is not None:
        return sentence
    for pushed in facts.refs:
        line = _line_of(pushed.ref)
        if line is not None and (sentence := refusal_of_tip(pushed.tip, *line)) is not None:
            return f"{pushed.ref}: {sentence}"
    return None


def is_notes(ref: str) -> bool:
    """Whether a ref holds notes: its trees are no configuration."""
    return _NOTES.fullmatch(ref) is not None


def refusal_of_notes(brought: Brought) -> str | None:
    """Why these objects cannot be let in as notes; None if they can."""
    if (sentence := _refusal_of_amount(brought)) is not None:
        return sentence
    strange = brought.kinds - {"commit", "tree", "blob"}
    if strange or brought.heaviest > LARGEST_TREE_OR_COMMIT or not brought.listed:
        return "what was sent is not a line of notes"
    for file in brought.files:
        if file.mode != FILE_MODE or not _NOTE.fullmatch(file.path):
            return f"{_shown(file.path)}: not the name of a note"
        if file.size > LARGEST_NOTE:
            return f"a note of {file.size} bytes is too large"
    return None


def refusal_of_trees(brought: Brought, newer: bool = False) -> str | None:
    """Why these objects cannot be let in; None if they can.

    Args:
        brought: the objects.
        newer: they are of a schema that this release does not know.
    """
    if (sentence := _refusal_of_amount(brought) or _refusal_of_sizes(brought)) is not None:
        return sentence
    for file in brought.files:
        if file.mode != FILE_MODE:
            return f"{_shown(file.path)}: only plain files are let in, not mode {file.mode:o}"
        if not path_allowed(file.path) and not (newer and _PLAIN.fullmatch(file.path)):
            return f"{_shown(file.path)}: not a place of the configuration"
    return None


def _refusal_of_amount(brought: Brought) -> str | None:
    if brought.objects:
        return f"{brought.objects} objects are more than may come at a time"
    if brought.unfolded:
        return f"what was sent unfolds to {brought.unfolded} bytes, more than may come at a time"
    return None


def _refusal_of_sizes(brought: Brought) -> str | None:
    strange = brought.kinds - {"commit", "tree", "blob"}
    if strange:
        return f"objects of kind {', '.join(sorted(strange))} are not part of a configuration"
    if brought.heaviest > LARGEST_TREE_OR_COMMIT:
        return f"a tree or commit of {brought.heaviest} bytes is too large"
    if brought.largest_blob > LARGEST_BLOB:
        return f"a file of {brought.largest_blob} bytes is too large"
    if brought.most_entries > MOST_ENTRIES or not brought.listed:
        return f"a configuration has at most {MOST_ENTRIES} files"
    return None


def _refusal_of_problems(problems: tuple[Problem, ...]) -> str | None:
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if not errors:
        return None
    first = errors[0]
    return f"{_shown(first.path or 'configuration')}: line {first.line}: {first.message}"


def _refusal_of(pushed: PushedRef, facts: PushFacts) -> str | None:
    if pushed.new is None:
        return "refs are never deleted"
    if facts.standing == "joining" and pushed.ref != f"refs/heads/server/{facts.peer}":
        return f"server {facts.peer} is still joining and may only bring its own line"
    sentence = _refusal_of_writer(pushed.ref, facts)
    if sentence is not None:
        return sentence
    if not pushed.commit:
        return "it points to commits only"
    if not pushed.fast_forward and not _RUNNING.fullmatch(pushed.ref):
        return "it only grows, and this would take commits away"
    return None


def _refusal_of_writer(ref: str, facts: PushFacts) -> str | None:
    if ref == CLUSTER:
        return _refusal_of_cluster(facts)
    writer = _writer_of(ref)
    if writer is None:
        return "no such ref is kept here"
    if writer == facts.me:
        return "only this server itself writes it"
    if facts.peer not in (writer, facts.following):
        return f"server {writer} writes it, and server {facts.peer} is not the primary"
    return None


def _line_of(ref: str) -> tuple[ServerId, int | None] | None:
    """The writer and the term of a line whose commits are its writer's; None for other refs."""
    writer = None if _RUNNING.fullmatch(ref) else _writer_of(ref)
    if writer is None:
        return None
    term = _TERM.fullmatch(ref)
    return writer, None if term is None else int(term["term"])


def _writer_of(ref: str) -> ServerId | None:
    """The server in the name of a ref; None if it is not a ref with one writer."""
    for pattern in (_SERVER_LINE, _TERM, _RUNNING, _NOTES):
        match = pattern.fullmatch(ref)
        if match is not None:
            writer = int(match["id"])
            return ServerId(writer) if writer <= LAST_SERVER else None
    return None


def _refusal_of_cluster(facts: PushFacts) -> str | None:
    if facts.following is None:
        return "this server follows no primary now"
    if facts.peer != facts.following:
        return f"this server follows server {facts.following}, not server {facts.peer}"
    if facts.accepted is not None:
        epoch, server = facts.accepted
        if (facts.epoch, -facts.peer) < (epoch, -server):
            return (
                f"term {facts.epoch} of server {facts.peer} is older than term {epoch} "
                f"of server {server}, which was accepted before"
            )
    return None


def _shown(path: str) -> str:
    """A path of foreign making, safe to print and not endless."""
    return ascii(path[:120])[1:-1]
