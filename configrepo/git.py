"""Runs git: the one door of GitPython, and the only caller of a git process in this room.

Git moves refs, receives, serves, walks history and checks; dulwich (`configrepo.store`)
reads and writes objects. Rule 1: every command is a fixed argument list; what comes from
outside is an id, a checked ref name, a path behind `--`, or standard input. Rule 2: git
gets an empty environment, a time limit and a process group of its own, which is killed
as a whole. Commands are English (`LC_ALL=C`).

Edge: git processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from git.cmd import Git

from configrepo.errors import DiskFull, NotFound, StoreError
from configrepo.revision import CommitId, RefUpdate, is_commit_id

TIME_LIMIT_S = 30.0
_ZERO = "0" * 40
_BOUNDED = ("/usr/bin/prlimit", f"--as={256 << 20}", "--cpu=60")
"""Before a git that reads what is not let in yet: bytes of memory, seconds of work."""

_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_COMMITTER_NAME": "BQN",
    "GIT_COMMITTER_EMAIL": "bqn@localhost",
}


def start(
    path: Path,
    arguments: Sequence[str],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    limits: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """Start git on the bare repository at `path`, in a process group of its own."""
    scrubbed = [f"{key}={value}" for key, value in {**_ENVIRONMENT, **(environment or {})}.items()]
    argv = [
        *limits,
        "/usr/bin/env",
        "-i",
        *scrubbed,
        "git",
        "--no-replace-objects",
        "--literal-pathspecs",
        *("-c", "safe.bareRepository=explicit"),
        *("-c", f"safe.directory={path}"),
        *arguments,
    ]
    process = Git(path if path.is_dir() else path.parent).execute(
        argv, istream=cast("BinaryIO", stdin), as_process=True, start_new_session=True
    )
    # GitPython's wrapper only adds a finaliser that interrupts; groups are killed here.
    popen = process.proc
    process.proc = None
    if popen is None:
        raise StoreError("git did not start")
    return cast("subprocess.Popen[bytes]", popen)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process of `start` with its children, and wait for it."""
    if process.returncode is None:
        # Not reaped yet, so the id is still its own, even if the process itself ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(
    path: Path,
    arguments: Sequence[str],
    stdin: bytes = b"",
    *,
    quarantine: Path | None = None,
    answers: tuple[int, ...] = (0,),
    time_limit_s: float = TIME_LIMIT_S,
) -> tuple[int, bytes]:
    """Run git on a bare repository and return its exit status and output.

    Args:
        path: the repository; `--git-dir` is added here.
        arguments: the command and its arguments.
        stdin: what it reads.
        quarantine: an object directory to look into first (and to write to).
        answers: the exit statuses that are answers; others are errors.
        time_limit_s: how long it may take.

    Raises:
        DiskFull: git said that no space is left.
        StoreError: another exit status, or the time limit; carries git's words.
    """
    status, output, complaint = _ended(path, arguments, stdin, quarantine, time_limit_s)
    if status not in answers:
        raise _failure(arguments[0], status, complaint or output)
    return status, output


