from __future__ import annotations

import pytest

from bqngui.operation_forms import Faulty, read_operation
from configrepo.members import SeenFrom
from configrepo.model import ServerId
from scheduler.operations_seam import (
    ChangeAddress,
    ChangeId,
    PauseAutomation,
    Remove,
    ResumeAutomation,
    SwitchBack,
    Switchover,
)

ZERO, ONE = ServerId(0), ServerId(1)


def test_each_form_is_read_into_its_operation() -> None:
    assert read_operation({"kind": "remove", "server": "0"}) == Remove(ZERO)
    change = {"kind": "change-id", "server": "0", "new_id": " 7 "}
    assert read_operation(change) == ChangeId(ZERO, ServerId(7))
    switch = {"kind": "switch-over", "server": "1", "reason": "fan", "until": "2026-11-23T06:00"}
    assert read_operation(switch) == Switchover(ONE, "fan", "2026-11-23T06:00:00Z")
    assert read_operation({**switch, "until": ""}) == Switchover(ONE, "fan", "")
    pause = {"kind": "pause-automation", "reason": "fibre", "remind": "2026-11-22T17:00"}
    assert read_operation(pause) == PauseAutomation("fibre", "2026-11-22T17:00:00Z")
    assert read_operation({"kind": "switch-back"}) == SwitchBack()
    assert read_operation({"kind": "resume-automation"}) == ResumeAutomation()


def test_an_override_counts_if_it_has_an_address() -> None:
    form = {
        "kind": "change-address",
        "server": "1",
        "address": "192.0.2.1",
        "ssh_port": "22",
        "control_port": "63501",
        "seen-1-viewer": "0",
        "seen-1-address": "203.0.113.1",
        "seen-1-ssh": "2201",
        "seen-1-control": "",
        "seen-new-viewer": "2",
        "seen-new-address": " ",
    }
    seen = (SeenFrom(ZERO, "203.0.113.1", 2201),)
    assert read_operation(form) == ChangeAddress(ONE, "192.0.2.1", 22, 63501, seen)


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"kind": "remove"}, "server"),
        ({"kind": "remove", "server": "²"}, "number"),
        ({"kind": "change-id", "server": "1", "new_id": "-1"}, "BQN ID"),
        ({"kind": "change-address", "server": "1", "ssh_port": "x"}, "SSH port"),
        ({"kind": "pause-automation", "reason": "x", "remind": "soon"}, "date"),
        ({"kind": "explode", "server": "1"}, "release"),
        ({}, "server"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(form: dict[str, str], word: str) -> None:
    told = read_operation(form)
    assert isinstance(told, Faulty)
    assert word in told.sentence
