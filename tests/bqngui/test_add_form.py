"""What an operator types into the two forms of adding a server."""

from __future__ import annotations

import pytest

from bqngui.add_form import BY_HAND, Faulty, JoinForm, read_invitation, read_joining, read_meeting
from configrepo.model import ServerId
from scheduler.views import AddForm

INVITATION = {
    "other_id": "1",
    "other_address": "192.168.56.112",
    "own_address": "192.168.56.111",
    "other_ssh_port": "22",
    "other_control_port": "",
}
JOINING = {"code": "BQN1-ABC", "own_address": "192.168.56.112", "own_ssh_port": "2222"}


def test_the_vendors_form_is_read() -> None:
    form = read_invitation({**INVITATION, "other_id": " 1 "})
    assert form == AddForm(ServerId(1), "192.168.56.112", "192.168.56.111", 22, None)


def test_an_id_of_zero_is_an_id() -> None:
    form = read_invitation({**INVITATION, "other_id": "0", "other_control_port": "7000"})
    assert form == AddForm(ServerId(0), "192.168.56.112", "192.168.56.111", 22, 7000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("other_id", "256"),
        ("other_id", "-1"),
        ("other_id", "one"),
        ("other_id", "²"),
        ("other_id", ""),
        ("other_ssh_port", "0"),
        ("other_ssh_port", "65536"),
        ("other_control_port", "x"),
        ("other_address", ""),
        ("other_address", "10.0.0.1/24"),
        ("other_address", "a b"),
        ("own_address", "x" * 300),
    ],
)
def test_each_wrong_field_is_told_at_its_place(field: str, value: str) -> None:
    form = read_invitation({**INVITATION, field: value})
    assert isinstance(form, Faulty)
    assert list(form.faults) == [field]


def test_all_wrong_fields_are_told_together() -> None:
    form = read_invitation({})
    assert isinstance(form, Faulty)
    assert set(form.faults) == {"other_id", "other_address", "own_address", "other_ssh_port"}


def test_two_servers_may_share_an_address_and_differ_in_ports() -> None:
    form = read_invitation({**INVITATION, "own_address": INVITATION["other_address"]})
    assert isinstance(form, AddForm)


def test_a_code_is_freed_of_the_blanks_that_copying_adds() -> None:
    form = read_joining({**JOINING, "code": " BQN1-\n ABC\n"})
    assert form == JoinForm("BQN1-ABC", "192.168.56.112", 2222, None)


def test_the_cross_check_is_read_if_one_of_its_fields_is_filled() -> None:
    filled = {**JOINING, "other_id": "0", "other_address": "192.168.56.111"}
    form = read_joining(filled)
    assert isinstance(form, JoinForm)
    assert form.check == AddForm(ServerId(0), "192.168.56.111", "192.168.56.112")
    half = read_joining({**JOINING, "other_id": "0"})
    assert isinstance(half, Faulty)
    assert list(half.faults) == ["other_address"]


@pytest.mark.parametrize("code", ["", "  \n", "x" * 5000])
def test_no_code_and_a_monstrous_one_are_told(code: str) -> None:
    form = read_joining({**JOINING, "code": code})
    assert isinstance(form, Faulty)
    assert list(form.faults) == ["code"]


def test_the_button_says_whether_there_is_a_code() -> None:
    by_hand = read_invitation({**INVITATION, "way": BY_HAND})
    by_code = read_invitation({**INVITATION, "way": "x"})
    assert isinstance(by_hand, AddForm)
    assert isinstance(by_code, AddForm)
    assert (by_hand.by_hand, by_code.by_hand) == (True, False)


def test_without_a_code_the_other_server_must_be_named() -> None:
    form = read_meeting({**INVITATION, "own_ssh_port": "2222", "other_control_port": "7000"})
    there = AddForm(ServerId(1), "192.168.56.112", "192.168.56.111", 22, 7000, by_hand=True)
    assert form == JoinForm("", "192.168.56.111", 2222, there)
    faulty = read_meeting({"other_id": "x"})
    assert isinstance(faulty, Faulty)
    assert set(faulty.faults) == {
        "other_id",
        "other_address",
        "own_address",
        "other_ssh_port",
        "own_ssh_port",
    }
