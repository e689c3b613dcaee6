"""Which SSH keys may come in, and what each may ask: the lines for sshd.

Every key gets `restrict` (no terminal, no forwarding, no agent, no rc file) and the gate
as its forced command, with the id of its owner and the verbs it may use. The keys of
people (`ssh-key` of a `user` block) may fetch and nothing else. A key that is in nobody's
record has no line. The file belongs to this program alone: it is replaced as
a whole whenever the members or the open invitations change.

Core.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from configrepo.model import ServerId
from configrepo.path_names import escape
from scheduler.ssh_keys import PublicKey
from scheduler.state_dir import write_durably

GATE: Final = Path(__file__).resolve().parent / "gate" / "gate.sh"
LET_IN: Final = "let-in"
_KEY: Final = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}={0,2}")


class Verb(StrEnum):
    """What the gate lets a key ask for; the value is the word that it is given."""

    RECEIVE = "receive-pack"
    UPLOAD = "upload-pack"
    PROBE = "probe"


MEMBER: Final = (Verb.RECEIVE, Verb.UPLOAD, Verb.PROBE)
"""A member, and (at a joining server) the primary that takes it in."""
REPLACING: Final = (Verb.UPLOAD, Verb.PROBE)
"""A joining server that takes the place of a member: it fetches the line of that member."""
KNOCKING: Final = (Verb.PROBE,)
"""A joining server (at the cluster's side): it may see that its key works."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A server whose key may come in. `ssh_key` is `ssh-ed25519 BASE64`, comment allowed."""

    id: ServerId
    ssh_key: str
    verbs: tuple[Verb, ...] = MEMBER


@dataclass(frozen=True, slots=True)
class Auditor:
    """A person's registered key: it may clone and fetch, and see no drafts."""

    user: str
    key: PublicKey


def authorized_lines(
    holders: Iterable[KeyHolder],
    state: Path,
    gate: Path = GATE,
    auditors: Iterable[Auditor] = (),
) -> str:
    """Return the text of the authorized_keys file.

    A holder whose key is not one ed25519 key gets no line. The first holder of a key
    keeps it: sshd itself takes the first line that fits. Servers come before people.
    """
    return "".join(_lines(holders, state, gate, auditors).values())


def _lines(
    holders: Iterable[KeyHolder], state: Path, gate: Path, auditors: Iterable[Auditor]
) -> dict[str, str]:
    lines: dict[str, str] = {}
    for holder in holders:
        key = " ".join(holder.ssh_key.split(" ")[:2])
        if _KEY.fullmatch(key):
            words = [str(gate), str(holder.id), str(state), ",".join(holder.verbs), mark_of(key)]
            lines.setdefault(key, _line(words, key, f"server-{holder.id}"))
    for auditor in auditors:
        name, key = escape(auditor.user), auditor.key.line
        words = [str(gate), f"audit:{name}", str(state), Verb.UPLOAD, mark_of(key)]
        lines.setdefault(key, _line(words, key, f"audit-{name}"))
    return lines


def mark_of(key: str) -> str:
    """The name under which the gate looks whether a key is still let in."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _write_let_in(state: Path, keys: Iterable[str]) -> None:
    """Tell the gate which keys may still ask: a connection outlives the key that opened it.

    By key, not by id: other hardware may have taken the place. An empty file each: the gate
    looks for one name and reads no list.
    """
    folder = state / "run" / LET_IN
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = {mark_of(key) for key in keys}
    there = {file.name for file in folder.iterdir()}
    for name in there - wanted:
        (folder / name).unlink(missing_ok=True)
    for name in wanted - there:
        (folder / name).touch(0o600)


def _line(words: list[str], key: str, comment: str) -> str:
    # `exec`: the shell that sshd starts would only wait for the gate.
    command = f"exec {shlex.join(words)}".replace("\\", "\\\\").replace('"', '\\"')
    return f'restrict,command="{command}" {key} {comment}\n'


def write_authorized_keys(
    path: Path,
    holders: Iterable[KeyHolder],
    state: Path,
    gate: Path = GATE,
    auditors: Iterable[Auditor] = (),
) -> None:
    """Replace the authorized_keys file, if its text changes.

    Raises:
        OSError: the file cannot be written; the former one is intact.
    """
    lines = _lines(holders, state.resolve(), gate, auditors)
    text = "".join(lines.values())
    _write_let_in(state, lines)
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, text.encode())
