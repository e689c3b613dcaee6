"""What differs between two trees of files, as people see it.

Pure.
"""

from __future__ import annotations

from configrepo.conflicts import is_conflicts_path
from configrepo.model import Files, Problem, ServerId
from configrepo.secret_hints import secret_hints_of_file
from scheduler.views import FileChange

LISTS = {"wire.conf": "wires", "route.conf": "routes", "undefined.conf": "undefined blocks"}


def changes_between(before: Files, after: Files) -> tuple[FileChange, ...]:
    """What differs between two trees, by path; derived files are left out."""
    paths = [path for path, text in after.items() if before.get(path) != text]
    paths = sorted([*paths, *(before.keys() - after.keys())])
    return tuple(
        FileChange(
            path, title_of(path, after.get(path) or before[path]), before.get(path), after.get(path)
        )
        for path in paths
        if path != "cluster/allowed_signers"
    )


def hints_of(changes: tuple[FileChange, ...]) -> tuple[Problem, ...]:
    """What looks like a secret in clear in the files that a change writes."""
    return tuple(
        hint
        for change in changes
        if change.after is not None
        for hint in secret_hints_of_file(change.path, change.after)
    )


def title_of(path: str, text: str) -> str:
    """What a person calls a file: the opener of its block, or what a shared file lists."""
    listed = "open disagreements" if is_conflicts_path(path) else LISTS.get(_file_name(path))
    lines = (line for line in text.splitlines() if line and not line.startswith(("!", " ")))
    return listed or next(lines, path)


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def servers_touched(
    changes: tuple[FileChange, ...], members: tuple[ServerId, ...]
) -> tuple[ServerId, ...]:
    """The servers whose effective configuration a change touches."""
    if any(change.path.startswith("common/") for change in changes):
        return members
    touched = {c.path.split("/")[1] for c in changes if c.path.startswith("servers/")}
    return tuple(member for member in members if str(member) in touched)
