"""Whole servers whose disk is full to the last byte, also what was kept in reserve.

Each server has a small disk of its own. Asked is what people do: they save, log in, look at the
pages, free some space, and expect that the servers do the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench import namespaces
from bench.figures import RivalMissing
from tests.faults import disk
from tests.support.partitions import all_there
from tests.support.whole_servers import (
    Acknowledged,
    NotTaken,
    WholeCluster,
    WholeServer,
    running,
    until,
)

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

DISK_MIB = 200


def _small_disks(stack: ExitStack, folder: Path) -> None:
    for number in (0, 1):
        image = disk.new_image(folder / f"{number}.img", DISK_MIB)
        stack.enter_context(disk.mounted(image, folder / f"s{number}"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCluster]:
    """BQN 0 and BQN 1, each on a small disk of its own."""
    try:
        namespaces.require()
    except RivalMissing as missing:
        pytest.skip(str(missing))
    if not disk.works(tmp_path_factory.mktemp("try")):
        pytest.skip("this machine mounts no images (root and loop devices are needed)")
    with running(2, _small_disks) as cluster:
        yield cluster


def fill(server: WholeServer) -> Path:
    """Take all room of its disk, also what it gives up; returns the file that holds it."""
    ballast = server.state / "ballast"
    disk.take_all(ballast)
    until("the reserve is given up", lambda: not (server.state / "reserve").exists())
    disk.take_all(ballast)
    return ballast


def seen_by(asked: WholeServer, other: WholeServer) -> dict[str, Any]:
    """What a server says of another one, or of itself."""
    servers = asked.status().get("servers", ())
    return next((dict(one) for one in servers if one["id"] == other.number), {})


def policy(name: str) -> str:
    return f"policy rate {name}\n downlink rate 1000\n"


def test_a_primary_whose_disk_is_full_lets_the_other_lead_and_comes_back_by_itself(
    pair: WholeCluster,
) -> None:
    zero, one = pair[0], pair[1]
    pair.led_by(0, 0)
    kept = zero.save(policy("before"))
    assert isinstance(kept, Acknowledged)
    zero.edit(policy("during"))
    page = zero.visitor().get("/candidate/compare")
    ballast = fill(zero)
    during = zero.send_commit(page)
    assert isinstance(during, NotTaken), during
    assert "Free" in during.sentence

    until("BQN 1 leads", lambda: pair.primaries() == [1, 1], pair.told)
    later = one.save(policy("later"))
    assert isinstance(later, Acknowledged)
    until(
        "BQN 0 is known to lack it",
        lambda: seen_by(one, zero)["sync"] == "behind",
        pair.told,
    )
    assert "disk" in seen_by(one, zero)["sync_sentence"]
    until("BQN 0 knows it, too", lambda: seen_by(zero, zero)["sync"] == "behind", pair.told)

    # Its pages go on, for who comes now as well, and say what to do; so do those of the other.
    zero.forget_visitor()
    assert "The disk of this server is full" in zero.visitor().get("/").text
    assert "The disk of BQN 0 is full" in one.visitor().get("/").text
    page = zero.visitor().get("/candidate/compare")
    assert isinstance(zero.send_commit(page), NotTaken)
    assert seen_by(one, zero)["state"] == "ready"
    assert seen_by(one, zero)["sync"] == "behind"
    assert "policy rate later" not in (zero.state / "running.conf").read_text()

    ballast.unlink()
    pair.led_by(0, 0)
    pair.ready()
    again = zero.send_commit(page)
    assert isinstance(again, Acknowledged)
    revisions = {kept.revision, later.revision, again.revision}
    until("both have all", lambda: all_there(pair, revisions), pair.told)
    for server in pair.servers:
        assert server.git("fsck", "--strict", "--connectivity-only").returncode == 0
