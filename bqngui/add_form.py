"""The two forms of *Add BQN to a cluster…*: what was typed, read into values or told back.

The invitation asks what the vendor's dialogue asks. Joining asks for the code and this
server's own address; the id and address of the other server are a cross-check of the code
and may be left empty. Without a code both forms ask for id, address and ports of the other
server. Input is never lost: a form with problems holds what was typed.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from configrepo.model import ServerId
from scheduler.views import AddForm

MAX_ID = 255
MAX_PORT = 65_535
MAX_CODE = 4_096
DEFAULT_SSH_PORT = "22"
BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class JoinForm:
    """What a joining server needs; `check` is the other server as the operator knows it.

    Without a code `check` is where that server is met.
    """

    code: str
    own_address: str
    own_ssh_port: int
    check: AddForm | None


@dataclass(frozen=True, slots=True)
class Faulty:
    """A form that cannot be used: a sentence for each field that is wrong."""

    faults: Mapping[str, str]


def read_invitation(typed: Mapping[str, str]) -> AddForm | Faulty:
    """Read the form of the inviting server."""
    faults: dict[str, str] = {}
    form = _other(typed, faults)
    by_hand = typed.get("way", "") == BY_HAND
    replaces = typed.get("replaces", "") == "1"
    return Faulty(faults) if faults else replace(form, replaces=replaces, by_hand=by_hand)


def read_meeting(typed: Mapping[str, str]) -> JoinForm | Faulty:
    """Read the form of the joining server that has no code."""
    faults: dict[str, str] = {}
    form = _other(typed, faults)
    own_ssh = _port(typed, "own_ssh_port", "The SSH port of this server", faults)
    if faults:
        return Faulty(faults)
    return JoinForm("", form.own_address, own_ssh, replace(form, by_hand=True))


def _other(typed: Mapping[str, str], faults: dict[str, str]) -> AddForm:
    other_id = _number(typed, "other_id", 0, MAX_ID, "The id of the other server", faults)
    other = _address(typed, "other_address", "The address of the other server", faults)
    own = _address(typed, "own_address", "The address of this server", faults)
    ssh = _port(typed, "other_ssh_port", "The SSH port", faults)
    control: int | None = None
    if typed.get("other_control_port", "").strip():
        control = _port(typed, "other_control_port", "The control port", faults)
    return AddForm(ServerId(other_id), other, own, ssh, control)


def read_joining(typed: Mapping[str, str]) -> JoinForm | Faulty:
    """Read the form of the joining server."""
    faults: dict[str, str] = {}
    code = "".join(typed.get("code", "").split())
    if not code:
        faults["code"] = "Paste the join code that the other server shows."
    elif len(code) > MAX_CODE:
        faults["code"] = "This is too long for a join code. Copy it again."
    own = _address(typed, "own_address", "The address of this server", faults)
    own_ssh = _port(typed, "own_ssh_port", "The SSH port of this server", faults)
    check = None
    if typed.get("other_id", "").strip() or typed.get("other_address", "").strip():
        other_id = _number(typed, "other_id", 0, MAX_ID, "The id of the other server", faults)
        other = _address(typed, "other_address", "The address of the other server", faults)
        check = AddForm(ServerId(other_id), other, own)
    return Faulty(faults) if faults else JoinForm(code, own, own_ssh, check)


def _number(
    typed: Mapping[str, str],
    field: str,
    least: int,
    most: int,
    what: str,
    faults: dict[str, str],
) -> int:
    text = typed.get(field, "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most:
        return int(text)
    faults[field] = f"{what} is a whole number from {least} to {most}."
    return least


def _port(typed: Mapping[str, str], field: str, what: str, faults: dict[str, str]) -> int:
    return _number(typed, field, 1, MAX_PORT, what, faults)


def _address(typed: Mapping[str, str], field: str, what: str, faults: dict[str, str]) -> str:
    text = typed.get(field, "").strip()
    if not text:
        faults[field] = f"{what} is missing: an IP address or a name."
    elif len(text) > 253 or not all(c.isascii() and (c.isalnum() or c in ".-:_") for c in text):
        faults[field] = f"{what} is an IP address or a name, without port and blanks."
    return text
