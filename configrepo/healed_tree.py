"""The tree of a merge that nobody can be asked about: what is applied, and what waits.

Two lines grew apart; one of them is the *lower* one (of the server with the lower id).
The result is a function of base, lower and higher line, whoever computes it:

1. Changes of the higher line under `common/user/` and `cluster/` are not applied; they
   wait for an administrator.
2. The rest is merged by key (`configrepo.merge`). A key that both changed in different
   ways has the lower line's value; the other one waits.
3. The result must pass every check that the lower line passes. Every block that an error
   names (where it stands, and what it is about) is taken from the lower line, again and
   again; if that does not help, all of `common/` is, and at last everything.

So every value of either line is in the tree or waits; nothing is made up.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from configrepo.conflicts import Reason, is_conflicts_path
from configrepo.layout import SIGNERS_FILE, parse_block_file
from configrepo.merge import LineMerge, block_key, merge_files
from configrepo.model import Files, Problem, Severity

GUARDED = ("common/user/", "cluster/")
"""What only an administrator may change; open disagreements and derived files apart."""

Check = Callable[[Files], tuple[Problem, ...]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A value of the higher line that is not applied. None is absent."""

    path: str
    key: str | None
    base: str | None
    applied: str | None
    other: str | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class Healed:
    """The merged files, and what waits, by path and key."""

    files: dict[str, str]
    waiting: tuple[Waiting, ...]


def is_guarded(path: str) -> bool:
    """Whether a change of this file needs an administrator."""
    return path.startswith(GUARDED) and path != SIGNERS_FILE and not is_conflicts_path(path)


def heal_trees(
    base: Files, lower: Files, higher: Files, line_merge: LineMerge, check: Check
) -> Healed:
    """Merge two lines.

    Args:
        base: the tree that both grew from.
        lower: the line whose value is applied where they disagree.
        higher: the other line.
        line_merge: how undefined blocks are merged.
        check: all problems of a tree.

    Raises:
        UnreadableConfig: a file that differs cannot be read.
    """
    guarded = {
        path for path in {*base, *higher} if is_guarded(path) and higher.get(path) != base.get(path)
    }
    shared = _with(higher, base, guarded)
    merged = merge_files(base, lower, shared, line_merge)
    files, taken = _passing(merged.files, lower, check)
    waiting = [
        Waiting(one.path, one.key, one.base, one.a, one.b, "disagreement")
        for one in merged.disagreements
        if one.path not in taken
    ]
    for path in taken | guarded:
        reason: Reason = "guarded" if path in guarded else "check"
        waiting += _left_out(path, reason, base, lower, higher)
    waiting.sort(key=lambda one: (one.path, one.key or ""))
    return Healed(files, tuple(waiting))


def _with(files: Files, source: Files, paths: set[str]) -> dict[str, str]:
    """The files with some of them as `source` has them."""
    result = {path: text for path, text in files.items() if path not in paths}
    return {**result, **{path: source[path] for path in paths if path in source}}


def _passing(files: Files, lower: Files, check: Check) -> tuple[dict[str, str], set[str]]:
    """The files with as few as needed taken from the lower line, and which ones."""
    result, taken = dict(files), set[str]()
    known: frozenset[tuple[str | None, ...]] | None = None
    while True:
        errors = _errors(check(result))
        if not errors:
            return result, taken
        if known is None:
            known = frozenset(map(_what, _errors(check(lower))))
        errors = [problem for problem in errors if _what(problem) not in known]
        differing = {
            path
            for path in {*result, *lower}
            if result.get(path) != lower.get(path)
            and path != SIGNERS_FILE
            and not is_conflicts_path(path)
        }
        if not errors or not differing:
            return result, taken
        named = {path for p in errors for path in (p.path, p.other) if path in differing}
        named = named or {path for path in differing if path.startswith("common/")} or differing
        chosen = {path for path in named if path is not None}
        result = _with(result, lower, chosen)
        taken |= chosen


def _errors(problems: tuple[Problem, ...]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def _what(problem: Problem) -> tuple[str | None, ...]:
    return (problem.path, problem.key, problem.message)


def _left_out(
    path: str, reason: Reason, base: Files, lower: Files, higher: Files
) -> Iterator[Waiting]:
    """What the higher line changed in a file that is taken from the lower one, by block."""
    before, ours, theirs = (_values(path, side.get(path)) for side in (base, lower, higher))
    for key in sorted({*before, *ours, *theirs}, key=lambda key: key or ""):
        x, a, b = before.get(key), ours.get(key), theirs.get(key)
        if b not in (x, a):
            yield Waiting(path, key, x, a, b, reason)


def _values(path: str, text: str | None) -> dict[str | None, str]:
    if text is None:
        return {}
    if path.endswith("/comments.conf"):
        return {None: text.rstrip("\n")}
    blocks = parse_block_file(path, text)
    return {block_key(path, block): "\n".join(block.content) for block in blocks}
