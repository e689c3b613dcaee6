"""Whole servers whose disk is full to the last byte, also what was kept in reserve.

Each server has a small disk of its own. Asked is what people do: they save, log in, look at the
pages, free some space, and expect that the servers do the rest. `--full` fills the disk of a
secondary as well, and starts a server while its disk is full.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import namespaces
from bench.figures import RivalMissing
from scripts.visitor import VisitError
from tests.faults import disk
from tests.support.partitions import all_there
from tests.support.whole_servers import (
    CLUSTER,
    Acknowledged,
    NotTaken,
    WholeCluster,
    WholeServer,
    running,
    until,
)

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

DISK_MIB = 200
MOST_SAVED = 300
POLICIES = "common/policy/rate/"


def _small_disks(stack: ExitStack, folder: Path) -> None:
    for number in (0, 1):
        image = disk.new_image(folder / f"{number}.img", DISK_MIB)
        stack.enter_context(disk.mounted(image, folder / f"s{number}"))


@pytest.fixture
def at_full_size(full: bool) -> None:
    """Used before `pair`, so that nothing is started in vain."""
    if not full:
        pytest.skip("with --full only")


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeCluster]:
    """BQN 0, which leads, and BQN 1, each on a small disk of its own."""
    try:
        namespaces.require()
    except RivalMissing as missing:
        pytest.skip(str(missing))
    if not disk.works(tmp_path_factory.mktemp("try")):
        pytest.skip("this machine mounts no images (root and loop devices are needed)")
    with running(2, _small_disks) as cluster:
        cluster.led_by(0, 0)
        yield cluster


def policy(name: str) -> str:
    """A block with a name of its own."""
    return f"policy rate {name}\n downlink rate 1000\n"


@contextmanager
def full_disk(server: WholeServer) -> Iterator[None]:
    """All room of its disk is taken, also what it gives up, and what becomes free."""
    with disk.kept_full(server.state / "ballast"):
        until("the reserve is given up", lambda: not (server.state / "reserve").exists())
        yield


def save_until_full(server: WholeServer, saved: list[str]) -> None:
    """Save one block after the other, until it is said that there is no room."""
    for number in range(MOST_SAVED):
        try:
            answer = server.save(policy(f"n{number}"))
        except VisitError as error:
            if "The disk of this server is full" in str(error):
                return
            raise
        if isinstance(answer, NotTaken):
            assert "space" in answer.sentence or "is free" in answer.sentence
            return
        saved.append(answer.revision)
    raise AssertionError("the disk was never full")


def seen_by(asked: WholeServer, other: WholeServer) -> dict[str, Any]:
    """What a server says of another one, or of itself."""
    servers = asked.status().get("servers", ())
    nobody = {"sync": "", "sync_sentence": "", "state": ""}
    return next((dict(one) for one in servers if one["id"] == other.number), nobody)


def is_behind(seen: dict[str, Any], why: str) -> bool:
    """Whether a server is called behind, for that reason."""
    return seen["sync"] == "behind" and why in seen["sync_sentence"]


def missing(server: WholeServer, files: list[str]) -> list[str]:
    """Which of these policies its running configuration does not have."""
    runs = (server.state / "running.conf").read_text()
    names = [Path(file).stem for file in files]
    return [name for name in names if f"policy rate {name}\n" not in runs]


@contextmanager
def no_false_in_sync(asked: WholeServer, other: WholeServer) -> Iterator[None]:
    """What `asked` calls in sync runs everything that `asked` has, all the time."""
    over, wrong = threading.Event(), []

    def watch() -> None:
        while not over.wait(0.2):
            files = asked.git("ls-tree", "-r", "--name-only", CLUSTER, POLICIES).stdout.split()
            if seen_by(asked, other)["sync"] == "in sync" and (lacks := missing(other, files)):
                wrong.append(lacks)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            over.set()
        watching.result()
    assert wrong == []


def whole(pair: WholeCluster, revisions: set[str]) -> None:
    """All servers become ready and in sync by themselves, with all that was acknowledged."""
    pair.led_by(0, 0)
    pair.ready()
    until("both have all", lambda: all_there(pair, revisions), pair.told)
    for server in pair.servers:
        assert server.git("fsck", "--strict", "--connectivity-only").returncode == 0


def test_a_primary_whose_disk_is_full_lets_the_other_lead_and_comes_back_by_itself(
    pair: WholeCluster,
) -> None:
    zero, one = pair[0], pair[1]
    saved: list[str] = []
    with no_false_in_sync(one, zero):
        with ThreadPoolExecutor(1) as pool, ExitStack() as filling:
            saving = pool.submit(save_until_full, zero, saved)
            until("something is saved", lambda: len(saved) > 0 or saving.done(), pair.told)
            filling.enter_context(full_disk(zero))
            saving.result()

            until("BQN 1 leads", lambda: pair.primaries() == [1, 1], pair.told)
            later = one.save(policy("later"))
            assert isinstance(later, Acknowledged)
            saved.append(later.revision)
            until("that is told", lambda: is_behind(seen_by(one, zero), "disk full"), pair.told)
            until("BQN 0 knows it", lambda: is_behind(seen_by(zero, zero), "BQN 1"), pair.told)

            # Its pages go on, for who comes now as well, and say what to do; so do the other's.
            zero.forget_visitor()
            page = zero.visitor().get("/")
            assert "The disk of this server is full" in page.text
            assert "BQN 1 leads: save there meanwhile." in page.text
            assert "The disk of BQN 0 is full" in one.visitor().get("/").text
            # Its control port answers.
            until("BQN 0 answers", lambda: seen_by(one, zero)["state"] == "ready", pair.told)
        whole(pair, set(saved))
    again = zero.save(policy("again"))
    assert isinstance(again, Acknowledged)
    whole(pair, {again.revision})


@pytest.mark.usefixtures("at_full_size")
def test_a_secondary_whose_disk_is_full_is_behind_and_catches_up_by_itself(
    pair: WholeCluster,
) -> None:
    zero, one = pair[0], pair[1]
    with no_false_in_sync(zero, one):
        with full_disk(one):
            saved = zero.save(policy("during"))
            assert isinstance(saved, Acknowledged)
            assert "Only on this server" in saved.text
            until("that is told", lambda: is_behind(seen_by(zero, one), "disk full"), pair.told)
            pair.led_by(0, 0)
        whole(pair, {saved.revision})


@pytest.mark.usefixtures("at_full_size")
def test_a_server_that_is_started_while_its_disk_is_full_takes_part(pair: WholeCluster) -> None:
    zero, one = pair[0], pair[1]
    saved = zero.save(policy("before"))
    assert isinstance(saved, Acknowledged)
    with no_false_in_sync(one, zero):
        with full_disk(zero):
            until("BQN 1 leads", lambda: pair.primaries() == [1, 1], pair.told)
            zero.kill()
            zero.start()
            until("its pages answer", zero.answers)
            until("it follows", lambda: pair.primaries() == [1, 1], pair.told)
            zero.forget_visitor()
            assert "The disk of this server is full" in zero.visitor().get("/").text
        whole(pair, {saved.revision})
