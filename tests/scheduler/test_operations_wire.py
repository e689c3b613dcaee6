from __future__ import annotations

import pytest

from scheduler.errors import RemoteRefused
from scheduler.operations_wire import operation_from_json

ADDRESS = {"kind": "change-address", "server": 1, "address": "a", "ssh_port": 1, "control_port": 2}


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {},
        {"kind": "explode"},
        {"kind": ["remove"]},
        {"kind": "remove"},
        {"kind": "remove", "server": True},
        {"kind": "remove", "server": "1"},
        {"kind": "change-id", "server": 1, "new_id": 1.5},
        {"kind": "switch-over", "to": 1, "reason": 1, "until": ""},
        ADDRESS,
        {**ADDRESS, "seen_from": 1},
        {**ADDRESS, "seen_from": [1]},
        {**ADDRESS, "seen_from": [{"viewer": 0}]},
    ],
)
def test_what_is_no_operation_is_refused_with_a_sentence(stored: object) -> None:
    with pytest.raises(RemoteRefused, match="cannot be read"):
        operation_from_json(stored)
