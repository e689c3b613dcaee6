"""Operations on members as JSON and back: they travel to the primary, and through a form.

What arrives is checked field by field: a wrong shape raises `RemoteRefused`, never
anything else. What the values mean is judged where the operation is planned.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from configrepo.members import SeenFrom
from configrepo.model import ServerId
from scheduler.errors import RemoteRefused
from scheduler.operations_seam import (
    ChangeAddress,
    ChangeId,
    Operation,
    PauseAutomation,
    Remove,
    ResumeAutomation,
    SwitchBack,
    Switchover,
)

_KINDS: Mapping[str, type[Operation]] = {
    "remove": Remove,
    "change-id": ChangeId,
    "change-address": ChangeAddress,
    "switch-over": Switchover,
    "switch-back": SwitchBack,
    "pause-automation": PauseAutomation,
    "resume-automation": ResumeAutomation,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_BARE: Mapping[str, Operation] = {
    "switch-back": SwitchBack(),
    "resume-automation": ResumeAutomation(),
}


def operation_to_json(operation: Operation) -> dict[str, Any]:
    """The operation with its kind."""
    return {"kind": _NAMES[type(operation)], **asdict(operation)}


def operation_from_json(stored: Any) -> Operation:
    """The inverse of `operation_to_json`.

    Raises:
        RemoteRefused: it is not an operation of this release.
    """
    try:
        match stored:
            case {"kind": "remove", "server": server}:
                return Remove(_id(server))
            case {"kind": "change-id", "server": server, "new_id": new_id}:
                return ChangeId(_id(server), _id(new_id))
            case {"kind": "change-address"}:
                return _change_address(stored)
            case {"kind": "switch-over", "to": to, "reason": str(reason), "until": str(until)}:
                return Switchover(_id(to), reason, until)
            case {"kind": "pause-automation", "reason": str(reason), "remind": str(remind)}:
                return PauseAutomation(reason, remind)
            case {"kind": str(kind)} if kind in _BARE:
                return _BARE[kind]
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteRefused(f"the operation cannot be read ({error})") from error
    raise RemoteRefused("the operation cannot be read: another release?")


def _change_address(fields: Mapping[str, Any]) -> ChangeAddress:
    return ChangeAddress(
        _id(fields["server"]),
        str(fields["address"]),
        _number(fields["ssh_port"]),
        _number(fields["control_port"]),
        tuple(_seen_from(seen) for seen in fields["seen_from"]),
    )


def _seen_from(stored: Mapping[str, Any]) -> SeenFrom:
    ssh, control = stored["ssh_port"], stored["control_port"]
    return SeenFrom(
        _id(stored["viewer"]),
        str(stored["address"]),
        None if ssh is None else _number(ssh),
        None if control is None else _number(control),
    )


def _id(value: object) -> ServerId:
    return ServerId(_number(value))


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a number")
    return value
