"""What the election must remember over a restart or a power cut: `election.json`.

The file holds it twice, as one line of JSON each, in two blocks that belong to the file
since it was made. They are overwritten where they are, one after the other: that needs no
room, so an election goes on while the disk is full to the last byte. Each line carries its
number and a digest; one that a power cut tore does not count, and the other one is whole.

Edge: files.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from configrepo.model import ServerId
from scheduler.control_view import Accepted, barred_from_json, barred_to_json
from scheduler.election_values import Durable
from scheduler.state_dir import StateDirError, write_durably

_NAME: Final = "election.json"
_LINE_BYTES: Final = 4096
"""A block of most file systems: a line never shares one with the other line."""

_NONE: Final = -1


def read_term(state_dir: Path) -> Durable:
    """What was remembered; nothing at a first start.

    Raises:
        StateDirError: the file is damaged.
    """
    path = state_dir / _NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Durable()
    value = _newest(_lines(data))
    try:
        return _from_json(_of_one_line(data) if value is None else value)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StateDirError(f"{path} is damaged: restore it from a backup") from error


def write_term(
    state_dir: Path, durable: Durable, sync: Callable[[int], None] = os.fdatasync
) -> None:
    """Remember it; it is on the disk when this returns.

    Raises:
        OSError: no permission, or a file that was not made yet and no space; what was
            remembered before is intact.
    """
    path = state_dir / _NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        write_durably(path, _line(durable, 0) * 2)
        return
    try:
        data = os.pread(descriptor, 2 * _LINE_BYTES + 1, 0)
        lines = _lines(data)
        if _newest(lines) is not None:
            _overwrite(descriptor, lines, durable, sync)
            return
    finally:
        os.close(descriptor)
    # The form of an older release, a line alone.
    write_durably(path, _line(durable, 0) * 2)


def _overwrite(
    descriptor: int,
    lines: list[dict[str, Any] | None],
    durable: Durable,
    sync: Callable[[int], None],
) -> None:
    """Write both lines, first the one that can be missed: the other one is still whole."""
    numbers = [_number(line) for line in lines]
    line = _line(durable, max(numbers) + 1)
    for place in sorted((0, 1), key=lambda place: numbers[place]):
        if os.pwrite(descriptor, line, place * _LINE_BYTES) != _LINE_BYTES:
            raise OSError(errno.EIO, f"{_NAME} was written in part")
        sync(descriptor)


def _number(line: dict[str, Any] | None) -> int:
    return _NONE if line is None else int(line["number"])


def _newest(lines: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    return max(lines, key=_number)


def _lines(data: bytes) -> list[dict[str, Any] | None]:
    """The two lines; None for one that is not as it was written."""
    if len(data) != 2 * _LINE_BYTES:
        return [None, None]
    return [_whole(data[:_LINE_BYTES]), _whole(data[_LINE_BYTES:])]


def _whole(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
        told = value.pop("digest")
        return value if told == _digest(value) and isinstance(value["number"], int) else None
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


def _of_one_line(data: bytes) -> Any:
    """What an older release wrote: one value, without a digest."""
    value = json.loads(data)
    if "digest" in value:
        raise ValueError("a part of a file")
    return value


def _line(durable: Durable, number: int) -> bytes:
    accepted = durable.accepted
    value = {
        "accepted": [accepted.epoch, accepted.id] if accepted is not None else None,
        "barred": barred_to_json(durable.barred),
        "boot": durable.boot,
        "epoch": durable.epoch,
        "number": number,
    }
    text = json.dumps({**value, "digest": _digest(value)}, sort_keys=True)
    # Blanks, not zeros: a copy that leaves holes would leave them without blocks.
    line = text.encode().ljust(_LINE_BYTES - 1) + b"\n"
    assert len(line) == _LINE_BYTES, "a reason has at most 200 characters"
    return line


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _from_json(value: Any) -> Durable:
    accepted = value["accepted"]
    return Durable(
        boot=int(value["boot"]),
        epoch=int(value["epoch"]),
        accepted=Accepted(int(accepted[0]), ServerId(accepted[1])) if accepted else None,
        barred=barred_from_json(value.get("barred")),
    )
