from __future__ import annotations

from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler.errors import RemoteRefused
from scheduler.findings import (
    Finding,
    Pair,
    Standpoint,
    pair_from_row,
    row_of,
    standpoint_from_json,
)

ZERO, ONE = ServerId(0), ServerId(1)


def test_a_pair_comes_back_as_it_was_sent() -> None:
    pair = Pair(ZERO, ONE, Finding("ok", 3), Finding("wrong key", 40, "not let in"))
    assert pair_from_row(ZERO, row_of(pair), {ONE}) == pair


def test_words_of_another_server_are_made_safe_and_short() -> None:
    row = [1, "ok", 1, "", "no answer", 2, "\x1b[31m" + "x" * 1000]
    detail = pair_from_row(ZERO, row, {ONE}).ssh.detail
    assert "\x1b" not in detail
    assert len(detail) == 300
    assert pair_from_row(ZERO, [1, "<b>", 1, "", "ok", 2, ""], {ONE}).control.cause == "no answer"


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        [1],
        [2, "ok", 1, "", "ok", 1, ""],
        [1, "ok", 1, "", "ok", 1],
        [1, "ok", "1", "", "ok", 1, ""],
        [1, "ok", -1, "", "ok", 1, ""],
        [1, 5, 1, "", "ok", 1, ""],
        ["1", "ok", 1, "", "ok", 1, ""],
    ],
)
def test_a_row_of_another_form_is_refused(row: Any) -> None:
    with pytest.raises(RemoteRefused, match="another release"):
        pair_from_row(ZERO, row, {ONE})


def test_what_a_server_says_of_its_place_is_read_with_care() -> None:
    said = {"inside": "10.0.0.1", "foreign": ["192.0.2.1", 5]}
    assert standpoint_from_json(said) == Standpoint("10.0.0.1", ("192.0.2.1",))
    assert standpoint_from_json({"inside": 5, "foreign": "192.0.2.1"}) == Standpoint()
