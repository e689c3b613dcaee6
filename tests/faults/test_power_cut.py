"""The power goes right after something was acknowledged: it is there, and nothing is broken.

Where images cannot be mounted these tests are skipped;
`tests/configrepo/store/test_repository.py` then still shows, by the order of system calls,
that everything is on the disk before the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from configrepo.model import ServerId
from configrepo.store import Store
from scheduler.authorized_keys import Verb
from scheduler.control_view import Accepted
from scheduler.durable_term import read_term, write_term
from scheduler.election_values import Durable
from scheduler.ssh import SshTarget
from tests.faults import disk
from tests.faults.far_program import NO_BARRIER, far_program
from tests.support.replicas import CLUSTER, Replica
from tests.support.repositories import LINE, SIGNER, commit, policy, real_git

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

IMAGE_MIB = 32


@pytest.fixture(autouse=True)
def _needs_images(tmp_path: Path) -> None:
    if not disk.works(tmp_path):
        pytest.skip("this machine mounts no images")


class Cuts:
    """The images of one run, and what had been acknowledged when each was taken."""

    def __init__(self, folder: Path, repository: str, ref: str) -> None:
        self.image = disk.new_image(folder / "disk.img", IMAGE_MIB)
        self.place = folder / "disk"
        self._folder, self._repository, self._ref = folder, repository, ref
        self.taken: list[tuple[Path, str]] = []

    def take(self, acknowledged: str) -> None:
        """Cut the power now."""
        copy = self._folder / f"{len(self.taken)}.img"
        self.taken.append((disk.cut(self.image, copy), acknowledged))

    def lost(self, look: Callable[[Path], None] = lambda _: None) -> list[int]:
        """Start from every image; the numbers of those without what was acknowledged."""
        lost = []
        for number, (image, acknowledged) in enumerate(self.taken):
            with disk.mounted(image, self._folder / "copy") as root:
                path = root / self._repository
                if _found(path, self._ref) == acknowledged:
                    assert real_git(path, "fsck", "--strict", "--no-dangling") == ""
                    look(path)
                else:
                    lost.append(number)
            image.unlink()
        return lost


def _found(path: Path, ref: str) -> str:
    try:
        listed = real_git(path, "for-each-ref", "--format=%(objectname)", ref)
        real_git(path, "cat-file", "-e", f"{listed}^{{tree}}")
    except subprocess.CalledProcessError:
        return "nothing that git can read"
    return listed


def goes_on(path: Path) -> None:
    """The program opens it without help and commits."""
    with Store.open(path, SIGNER) as store:
        head = store.ref(LINE) or store.ref(CLUSTER)
        assert head is not None
        assert commit(store, head, "after the cut", policy(9999)) != head


def saved_and_cut(folder: Path, count: int, under: tuple[str, ...]) -> Cuts:
    cuts = Cuts(folder, "s0/config.git", LINE)
    module = "tests.faults.saving_process"
    with (
        disk.mounted(cuts.image, cuts.place),
        far_program(module, str(cuts.place), under=under) as far,
    ):
        assert far.read() == "ready"
        disk.settle(cuts.place)
        for _ in range(count):
            said = far.ask()
            assert not said.startswith("no"), said
            cuts.take(said)
    return cuts


def pushed_and_cut(folder: Path, count: int, under: tuple[str, ...]) -> Cuts:
    cuts = Cuts(folder, "server1/config.git", CLUSTER)
    with disk.mounted(cuts.image, cuts.place):
        near = folder / "near"
        near.mkdir()
        zero = Replica(near, 0)
        raw = zero.key.private_bytes(
            serialization.Encoding.Raw,
            serialization.PrivateFormat.Raw,
            serialization.NoEncryption(),
        )
        module = "tests.faults.receiving_process"
        with far_program(module, str(cuts.place), raw.hex(), under=under) as far:
            port, host_key = json.loads(far.read())
            disk.settle(cuts.place)
            target = SshTarget(ServerId(1), "127.0.0.1", port, host_key)
            for number in range(count):
                made = zero.commit(f"192.0.2.{number % 250}")
                stream = zero.pool.open_command(target, Verb.RECEIVE)
                pushed = zero.store.push(stream, {CLUSTER: made})
                assert pushed.acknowledged == {CLUSTER: made}, pushed
                cuts.take(made)
                stream.close()
        zero.close()
    return cuts


@pytest.mark.parametrize(("barrier", "lost"), [(os.fdatasync, 0), (lambda _: None, 10)])
def test_what_the_election_must_remember_survives_a_power_cut(
    tmp_path: Path, barrier: Callable[[int], None], lost: int
) -> None:
    """Without the barrier it would be lost: the proof that these images can show it."""
    image, found = disk.new_image(tmp_path / "disk.img", IMAGE_MIB), []
    with disk.mounted(image, tmp_path / "disk") as place:
        write_term(place, Durable(1, 0))
        disk.settle(place)
        for epoch in range(1, 11):
            written = Durable(1, epoch, Accepted(epoch, ServerId(0)))
            write_term(place, written, barrier)
            copy = disk.cut(image, tmp_path / "copy.img")
            with disk.mounted(copy, tmp_path / "copy") as root:
                found.append(read_term(root) == written)
    assert found.count(False) == lost


Saver = Callable[[Path, int, tuple[str, ...]], Cuts]


@pytest.mark.parametrize(("save", "selected"), [(saved_and_cut, 30), (pushed_and_cut, 20)])
def test_what_was_acknowledged_survives_a_power_cut(
    tmp_path: Path, full: bool, save: Saver, selected: int
) -> None:
    count = 500 if full else selected
    cuts = save(tmp_path, count, ())
    assert cuts.lost(goes_on) == []
    print(f"{count} images, none has lost anything")


@pytest.mark.parametrize("save", [saved_and_cut, pushed_and_cut])
def test_without_the_barrier_it_would_be_lost(tmp_path: Path, full: bool, save: Saver) -> None:
    """The proof that these images can show a loss at all."""
    count = 500 if full else 20
    lost = save(tmp_path, count, NO_BARRIER).lost()
    print(f"{len(lost)} of {count} images have lost what was acknowledged")
    assert len(lost) >= count * 0.95
