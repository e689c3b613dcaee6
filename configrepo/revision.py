"""What a commit of the store says: who, when, why, and its trailers.

A message is a subject, perhaps a body, and one last paragraph of `Key: value` lines,
the trailers. What a person typed never becomes a trailer, because the store always
writes at least one trailer of its own below it.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

CommitId = NewType("CommitId", str)

_REF = re.compile(r"refs/(?:[A-Za-z0-9][A-Za-z0-9_-]*/)+[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_ID = re.compile(r"[0-9a-f]{40}")
_TRAILER = re.compile(r"([A-Z][A-Za-z]*(?:-[A-Za-z]+)*): (.*)")
_NOT_IN_IDENT = re.compile(r"[<>\x00-\x1f\x7f-\x9f]")
_NOT_IN_MESSAGE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Person:
    """Who is named in a commit."""

    name: str
    email: str

    def ident(self) -> str:
        """The `name <email>` of a commit; what could forge a header is dropped."""
        name = _NOT_IN_IDENT.sub("", self.name).strip(" .,:;\"'") or "unknown"
        return f"{name} <{_NOT_IN_IDENT.sub('', self.email).replace(' ', '')}>"


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One ref to move. `old` None: it must not exist yet; `new` None: delete it."""

    ref: str
    old: CommitId | None
    new: CommitId | None

    def __post_init__(self) -> None:
        """Refuse a name that this product does not use: names reach git's input."""
        if not is_ref_name(self.ref):
            raise ValueError(f"not a ref name: {self.ref!r}")
        for commit in (self.old, self.new):
            if commit is not None and not is_commit_id(commit):
                raise ValueError(f"not a commit id: {commit!r}")


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit. `author` is the person, `committer` the server; `time` is UTC."""

    id: CommitId
    parents: tuple[CommitId, ...]
    author_name: str
    author_email: str
    committer: str
    time: datetime
    subject: str
    message: str
    trailers: Mapping[str, str] = field(default_factory=dict)


def is_commit_id(text: str) -> bool:
    """Whether `text` is a full object id."""
    return _ID.fullmatch(text) is not None


def is_ref_name(ref: str) -> bool:
    """Whether `ref` is a full ref name of the plain kind that this product uses."""
    return (
        _REF.fullmatch(ref) is not None
        and ".." not in ref
        and not ref.endswith((".", ".lock"))
        and len(ref) <= 200
    )


def compose_message(message: str, trailers: Mapping[str, str]) -> str:
    """The text of a commit: the person's words, then the trailers as the last paragraph.

    Raises:
        ValueError: a trailer that could not be read back.
    """
    words = _NOT_IN_MESSAGE.sub("", message.replace("\r\n", "\n").replace("\r", "\n"))
    lines = [line.rstrip() for line in words.strip().splitlines()]
    paragraphs = ["\n".join(lines) or "(no message)"]
    if trailers:
        written = [f"{key}: {value}" for key, value in trailers.items()]
        for line in written:
            if not _TRAILER.fullmatch(line) or _NOT_IN_MESSAGE.search(line):
                raise ValueError(f"not a trailer: {line!r}")
        paragraphs.append("\n".join(written))
    return "\n\n".join(paragraphs) + "\n"


def split_message(text: str) -> tuple[str, str, dict[str, str]]:
    """Subject, message without trailers, and trailers of a commit's text."""
    paragraphs = text.strip("\n").split("\n\n")
    trailers: dict[str, str] = {}
    if len(paragraphs) > 1:
        matches = [_TRAILER.fullmatch(line) for line in paragraphs[-1].splitlines()]
        if all(matches):
            trailers = {m[1]: m[2] for m in matches if m is not None}
            paragraphs.pop()
    message = "\n\n".join(paragraphs).strip("\n")
    return message.split("\n", 1)[0], message, trailers
