"""The forms of operations on a server, read into values or told back in one sentence.

Times are typed as browsers give them (`2026-11-22T15:00`) and mean UTC.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from configrepo.members import SeenFrom
from configrepo.model import ServerId
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

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Faulty:
    """What was typed cannot be an operation."""

    sentence: str


def read_operation(form: Mapping[str, str]) -> Operation | Faulty:
    """The operation that a form asks for; `kind` says which."""
    try:
        match form.get("kind"):
            case "switch-back":
                return SwitchBack()
            case "resume-automation":
                return ResumeAutomation()
            case "pause-automation":
                return PauseAutomation(_text(form, "reason"), _time(form, "remind"))
            case kind:
                return _of_a_server(kind, form)
    except ValueError as error:
        return Faulty(str(error))


def _of_a_server(kind: str | None, form: Mapping[str, str]) -> Operation | Faulty:
    server = ServerId(_number(form, "server", "The server"))
    match kind:
        case "remove":
            return Remove(server)
        case "change-id":
            return ChangeId(server, ServerId(_number(form, "new_id", "The new BQN ID")))
        case "change-address":
            return ChangeAddress(
                server,
                _text(form, "address"),
                _number(form, "ssh_port", "The SSH port"),
                _number(form, "control_port", "The control port"),
                _seen_from(form),
            )
        case "switch-over":
            until = _time(form, "until") if form.get("until") else ""
            return Switchover(server, _text(form, "reason"), until)
    return Faulty("This is not an operation of this release.")


def _seen_from(form: Mapping[str, str]) -> tuple[SeenFrom, ...]:
    found: list[SeenFrom] = []
    for name in form:
        row = name.removesuffix("-address")
        if name.startswith("seen-") and row != name and _text(form, name):
            found.append(
                SeenFrom(
                    ServerId(_number(form, f"{row}-viewer", "The server of an override")),
                    _text(form, name),
                    _optional(form, f"{row}-ssh"),
                    _optional(form, f"{row}-control"),
                )
            )
    return tuple(found)


def _optional(form: Mapping[str, str], name: str) -> int | None:
    return _number(form, name, "A port of an override") if _text(form, name) else None


def _text(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "").strip()


def _number(form: Mapping[str, str], name: str, what: str) -> int:
    text = _text(form, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise ValueError(f"{what} is missing or not a number.")
    return int(text)


def _time(form: Mapping[str, str], name: str) -> str:
    text = _text(form, name)[:16]
    if _TIME.fullmatch(text) is None:
        raise ValueError("A date with a time is needed, like 2026-11-22T15:00 (UTC).")
    return f"{text}:00Z"
