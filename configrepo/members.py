"""The members of the cluster, as the configuration holds them.

Each server is a block `server ID` in `cluster/servers/ID.conf`, written by the program.
A member that was removed stays as a record, and so does the key of hardware that was
replaced: they keep old commits verifiable, but sign nothing later (`valid-before`).
`cluster/allowed_signers` is derived from the members and never edited; with it any clone
verifies the signatures of the history. Times are UTC as `2026-11-22T15:00:00Z`.

Pure.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from typing import Literal

from configrepo.layout import SIGNERS_FILE, parse_block_file
from configrepo.model import Block, Files, ServerId
from configrepo.words import join

FOLDER = "cluster/servers/"


@dataclass(frozen=True, slots=True)
class SeenFrom:
    """Where one server (`viewer`) dials another, if not where all others do; None: as they."""

    viewer: ServerId
    address: str
    ssh_port: int | None = None
    control_port: int | None = None


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A key that a server signed with until it was replaced."""

    ssh_key: str
    until: str


@dataclass(frozen=True, slots=True)
class Ineligible:
    """Why a server is not to lead; `until` "" is until it is said otherwise."""

    reason: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One server of the cluster.

    `address` is how the others dial it; `certificate` is the base64 of the control
    port's certificate (DER); both keys are OpenSSH public keys without a comment.
    `removed` is when it was removed ("" while it is active).
    """

    id: ServerId
    name: str
    address: str
    ssh_port: int
    control_port: int
    certificate: str
    ssh_host_key: str
    ssh_key: str
    state: Literal["active", "removed"] = "active"
    removed: str = ""
    ineligible: Ineligible | None = None
    former_keys: tuple[FormerKey, ...] = ()
    seen_from: tuple[SeenFrom, ...] = ()

    def seen_by(self, viewer: ServerId) -> Member:
        """The same member as `viewer` dials it."""
        for seen in self.seen_from:
            if seen.viewer == viewer:
                return replace(
                    self,
                    address=seen.address,
                    ssh_port=self.ssh_port if seen.ssh_port is None else seen.ssh_port,
                    control_port=(
                        self.control_port if seen.control_port is None else seen.control_port
                    ),
                )
        return self


def members_of(files: Files) -> tuple[Member, ...]:
    """The members in these files, removed ones included, by id.

    Raises:
        UnreadableConfig: a member's file cannot be read.
    """
    found = [
        _member(block)
        for path, text in files.items()
        if path.startswith(FOLDER)
        for block in parse_block_file(path, text)
    ]
    return tuple(sorted(found, key=lambda member: member.id))


def member_file(member: Member) -> tuple[str, str]:
    """The path and the canonical text of a member's record."""
    lines = [
        ("server", str(member.id)),
        ("name", member.name),
        ("address", member.address),
        ("ssh-port", str(member.ssh_port)),
        ("control-port", str(member.control_port)),
        ("certificate", member.certificate),
        ("ssh-host-key", *member.ssh_host_key.split()),
        ("ssh-key", *member.ssh_key.split()),
        ("state", member.state),
        *_more_lines(member),
    ]
    text = "\n ".join(join(words) for words in lines)
    return f"{FOLDER}{member.id}.conf", f"{text}\n"


def _more_lines(member: Member) -> list[tuple[str, ...]]:
    """The lines that most members do not have, in the order of the schema."""
    lines: list[tuple[str, ...]] = []
    if member.removed:
        lines.append(("removed", member.removed))
    if (flag := member.ineligible) is not None:
        until = ("until", flag.until) if flag.until else ()
        lines.append(("ineligible", "reason", flag.reason, *until))
    for former in sorted(member.former_keys, key=lambda key: key.ssh_key):
        lines.append(("former-key", *former.ssh_key.split(), "until", former.until))
    for seen in sorted(member.seen_from, key=lambda seen: seen.viewer):
        ssh = () if seen.ssh_port is None else ("ssh-port", str(seen.ssh_port))
        control = () if seen.control_port is None else ("control-port", str(seen.control_port))
        lines.append(("seen-from", str(seen.viewer), "address", seen.address, *ssh, *control))
    return lines


def allowed_signers(members: tuple[Member, ...]) -> str:
    """The signers file for `gpg.ssh.allowedSignersFile`: one line a key, by id of its server."""
    lines: list[str] = []
    for member in members:
        keys = [(former.ssh_key, former.until) for former in member.former_keys]
        for key, until in (*keys, (member.ssh_key, member.removed)):
            if key:
                before = f',valid-before="{_compact(until)}"' if until else ""
                lines.append(f'server-{member.id} namespaces="git"{before} {key}\n')
    return "".join(lines)


def _compact(time: str) -> str:
    """A time as ssh-keygen reads it: 20261122150000Z."""
    return "".join(c for c in time if c not in "-:T")


def with_allowed_signers(files: Files) -> dict[str, str]:
    """The same files with `cluster/allowed_signers` as the members in them say.

    Raises:
        UnreadableConfig: a member's file cannot be read.
    """
    result = {path: text for path, text in files.items() if path != SIGNERS_FILE}
    signers = allowed_signers(members_of(files))
    if signers:
        result[SIGNERS_FILE] = signers
    return result


def fingerprint(certificate: str) -> str:
    """`SHA256:…` of a certificate (base64 of DER), in the style of OpenSSH."""
    digest = hashlib.sha256(base64.b64decode(certificate)).digest()
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def _member(block: Block) -> Member:
    values = {child.words[0]: " ".join(child.words[1:]) for child in block.children}
    return Member(
        id=ServerId(int(block.names[0])),
        name=values.get("name", ""),
        address=values.get("address", ""),
        ssh_port=int(values.get("ssh-port", "22")),
        control_port=int(values.get("control-port", str(63500 + int(block.names[0])))),
        certificate=values.get("certificate", ""),
        ssh_host_key=values.get("ssh-host-key", ""),
        ssh_key=values.get("ssh-key", ""),
        state="removed" if values.get("state") == "removed" else "active",
        removed=values.get("removed", ""),
        ineligible=_ineligible(block),
        former_keys=tuple(
            FormerKey(" ".join(words[1:3]), words[4]) for words in _lines(block, "former-key")
        ),
        seen_from=tuple(_seen_from(words) for words in _lines(block, "seen-from")),
    )


def _lines(block: Block, first: str) -> list[tuple[str, ...]]:
    return [child.words for child in block.children if child.words[0] == first]


def _ineligible(block: Block) -> Ineligible | None:
    for words in _lines(block, "ineligible"):
        return Ineligible(words[2], *words[4:5])
    return None


def _seen_from(words: tuple[str, ...]) -> SeenFrom:
    ports = dict(zip(words[4::2], map(int, words[5::2]), strict=True))
    return SeenFrom(
        ServerId(int(words[1])), words[3], ports.get("ssh-port"), ports.get("control-port")
    )
