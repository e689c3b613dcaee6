from __future__ import annotations

from pathlib import Path

from scheduler.disk_space import GIVE_UP_BELOW_BYTES, RESERVE_BYTES, DiskSpace


class Disk:
    """A disk whose free space is set."""

    def __init__(self, state: Path) -> None:
        self.share, self.left = 0.5, 10**12
        self.space = DiskSpace(state, lambda _: self.share, lambda _: self.left)
        self.reserve = state / "reserve"


def test_a_reserve_is_taken_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    assert disk.space.look() == "a reserve of 64 MiB was taken"
    assert disk.reserve.stat().st_size == RESERVE_BYTES
    assert disk.reserve.stat().st_blocks * 512 >= RESERVE_BYTES
    assert disk.space.look() == "50% of the disk is free"
    assert disk.space.read_only_reason() is None


def test_below_ten_percent_people_are_told_why_they_may_not_write(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.space.look()
    disk.share = 0.09
    disk.space.look()
    reason = disk.space.read_only_reason()
    assert reason is not None
    assert "9% is free" in reason
    assert disk.reserve.exists()
    disk.share = 0.10
    disk.space.look()
    assert disk.space.read_only_reason() is None


def test_the_reserve_is_given_up_when_the_disk_is_full_and_taken_again_later(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    disk.space.look()
    disk.share, disk.left = 0.0, GIVE_UP_BELOW_BYTES - 1
    assert "was given up" in disk.space.look()
    assert not disk.reserve.exists()
    disk.left += RESERVE_BYTES
    disk.space.look()
    assert not disk.reserve.exists()
    disk.share = 0.5
    assert "was taken" in disk.space.look()


def test_a_disk_without_room_for_the_reserve_says_so(tmp_path: Path) -> None:
    missing = DiskSpace(tmp_path / "gone", lambda _: 0.5, lambda _: 10**12)
    assert "no reserve could be taken" in missing.look()
