"""Open disagreements after a merge that nobody could be asked about.

When two primaries committed, the merge applies one value and records the other here, in
`cluster/conflicts/<hash of the parents>.json`, inside the merge commit. An entry goes when
a person settles it; the file goes with its last entry. The text has one form only, so equal
entries are equal bytes, and what is not in that form is not read.

    {"entries": [{"path", "key", "base", "applied", "other",
                  "applied_by", "other_by", "reason"}], "format": 1}

`reason` says why the other value waits: both lines changed the key (*disagreement*), the
merged configuration did not pass a check with it (*check*), or it needs an administrator
(*guarded*). Values are canonical lines without indent, None is absent; secrets stay sealed.

Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast, get_args

from configrepo.errors import UnreadableConfig
from configrepo.model import Files, Problem, ServerId, Severity

FOLDER: Final = "cluster/conflicts/"
Reason = Literal["disagreement", "check", "guarded"]

_FILE = re.compile(r"cluster/conflicts/[0-9a-f]{40}\.json")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_TEXTS = ("base", "applied", "other")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gave a value: the author, the time (UTC, `…Z`), and the server whose line it is."""

    author: str
    time: str
    server: ServerId


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of which one value is applied and another one waits."""

    path: str
    key: str | None
    base: str | None
    applied: str | None
    other: str | None
    applied_by: Origin
    other_by: Origin
    reason: Reason

    @property
    def place(self) -> tuple[str, str]:
        """What makes it the same entry: its path and key."""
        return (self.path, self.key or "")


@dataclass(frozen=True, slots=True)
class OpenEntry:
    """An entry and the file that holds it. `id` names it in forms."""

    file: str
    entry: Entry

    @property
    def id(self) -> str:
        """Stable as long as the entry is open."""
        words = "\0".join((self.file, *self.entry.place))
        return hashlib.sha256(words.encode()).hexdigest()[:16]


def conflicts_path(parents: Iterable[str]) -> str:
    """Where the merge of these commits records what is open; their order does not matter."""
    digest = hashlib.sha256("\n".join(sorted(parents)).encode("ascii")).hexdigest()[:40]
    return f"{FOLDER}{digest}.json"


def is_conflicts_path(path: str) -> bool:
    """Whether a file records open disagreements."""
    return _FILE.fullmatch(path) is not None


def open_entries(files: Files) -> tuple[OpenEntry, ...]:
    """Everything that is open, by path and key.

    Raises:
        UnreadableConfig: a file cannot be read.
    """
    found = [
        OpenEntry(path, entry)
        for path, text in files.items()
        if is_conflicts_path(path)
        for entry in read_conflicts(path, text)
    ]
    return tuple(sorted(found, key=lambda one: (*one.entry.place, one.file)))


def conflicts_text(entries: Iterable[Entry]) -> str | None:
    """The file that holds these entries; None if there are none."""
    ordered = sorted(entries, key=lambda entry: entry.place)
    if not ordered:
        return None
    value = {"format": 1, "entries": [asdict(entry) for entry in ordered]}
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def read_conflicts(
    path: str, text: str, allowed: Callable[[str], bool] = lambda path: True
) -> tuple[Entry, ...]:
    """The entries of one file.

    Args:
        path: the file, for the message.
        text: what it holds.
        allowed: whether an entry may speak of a path.

    Raises:
        UnreadableConfig: it is not exactly what `conflicts_text` writes.
    """
    try:
        value = json.loads(text)
        entries = tuple(_entry(one, allowed) for one in value["entries"])
        places = [entry.place for entry in entries]
        if len(set(places)) != len(places) or conflicts_text(entries) != text:
            raise ValueError("it is not in the form that this program writes")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"found no list of open disagreements: {error}"
        raise UnreadableConfig((Problem(Severity.ERROR, 1, 1, message, path),)) from error
    return entries


def merge_conflicts(path: str, base: str | None, a: str | None, b: str | None) -> str | None:
    """The union of both sides' entries, without those that one of them settled."""
    before, ours, theirs = (_by_place(path, text) for text in (base, a, b))
    settled = {place for place in before if place not in ours or place not in theirs}
    kept = []
    for place in sorted({*ours, *theirs} - settled):
        both = [side[place] for side in (ours, theirs) if place in side]
        kept.append(min(both, key=repr))
    return conflicts_text(kept)


def without(text_of: Files, gone: OpenEntry) -> str | None:
    """The file of an entry without it; None if it was the last one."""
    entries = read_conflicts(gone.file, text_of[gone.file])
    return conflicts_text(one for one in entries if one.place != gone.entry.place)


def needs_administrator(
    path: str, before: str | None, after: str | None, guarded: tuple[str, ...]
) -> bool:
    """Whether a change of the file does more than settle entries that anybody may settle."""
    old, new = _by_place(path, before), _by_place(path, after)
    if any(old.get(place) != entry for place, entry in new.items()):
        return True
    return any(entry.path.startswith(guarded) for place, entry in old.items() if place not in new)


def _by_place(path: str, text: str | None) -> dict[tuple[str, str], Entry]:
    entries = () if text is None else read_conflicts(path, text)
    return {entry.place: entry for entry in entries}


def _entry(value: Mapping[str, Any], allowed: Callable[[str], bool]) -> Entry:
    path = _text(value["path"])
    if is_conflicts_path(path) or not allowed(path):
        raise ValueError(f"{path[:120]!r} is no place of the configuration")
    if value["reason"] not in get_args(Reason):
        raise ValueError(f"{value['reason']!r} is no reason")
    texts = {name: _text_or_none(value[name]) for name in ("key", *_TEXTS)}
    return Entry(
        path=path,
        applied_by=_origin(value["applied_by"]),
        other_by=_origin(value["other_by"]),
        reason=cast("Reason", value["reason"]),
        **texts,
    )


def _origin(value: Mapping[str, Any]) -> Origin:
    time, server = _text(value["time"]), value["server"]
    if _TIME.fullmatch(time) is None:
        raise ValueError(f"{time[:40]!r} is no time")
    if type(server) is not int or not 0 <= server <= 255:
        raise ValueError("it names no server")
    return Origin(_text(value["author"]), time, ServerId(server))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)
