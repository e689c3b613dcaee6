"""The power goes at any moment, while a server commits one change after the other.

Whatever was acknowledged before is there, the repository is sound, and the whole program
starts from it without help.
"""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest

from scheduler.assembly import Assembly
from scheduler.settings import load_settings
from tests.faults import disk
from tests.faults.far_program import FarProgram, far_program
from tests.faults.stopping import stopped
from tests.support.repositories import LINE, real_git
from tests.support.settings_file import free_ports, write_settings
from tests.support.small_server import hashed

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

SELECTED, ALL = 4, 300
LONGEST_WAIT_S = 0.4


class Busy:
    """Has a far server commit without a pause; `acknowledged` are the commits it told of."""

    def __init__(self, far: FarProgram) -> None:
        self.acknowledged: list[str] = []
        self._far = far
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._commit)
        self._thread.start()

    def _commit(self) -> None:
        while not self._enough.is_set():
            said = self._far.ask()
            assert not said.startswith("no"), said
            self.acknowledged.append(said)

    def end(self) -> None:
        """Finish the commit that is under way."""
        self._enough.set()
        self._thread.join()


def started(state: Path, folder: Path) -> str:
    """Start the whole program on a state directory; the newest commit that it knows."""
    control, ssh = free_ports(2)
    settings = folder / "copy.toml"
    write_settings(settings, state, control=control, ssh=ssh)
    program = Assembly(load_settings(settings), hashed, threading.Event())
    program.start()
    try:
        assert program.store.fsck() is None
        return program.changes.head()
    finally:
        program.stop()


def test_at_any_moment_nothing_acknowledged_is_lost_and_the_program_starts(
    tmp_path: Path, full: bool
) -> None:
    if not disk.works(tmp_path):
        pytest.skip("this machine mounts no images (root and loop devices are needed)")
    random, held = Random(7), 0
    image = disk.new_image(tmp_path / "disk.img", 512 if full else 256)
    with (
        disk.mounted(image, tmp_path / "disk") as place,
        far_program("tests.faults.saving_process", str(place)) as far,
    ):
        assert far.read() == "ready"
        disk.settle(place)
        busy = Busy(far)
        try:
            for _ in range(ALL if full else SELECTED):
                threading.Event().wait(random.uniform(0.0, LONGEST_WAIT_S))
                with stopped(far.pid):
                    copy = disk.cut(image, tmp_path / "copy.img")
                    acknowledged = [*busy.acknowledged]
                    with disk.mounted(copy, tmp_path / "copy") as root:
                        path = root / "s0" / "config.git"
                        assert real_git(path, "fsck", "--strict", "--no-dangling") == ""
                        there = real_git(path, "rev-list", LINE).split()
                        assert set(acknowledged) <= set(there)
                        # At most the one that was under way is there and was not told of.
                        assert started(root / "s0", tmp_path) in there
                        held += len(acknowledged)
                    copy.unlink()
        finally:
            busy.end()
    assert held > 0, "no cut came after an acknowledgement"
    print(f"{ALL if full else SELECTED} cuts, {held} acknowledged commits looked for, none lost")
