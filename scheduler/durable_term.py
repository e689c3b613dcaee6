"""What the election must remember over a restart or a power cut: `election.json`.

Edge: files.
"""

from __future__ import annotations

from pathlib import Path

from configrepo.model import ServerId
from scheduler.control_view import Accepted, barred_from_json, barred_to_json
from scheduler.election_values import Durable
from scheduler.state_dir import StateDirError, read_json, write_json

_NAME = "election.json"


def read_term(state_dir: Path) -> Durable:
    """What was remembered; nothing at a first start.

    Raises:
        StateDirError: the file is damaged.
    """
    value = read_json(state_dir / _NAME)
    if value is None:
        return Durable()
    try:
        accepted = value["accepted"]
        return Durable(
            boot=int(value["boot"]),
            epoch=int(value["epoch"]),
            accepted=Accepted(int(accepted[0]), ServerId(accepted[1])) if accepted else None,
            barred=barred_from_json(value.get("barred")),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StateDirError(f"{state_dir / _NAME} is damaged: restore it from a backup") from error


def write_term(state_dir: Path, durable: Durable) -> None:
    """Remember it; it is on the disk when this returns.

    Raises:
        OSError: no space, no permission; what was remembered before is intact.
    """
    accepted = durable.accepted
    write_json(
        state_dir / _NAME,
        {
            "boot": durable.boot,
            "epoch": durable.epoch,
            "accepted": [accepted.epoch, accepted.id] if accepted is not None else None,
            "barred": barred_to_json(durable.barred),
        },
    )
