"""What the election remembers is on the disk, whole or as it was before."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred
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
    one, other = (tmp_path / "election.json").read_text().splitlines()
    assert one == other
    said = json.loads(one)
    assert (said["boot"], said["epoch"], said["accepted"], said["barred"]) == (3, 5, [7, 2], None)


def test_it_stays_where_it_is_on_the_disk(tmp_path: Path) -> None:
    write_term(tmp_path, Durable(1, 1))
    made = (tmp_path / "election.json").stat()
    assert made.st_blocks * 512 >= made.st_size
    longest = Barred("\N{OLD ITALIC LETTER A}" * 200, 1.5)
    for epoch in range(2, 9):
        durable = Durable(1, epoch, Accepted(epoch, ServerId(0)), longest)
        write_term(tmp_path, durable)
        assert read_term(tmp_path) == durable
    now = (tmp_path / "election.json").stat()
    assert (now.st_ino, now.st_size, now.st_blocks) == (made.st_ino, made.st_size, made.st_blocks)
    assert [path.name for path in tmp_path.iterdir()] == ["election.json"]


@given(
    step=st.sampled_from([0, 1]),
    upto=st.integers(0, 4096),
    rubbish=st.sampled_from([b"", b"\0", b"\xff", b"{"]),
)
def test_a_write_that_was_cut_anywhere_leaves_the_old_or_the_new(
    tmp_path_factory: pytest.TempPathFactory, step: int, upto: int, rubbish: bytes
) -> None:
    """The first or the second line is written up to there; then comes the old one, or rubbish."""
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "election.json"
    old, new = Durable(3, 5, Accepted(5, ServerId(1))), Durable(3, 6, Accepted(6, ServerId(0)))
    write_term(folder, Durable(3, 4))
    write_term(folder, old)
    before = path.read_bytes()
    write_term(folder, new)
    after = path.read_bytes()
    order = _order(before, new, folder)
    lines = [before[:4096], before[4096:]]
    for place in order[:step]:
        lines[place] = after[place * 4096 : (place + 1) * 4096]
    place = order[step]
    rest = lines[place][upto:] if not rubbish else rubbish * (4096 - upto)
    lines[place] = after[place * 4096 :][:upto] + rest
    path.write_bytes(b"".join(lines))
    found = read_term(folder)
    assert found in ((old, new) if step == 0 else (new,))
    # Whatever was cut, what is remembered next is remembered, also if that is cut.
    write_term(folder, Durable(4, 7))
    assert read_term(folder) == Durable(4, 7)


def _order(before: bytes, new: Durable, folder: Path) -> list[int]:
    """Which of the two lines is written first."""
    path, seen = folder / "election.json", []

    def look(descriptor: int) -> None:
        now = os.pread(descriptor, 8192, 0)
        seen.append(0 if now[:4096] != before[:4096] and 0 not in seen else 1)

    path.write_bytes(before)
    write_term(folder, new, look)
    return seen


def test_the_line_that_is_whole_is_never_written_first(tmp_path: Path) -> None:
    path = tmp_path / "election.json"
    for torn in (0, 1):
        write_term(tmp_path, Durable(1, 1))
        write_term(tmp_path, Durable(1, 2))
        data = bytearray(path.read_bytes())
        data[torn * 4096 + 30] ^= 1
        path.write_bytes(data)
        assert read_term(tmp_path) == Durable(1, 2)
        whole = bytes(data[4096:] if torn == 0 else data[:4096])
        assert _order(bytes(data), Durable(1, 3), tmp_path)[0] == torn
        assert whole not in path.read_bytes()
        path.unlink()


def test_two_damaged_lines_are_named(tmp_path: Path) -> None:
    write_term(tmp_path, Durable(1, 1))
    path = tmp_path / "election.json"
    path.write_bytes(path.read_bytes().replace(b'"epoch": 1', b'"epoch": 2'))
    with pytest.raises(StateDirError, match=r"election\.json is damaged"):
        read_term(tmp_path)


def test_what_an_older_release_wrote_is_read_and_written_anew(tmp_path: Path) -> None:
    old = {"accepted": [7, 2], "barred": ["maintenance", None], "boot": 3, "epoch": 5}
    (tmp_path / "election.json").write_text(json.dumps(old, indent=1))
    durable = Durable(3, 5, Accepted(7, ServerId(2)), Barred("maintenance"))
    assert read_term(tmp_path) == durable
    write_term(tmp_path, replace(durable, boot=4))
    assert read_term(tmp_path) == replace(durable, boot=4)
    assert len((tmp_path / "election.json").read_bytes()) == 8192
