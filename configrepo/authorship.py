"""Who wrote a commit: its signature against what it says of itself.

Rules:

1. Every commit names the server that made it (`Server`), and the term that this server
   led in, if it did (`Term`); both name the same server.
2. It is signed with a key of that server: one that is known here, or one that a commit of
   a term names among the members, if that commit itself is good. So a server that was
   away for long can check the commits of members that it never met.
3. The newest commit of a line with one writer was made by that writer, and in that term.

It does not know how signatures are checked, nor where commits come from.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from configrepo.model import ServerId
from configrepo.revision import CommitId

Keys = Mapping[ServerId, frozenset[str]]
"""The SSH public keys of each server, without comments; a server can have had several."""

_ID = re.compile(r"0|[1-9][0-9]{0,2}")
_TERM = re.compile(r"(?:0|[1-9][0-9]{0,11})-(?P<id>0|[1-9][0-9]{0,2})")


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit says of its making.

    Attributes:
        id: the commit.
        server: its trailer `Server`, "" without one.
        term: its trailer `Term`, "" without one.
        key: the SSH public key that signed it; None without a good signature.
        members: the keys of the members that its configuration names.
    """

    id: CommitId
    server: str
    term: str
    key: str | None
    members: tuple[tuple[ServerId, str], ...] = ()


def refusal_of_commits(commits: Iterable[Written], keys: Keys) -> str | None:
    """Why these commits are not let in; None if each was signed by the server it names."""
    known = {server: set(some) for server, some in keys.items()}
    waiting = list(commits)
    while waiting:
        left = [commit for commit in waiting if not _is_good(commit, known)]
        learned = [commit for commit in waiting if commit.term and commit not in left]
        if not _learn(learned, known):
            return _refusal_of(left[0]) if left else None
        waiting = left
    return None


def refusal_of_tip(tip: Written | None, server: ServerId, term: int | None) -> str | None:
    """Why a line of `server` (in a term: its line of that term) cannot end in this commit."""
    if tip is None:
        return None
    if tip.server != str(server):
        return f"server {server} writes it, but its newest commit names {_shown(tip.server)}"
    if term is not None and tip.term != f"{term}-{server}":
        return f"its newest commit belongs to term {_shown(tip.term)}, not to term {term}-{server}"
    return None


def _is_good(commit: Written, known: Mapping[ServerId, set[str]]) -> bool:
    server = _server_of(commit)
    return server is not None and commit.key in known.get(server, ())


def _server_of(commit: Written) -> ServerId | None:
    """The server that a commit names; None if it names none, or two."""
    if not _ID.fullmatch(commit.server):
        return None
    term = _TERM.fullmatch(commit.term) if commit.term else None
    if commit.term and (term is None or term["id"] != commit.server):
        return None
    return ServerId(int(commit.server))


def _learn(commits: Iterable[Written], known: dict[ServerId, set[str]]) -> bool:
    """Take over the members that good commits name; whether that was something new."""
    new = False
    for commit in commits:
        for server, key in commit.members:
            some = known.setdefault(server, set())
            new = new or key not in some
            some.add(key)
    return new


def _refusal_of(commit: Written) -> str:
    what = f"commit {commit.id[:12]}"
    if _server_of(commit) is None:
        return f"{what} does not say which server made it"
    if commit.key is None:
        return f"{what} of server {commit.server} is not signed"
    return f"{what} is not signed with a key of server {commit.server}, which it names"


def _shown(text: str) -> str:
    return ascii(text[:40])[1:-1] or "nobody"
