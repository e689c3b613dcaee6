"""The members of the cluster, as the configuration holds them.

Each server is a block `server ID` in `cluster/servers/ID.conf`, written by the program.
A member that was removed stays as a record: its key keeps old commits verifiable.
`cluster/allowed_signers` is derived from the members and never edited; with it any clone
verifies the signatures of the history.

Pure.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Literal

from configrepo.layout import SIGNERS_FILE, parse_block_file
from configrepo.model import Block, Files, ServerId
from configrepo.words import join

FOLDER = "cluster/servers/"


@dataclass(frozen=True, slots=True)
class Member:
    """One server of the cluster.

    `address` is how the others dial it; `certificate` is the base64 of the control
    port's certificate (DER); both keys are OpenSSH public keys without a comment.
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
    ]
    text = "\n ".join(join(words) for words in lines)
    return f"{FOLDER}{member.id}.conf", f"{text}\n"


def allowed_signers(members: tuple[Member, ...]) -> str:
    """The signers file for `gpg.ssh.allowedSignersFile`: one line a server, by id."""
    return "".join(
        f'server-{member.id} namespaces="git" {member.ssh_key}\n'
        for member in members
        if member.ssh_key
    )


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
    )
