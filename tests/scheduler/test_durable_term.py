"""What the election remembers is on the disk, whole or as it was before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configrepo.model import ServerId
from scheduler.control_view import Accepted
from scheduler.durable_term import read_term, write_term
from scheduler.election_values import Durable
from scheduler.state_dir import StateDirError


def test_nothing_is_remembered_at_a_first_start(tmp_path: Path) -> None:
    assert read_term(tmp_path) == Durable(boot=0, epoch=0, accepted=None)


@pytest.mark.parametrize("accepted", [None, Accepted(7, ServerId(0))])
def test_what_was_written_is_read_back(tmp_path: Path, accepted: Accepted | None) -> None:
    durable = Durable(3, 5, accepted)
    write_term(tmp_path, durable)
    assert read_term(tmp_path) == durable


def test_a_write_that_fails_leaves_what_was_remembered(tmp_path: Path) -> None:
    write_term(tmp_path, Durable(3, 5))
    before = (tmp_path / "election.json").read_bytes()
    with pytest.raises(OSError, match="No such file"):
        write_term(tmp_path / "gone", Durable(4, 6))
    assert (tmp_path / "election.json").read_bytes() == before


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"boot":1,"epoch":"x","accepted":null}', "null1"]
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "election.json").write_text(content)
    with pytest.raises(StateDirError, match=r"election\.json is damaged"):
        read_term(tmp_path)


def test_the_file_can_be_read_by_people(tmp_path: Path) -> None:
    write_term(tmp_path, Durable(3, 5, Accepted(7, ServerId(2))))
    assert json.loads((tmp_path / "election.json").read_text()) == {
        "boot": 3,
        "epoch": 5,
        "accepted": [7, 2],
        "barred": None,
    }
