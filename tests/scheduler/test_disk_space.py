from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from configrepo.durable import Room
from configrepo.model import ServerId
from scheduler.control_view import Barred, ControlView, PeerView
from scheduler.disk_space import (
    BARRED,
    MOST_RESERVED_BYTES,
    READ_ONLY_BELOW,
    WRITABLE_FROM,
    DiskSpace,
    full_disks,
    give_up_below,
    reserve_of,
)
from tests.support.standing import leading

MIB = 1 << 20


@dataclass
class Disk:
    """A disk whose other users are set; the reserve is a file that takes its size of it."""

    state: Path
    total: int = 100 << 30
    used: int = 50 << 30
    files: float = 1.0

    def __post_init__(self) -> None:
        self.space = DiskSpace(self.state, self.room)
        self.reserve = self.state / "reserve"

    def room(self, _: Path) -> Room:
        held = self.reserve.stat().st_size if self.reserve.exists() else 0
        return Room(self.total, max(0, self.total - self.used - held), self.files)

    def use_all_but(self, share: float) -> None:
        """Leave that share of the disk free beside the reserve."""
        self.used = round(self.total * (1 - share)) - reserve_of(self.total)


def test_a_reserve_is_taken_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    assert disk.space.look() == "a reserve of 64 MiB was taken"
    assert disk.reserve.stat().st_size == MOST_RESERVED_BYTES == disk.space.reserved()
    assert disk.reserve.stat().st_blocks * 512 >= MOST_RESERVED_BYTES
    assert disk.space.look() == "50% of the disk is free"
    assert disk.space.read_only_reason() is None


def test_a_small_disk_has_a_small_reserve(tmp_path: Path) -> None:
    disk = Disk(tmp_path, 160 * MIB, 0)
    assert disk.space.look() == "a reserve of 20 MiB was taken"


def test_below_ten_percent_people_are_told_why_they_may_not_write(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.space.look()
    disk.use_all_but(0.09)
    disk.space.look()
    reason = disk.space.read_only_reason()
    assert reason is not None
    assert "nearly full: 9% is free" in reason
    assert "Free 3.0 GiB of it." in reason
    assert disk.reserve.exists()
    disk.use_all_but(0.119)
    disk.space.look()
    assert disk.space.read_only_reason() is not None
    disk.use_all_but(0.121)
    disk.space.look()
    assert disk.space.read_only_reason() is None
    disk.use_all_but(0.101)
    disk.space.look()
    assert disk.space.read_only_reason() is None


def test_the_reserve_is_given_up_when_the_disk_is_full_and_taken_again_later(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    disk.space.look()
    disk.used = disk.total - MOST_RESERVED_BYTES - give_up_below(disk.total) + 1
    assert "was given up" in disk.space.look()
    assert not disk.reserve.exists()
    reason = disk.space.read_only_reason()
    assert reason is not None
    assert reason.startswith("The disk of this server is full: 0% is free")
    disk.use_all_but(0.119)
    disk.space.look()
    assert not disk.reserve.exists()
    disk.use_all_but(0.121)
    assert "was taken" in disk.space.look()


@given(
    total=st.integers(1, 2000).map(lambda size: size * MIB),
    used=st.floats(0, 1),
    before=st.floats(0, 1),
)
def test_nothing_swings_while_the_others_use_the_same(
    total: int, used: float, before: float
) -> None:
    """Whatever was before: after two looks neither the reserve nor the answer changes any more."""
    with TemporaryDirectory() as folder:
        disk = Disk(Path(folder), total, round(before * total))
        disk.space.look()
        disk.used = round(used * total)
        for _ in range(2):
            disk.space.look()
        settled = (disk.space.read_only_reason(), disk.reserve.exists())
        for _ in range(4):
            disk.space.look()
            assert (disk.space.read_only_reason(), disk.reserve.exists()) == settled


@given(
    total=st.integers(1, 2000).map(lambda size: size * MIB),
    moves=st.lists(st.floats(0, WRITABLE_FROM - READ_ONLY_BELOW - 0.001), min_size=9, max_size=9),
    free=st.floats(0.05, 0.15),
)
def test_what_comes_and_goes_changes_the_answer_once_at_most(
    total: int, moves: list[float], free: float
) -> None:
    answers: list[tuple[bool, bool]] = []
    with TemporaryDirectory() as folder:
        disk = Disk(Path(folder), total, 0)
        disk.space.look()
        for move in moves:
            disk.use_all_but(free + move)
            disk.space.look()
            answers.append((disk.space.read_only_reason() is None, disk.reserve.exists()))
    for answer in zip(*answers, strict=True):
        assert sum(one is not other for one, other in pairwise(answer)) <= 1


def test_a_disk_without_room_for_more_files_is_full(tmp_path: Path) -> None:
    disk = Disk(tmp_path, files=0.0)
    disk.space.look()
    reason = disk.space.read_only_reason()
    assert reason is not None
    assert "room for bytes, but not for more files" in reason
    assert disk.space.free_share() == 0.0


def test_a_disk_without_room_for_the_reserve_says_so(tmp_path: Path) -> None:
    missing = DiskSpace(tmp_path / "gone", lambda _: Room(10**12, 10**12))
    assert "no reserve could be taken" in missing.look()


def test_a_full_disk_of_another_server_is_told_as_long_as_it_answers() -> None:
    def seen(state: str, reason: str) -> ControlView:
        peer = PeerView(ServerId(0), state, "", barred=Barred(reason))
        return replace(leading(1, 2), peers=(peer,))

    (told,) = full_disks(seen("alive", BARRED))
    assert told.startswith("The disk of BQN 0 is full or nearly so")
    assert full_disks(seen("dead", BARRED)) == ()
    assert full_disks(seen("alive", "maintenance")) == ()