def _ended(
    path: Path,
    arguments: Sequence[str],
    stdin: bytes,
    quarantine: Path | None,
    time_limit_s: float,
) -> tuple[int, bytes, bytes]:
    """Exit status, output and complaint."""
    directories = _object_directories(path, quarantine)
    limits = _BOUNDED if quarantine is not None else ()
    words = [f"--git-dir={path}", *arguments]
    process = start(path, words, subprocess.PIPE, directories, limits)
    try:
        output, complaint = process.communicate(stdin, time_limit_s)
    except subprocess.TimeoutExpired:
        raise StoreError(f"git {arguments[0]} did not end within {time_limit_s:g} s") from None
    finally:
        kill_group(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return process.returncode, output, complaint


def _object_directories(path: Path, quarantine: Path | None) -> dict[str, str]:
    if quarantine is None:
        return {}
    return {
        "GIT_OBJECT_DIRECTORY": str(quarantine),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(path / "objects"),
    }


def _failure(command: str, status: int, words: bytes) -> StoreError:
    said = words.decode("utf-8", "replace").strip()
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return DiskFull("no space left on the device; nothing was changed")
    return StoreError(f"git {command} failed ({status}): {said or 'it gave no reason'}")


# --- Repository and refs -------------------------------------------------------------


def init_bare(path: Path) -> None:
    """Make an empty bare repository without hooks and samples."""
    path.mkdir(parents=True, exist_ok=True)
    run(path, ["init", "--bare", "--quiet", "--template=", "--object-format=sha1"])


def update_refs(path: Path, updates: Iterable[RefUpdate], reason: str) -> None:
    """Move refs: all of them, each from its old value, or none.

    Raises:
        StoreError: a ref does not hold its old value, or is locked.
    """
    lines = []
    for update in updates:
        old = update.old or _ZERO
        if update.new is None:
            lines.append(f"delete {update.ref} {old}\n")
        else:
            lines.append(f"update {update.ref} {update.new} {old}\n")
    # A reason may be the first line of what a person typed; an argument holds no zero byte.
    words = " ".join("".join(c if c.isprintable() else " " for c in reason).split())[:200]
    arguments = ["update-ref", "--no-deref", "-m", words or "move", "--stdin"]
    run(path, arguments, "".join(lines).encode())


def set_head(path: Path, ref: str) -> None:
    """Point HEAD to a branch."""
    run(path, ["symbolic-ref", "HEAD", ref])


# --- History -------------------------------------------------------------------------


def rev_list(
    path: Path,
    start_at: Iterable[CommitId],
    *,
    not_from: Iterable[CommitId] = (),
    unknown_only: bool = False,
    limit: int = -1,
    skip: int = 0,
    only_path: str | None = None,
    quarantine: Path | None = None,
) -> list[CommitId]:
    """Ids of commits, newest first and children before parents; NotFound if one is missing.

    The history of `not_from` is left out, with `unknown_only` that of all refs as well.
    """
    arguments = ["rev-list", "--date-order", f"--max-count={limit}", f"--skip={skip}", "--stdin"]
    lines = [*map(_id, start_at), *(f"^{_id(commit)}" for commit in not_from)]
    if unknown_only:
        arguments += ["--not", "--all"]
    if only_path is not None:
        if not only_path.isprintable() or {"", ".."} & set(only_path.split("/")):
            raise NotFound(f"not a path of the repository: {only_path[:100]!r}")
        lines += ["--", only_path]
    return [CommitId(line) for line in _lines(path, arguments, lines, quarantine)]


def new_objects(
    path: Path,
    tips: Iterable[CommitId],
    *,
    not_from: Iterable[CommitId] | None = None,
    quarantine: Path | None = None,
) -> list[str]:
    """Ids of all objects that `tips` reach and `not_from` (by default: all refs) does not."""
    arguments = ["rev-list", "--objects", "--no-object-names", "--stdin"]
    lines = [*map(_id, tips)]
    if not_from is None:
        arguments += ["--not", "--all"]
    else:
        lines += [f"^{_id(commit)}" for commit in not_from]
    return _lines(path, arguments, lines, quarantine)


def _lines(
    path: Path, arguments: list[str], stdin: list[str], quarantine: Path | None
) -> list[str]:
    try:
        _, output = run(path, arguments, "\n".join([*stdin, ""]).encode(), quarantine=quarantine)
    except StoreError as error:
        raise _not_found(error) from error
    return output.decode("ascii").split()


def object_sizes(
    path: Path, ids: Iterable[str], quarantine: Path | None
) -> dict[str, tuple[str, int]]:
    """Kind and size of objects, read from their headers without inflating them."""
    asked = "".join(f"{one}\n" for one in ids).encode()
    _, output = run(path, ["cat-file", "--batch-check", "--buffer"], asked, quarantine=quarantine)
    found = {}
    for line in output.decode("ascii").splitlines():
        name, kind, *size = line.split()
        if size:
            found[name] = (kind, int(size[0]))
    return found


def is_ancestor(
    path: Path, ancestor: CommitId, commit: CommitId, quarantine: Path | None = None
) -> bool:
    """Whether `commit` is `ancestor` or grew from it."""
    try:
        status, _ = run(
            path,
            ["merge-base", "--is-ancestor", _id(ancestor), _id(commit)],
            quarantine=quarantine,
            answers=(0, 1),
        )
    except StoreError as error:
        raise _not_found(error) from error
    return status == 0


def merge_base(path: Path, a: CommitId, b: CommitId) -> CommitId | None:
    """The best common ancestor; None if the histories share nothing."""
    try:
        status, output = run(path, ["merge-base", _id(a), _id(b)], answers=(0, 1))
    except StoreError as error:
        raise _not_found(error) from error
    return CommitId(output.decode("ascii").strip()) if status == 0 else None


def merge_bases(path: Path, a: CommitId, b: CommitId) -> list[CommitId]:
    """All best common ancestors, in a fixed order; several after merges in both directions."""
    try:
        status, output = run(path, ["merge-base", "--all", _id(a), _id(b)], answers=(0, 1))
    except StoreError as error:
        raise _not_found(error) from error
    return sorted(CommitId(line) for line in output.decode("ascii").split()) if status == 0 else []


def _id(commit: str) -> str:
    if not is_commit_id(commit):
        raise NotFound(f"not the id of a commit: {commit!r}")
    return commit


def _not_found(error: StoreError) -> StoreError | NotFound:
    said = str(error)
    missing = ("bad object", "bad revision", "Not a valid commit", "Not a valid object")
    if any(words in said for words in missing):
        return NotFound(said)
    return error


# --- Objects -------------------------------------------------------------------------


def index_pack(path: Path, pack: IO[bytes], quarantine: Path | None = None) -> None:
    """Check a pack as strictly as a receiving git does and store it.

    Args:
        path: the repository.
        pack: a file that stands at the beginning of the pack.
        quarantine: the object directory to put it into instead of the repository's own.
    """
    arguments = [f"--git-dir={path}", "index-pack", "--stdin", "--strict", "--fsck-objects"]
    limits = _BOUNDED if quarantine is not None else ()
    process = start(path, arguments, pack, _object_directories(path, quarantine), limits)
    try:
        _, words = process.communicate(timeout=TIME_LIMIT_S * 4)
    except subprocess.TimeoutExpired:
        raise StoreError("git index-pack did not end in time") from None
    finally:
        kill_group(process)
    if process.returncode != 0:
        raise _failure("index-pack", process.returncode, words)


def fsck(path: Path, *, connectivity_only: bool = False) -> str | None:
    """Check the repository; None if it is sound, else git's words.

    What others commit after git has listed the objects seems to be missing: only what a
    second look finds as well is told.
    """
    arguments = ["fsck", "--strict", "--no-dangling", "--no-progress"]
    if connectivity_only:
        arguments.append("--connectivity-only")
    try:
        first = _complaints(path, arguments)
        again = _complaints(path, arguments) if first else []
    except StoreError as error:
        return str(error)
    return "\n".join(line for line in again if line in first) or None


def _complaints(path: Path, arguments: Sequence[str]) -> list[str]:
    status, output, complaint = _ended(path, arguments, b"", None, 600.0)
    if status == 0:
        return []
    said = (complaint + output).decode("utf-8", "replace").splitlines()
    wrong = [line for line in said if not line.startswith("notice:")]
    return wrong or [f"git {arguments[0]} failed ({status})"]


@dataclass(frozen=True, slots=True)
class Counted:
    """How a repository is kept: loose objects, packs, and bytes of both."""

    loose: int
    packs: int
    size: int


def count_objects(path: Path) -> Counted:
    """Count objects and packs."""
    _, output = run(path, ["count-objects", "-v"])
    found = dict(line.split(": ", 1) for line in output.decode("ascii").splitlines())
    size = int(found["size"]) + int(found["size-pack"])
    return Counted(int(found["count"]), int(found["packs"]), size * 1024)


def pack(path: Path) -> None:
    """Put loose objects and small packs together; nothing is dropped, also not the unreachable.

    Whoever reads meanwhile finds everything: the new pack is in place before the old ones go.
    """
    run(
        path,
        ["-c", "pack.windowMemory=64m", "repack", "--geometric=2", "-d", "-q"],
        time_limit_s=600.0,
    )
    run(path, ["pack-refs", "--all"], time_limit_s=60.0)


def index_history(path: Path) -> None:
    """Note what the commits changed and how they hang together, for whoever asks later.

    Without it git reads the trees of all commits to say which of them changed a file. What
    is noted already stays as it is.
    """
    run(
        path,
        ["commit-graph", "write", "--reachable", "--changed-paths", "--split", "--no-progress"],
        time_limit_s=600.0,
    )


def is_running(path: Path) -> bool:
    """Whether any git process works on this repository now, whoever started it."""
    wanted = str(path).encode()
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = words.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"git" in word for word in line[:2]) and any(wanted in word for word in line):
            return True
    return False


def merge_lines(base: str, a: str, b: str) -> str | None:
    """Git's own three-way merge by lines; None if it does not settle."""
    with tempfile.TemporaryDirectory(prefix="bqn-merge-") as directory:
        folder = Path(directory)
        for name, text in (("a", a), ("base", base), ("b", b)):
            (folder / name).write_bytes(text.encode())
        names = [str(folder / name) for name in ("a", "base", "b")]
        status, output = run(
            folder, ["merge-file", "-p", "-q", "--", *names], answers=tuple(range(128))
        )
    return output.decode() if status == 0 else None
