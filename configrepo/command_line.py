"""The commands `config check`, `config canonical` and `config merge`.

Their output and exit codes are an interface that others build on. Problems go to standard
error as `FILE:LINE:COLUMN: severity: message` (those of `check` to standard output, they
are its result). Exit 0: fine; 1: `check` found an error or `merge` a disagreement; 2: a
file that cannot be read, or wrong usage, with nothing on standard output.

Server-specific blocks of A are kept under the stand-in id `a`, those of B are listed
under `b`: the files carry no id. Header and trailing comments are merged like all comments.

Edge: command line and files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from configrepo.checks import check, check_lines
from configrepo.errors import ConfigRepoError, UnreadableConfig
from configrepo.git import merge_lines
from configrepo.layout import comments_path, document_of, files_of
from configrepo.merge import Disagreement, Merged, Row, merge_comments, merge_files
from configrepo.model import Document, Loaded, Problem, Severity, arranged
from configrepo.parser import MAX_BYTES, read, read_partly
from configrepo.secret_hints import secret_hints
from configrepo.writer import canonical_text

FINE, FOUND, UNREADABLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `config …` on the parser of that command."""
    commands = parser.add_subparsers(dest="config_command", required=True, metavar="COMMAND")
    one = commands.add_parser("check", help="tell every problem of a configuration file")
    one.add_argument("file", metavar="FILE")
    two = commands.add_parser("canonical", help="print the canonical text of a file")
    two.add_argument("file", metavar="FILE")
    three = commands.add_parser("merge", help="merge two files over their base, by key")
    three.add_argument("--base", required=True, metavar="BASE", help="the common ancestor")
    three.add_argument("--json", action="store_true", help="print one JSON object")
    three.add_argument("a", metavar="A")
    three.add_argument("b", metavar="B")


def run(arguments: argparse.Namespace) -> int:
    """Run the command that `add_arguments` parsed; returns the exit code."""
    match arguments.config_command:
        case "check":
            return config_check(arguments.file)
        case "canonical":
            return config_canonical(arguments.file)
        case _:
            return config_merge(arguments.base, arguments.a, arguments.b, as_json=arguments.json)


def config_check(file: str) -> int:
    """Print every problem of a file; 1 if one of them is an error."""
    try:
        loaded = read_partly(_data(file))
    except _NoFile as error:
        _say(sys.stderr, f"{file}: error: {error}\n")
        return UNREADABLE
    unreadable = _has_error(loaded.problems)
    more = check_lines(loaded.document) if unreadable else check(loaded.document)
    hints = secret_hints(loaded.document)
    problems = sorted((*loaded.problems, *more, *hints), key=lambda p: (p.line, p.column))
    _tell(sys.stdout, file, problems)
    return FOUND if _has_error(problems) else FINE


def _has_error(problems: Iterable[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def config_canonical(file: str) -> int:
    """Print the canonical text of a file."""
    loaded = _load_or_tell(file)
    if loaded is None:
        return UNREADABLE
    _say(sys.stdout, canonical_text(loaded.document))
    return FINE


def config_merge(base: str, a: str, b: str, *, as_json: bool = False) -> int:
    """Print the merged text, or (as JSON) everything that the merge decided."""
    loaded = [_load_or_tell(file) for file in (base, a, b)]
    documents = [one.document for one in loaded if one is not None]
    if len(documents) < len(loaded):
        return UNREADABLE
    try:
        merged = merge_documents(*documents)
    except ConfigRepoError as error:
        problems = error.problems if isinstance(error, UnreadableConfig) else ()
        _tell(sys.stderr, "the merged text", problems)
        _say(sys.stderr, "" if problems else f"merge: error: {error}\n")
        return UNREADABLE
    if as_json:
        _say(sys.stdout, json.dumps(_as_json(merged), ensure_ascii=False, indent=2) + "\n")
    elif merged.text is not None:
        _say(sys.stdout, merged.text)
    else:
        _say(sys.stderr, "".join(_in_words(one, a, b) for one in merged.disagreements))
    return FOUND if merged.disagreements else FINE


# --- merging documents --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MergedDocuments:
    """The outcome for whole documents; `text` is None if something disagrees."""

    text: str | None
    settled: tuple[Row, ...]
    disagreements: tuple[Disagreement, ...]
    server_specific: dict[str, str]


def merge_documents(base: Document, a: Document, b: Document) -> MergedDocuments:
    """Merge what two servers saved over their base.

    Raises:
        UnreadableConfig: if the merged text could not be read again (two names that now
            differ only in case, too many blocks, …).
    """
    ours, theirs = _files(a, "a"), _files(b, "b")
    merged = merge_files(_common(_files(base, "base")), _common(ours), _common(theirs), merge_lines)
    own = {path: text for path, text in ours.items() if path.startswith("servers/")}
    other = {path: text for path, text in theirs.items() if path.startswith("servers/")}
    text = _merged_text(merged, own, base, a, b)
    return MergedDocuments(
        None if merged.disagreements else text, merged.settled, merged.disagreements, other
    )


def _merged_text(
    merged: Merged, own: dict[str, str], base: Document, a: Document, b: Document
) -> str:
    blocks = document_of({**merged.files, **own}, "a").blocks
    document = arranged(
        blocks,
        merge_comments(base.header, a.header, b.header),
        merge_comments(base.trailing, a.trailing, b.trailing),
    )
    text = canonical_text(document)
    read(text)
    return text


def _files(document: Document, server: str) -> dict[str, str]:
    """The files of a document without its header and trailing comments."""
    files = files_of(document, server)
    files.pop(comments_path(server), None)
    return files


def _common(files: dict[str, str]) -> dict[str, str]:
    return {path: text for path, text in files.items() if path.startswith("common/")}


# --- output -------------------------------------------------------------------------


def _as_json(merged: MergedDocuments) -> dict[str, object]:
    return {
        "merged": merged.text,
        "disagreements": [_sides(one) for one in merged.disagreements],
        "settled": [
            _sides(row) | {"result": row.result, "reason": row.reason} for row in merged.settled
        ],
        "server_specific": [
            {"path": path, "text": text} for path, text in sorted(merged.server_specific.items())
        ],
    }


def _sides(row: Row | Disagreement) -> dict[str, str | None]:
    return {"path": row.path, "key": row.key, "base": row.base, "a": row.a, "b": row.b}


def _in_words(one: Disagreement, a: str, b: str) -> str:
    """A disagreement for a person; values may be secrets and are not shown."""
    what = one.path if one.key is None else f"{one.path}: {one.key}"
    return f"{what}: {a} and {b} disagree; --json shows the values\n"


class _NoFile(Exception):
    """A file that cannot be opened."""


def _data(file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _NoFile(f"cannot be opened: {reason}") from error


def _load_or_tell(file: str) -> Loaded | None:
    try:
        return read(_data(file))
    except UnreadableConfig as error:
        _tell(sys.stderr, file, error.problems)
    except _NoFile as error:
        _say(sys.stderr, f"{file}: error: {error}\n")
    return None


def _tell(stream: IO[str], file: str, problems: Iterable[Problem]) -> None:
    lines = (f"{file}:{p.line}:{p.column}: {p.severity}: {p.message}\n" for p in problems)
    _say(stream, "".join(lines))


def _say(stream: IO[str], text: str) -> None:
    """Write text as UTF-8 whatever the locale is."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(text)
        return
    stream.flush()
    buffer.write(text.encode("utf-8", "backslashreplace"))
    buffer.flush()
