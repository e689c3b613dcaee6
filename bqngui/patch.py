"""Changed blocks as one text that `git apply` takes: for what is too large for a page.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bqngui.alignment import matches
from scheduler.views import FileChange

CONTEXT = 3

_Stretch = tuple[int, int, int, int]


def patch(changes: Sequence[FileChange]) -> Iterator[str]:
    """The changes in the format of `git diff`, piece by piece."""
    for change in changes:
        if change.before != change.after:
            yield from _file(change)


def _file(change: FileChange) -> Iterator[str]:
    old, new = _quoted(f"a/{change.path}"), _quoted(f"b/{change.path}")
    yield f"diff --git {old} {new}\n"
    if change.before is None:
        yield "new file mode 100644\n"
    if change.after is None:
        yield "deleted file mode 100644\n"
    before, after = _lines(change.before), _lines(change.after)
    if before or after:
        yield f"--- {'/dev/null' if change.before is None else old}\n"
        yield f"+++ {'/dev/null' if change.after is None else new}\n"
        for hunk in _hunks(before, after):
            yield from _hunk(before, after, hunk)


def _quoted(path: str) -> str:
    """A path as git writes it: with anything unusual in quotes, bytes in octal."""
    if path.isascii() and path.isprintable() and not {'"', "\\", " "} & set(path):
        return path
    written = ""
    for byte in path.encode():
        letter = chr(byte)
        plain = 32 <= byte < 127 and letter not in '"\\'
        written += letter if plain else f"\\{byte:03o}"
    return f'"{written}"'


def _lines(text: str | None) -> list[str]:
    lines = (text or "").split("\n")
    if lines[-1] == "":
        lines.pop()
    else:
        lines[-1] += "\n\\ No newline at end of file"
    return lines


def _stretches(old: Sequence[str], new: Sequence[str]) -> Iterator[_Stretch]:
    """What differs, as ranges of lines of both sides."""
    i = j = 0
    for same_i, same_j in [*matches(old, new), (len(old), len(new))]:
        if i < same_i or j < same_j:
            yield i, same_i, j, same_j
        i, j = same_i + 1, same_j + 1


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[list[_Stretch]]:
    """Stretches that share their context."""
    hunk: list[_Stretch] = []
    for stretch in _stretches(old, new):
        if hunk and stretch[0] - hunk[-1][1] > 2 * CONTEXT:
            yield hunk
            hunk = []
        hunk.append(stretch)
    if hunk:
        yield hunk


def _hunk(old: Sequence[str], new: Sequence[str], hunk: list[_Stretch]) -> Iterator[str]:
    before = min(CONTEXT, hunk[0][0])
    after = min(CONTEXT, len(old) - hunk[-1][1])
    start_old, start_new = hunk[0][0] - before, hunk[0][2] - before
    end_old, end_new = hunk[-1][1] + after, hunk[-1][3] + after
    ranges = f"-{_range(start_old, end_old)} +{_range(start_new, end_new)}"
    yield f"@@ {ranges} @@\n"
    at = start_old
    for i0, i1, j0, j1 in hunk:
        yield from (f" {line}\n" for line in old[at:i0])
        yield from (f"-{line}\n" for line in old[i0:i1])
        yield from (f"+{line}\n" for line in new[j0:j1])
        at = i1
    yield from (f" {line}\n" for line in old[at:end_old])


def _range(start: int, end: int) -> str:
    # Where no line is, git names the line before.
    return f"{start + 1 if end > start else start},{end - start}"
