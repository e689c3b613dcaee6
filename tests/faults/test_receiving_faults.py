"""A receiving server that is killed, has no room or a bad disk, while it receives.

It never acknowledges what it does not have, and goes on afterwards without help.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from configrepo import durable
from configrepo.git import new_objects
from configrepo.store import CommitId
from tests.faults.far_end import push
from tests.support.replicas import CLUSTER, ROOT, Replica

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

CALLS = ("write", "fsync", "rename", "link", "unlink", "mkdir", "openat", "close")
QUIET = ("strace", "-f", "-qq", "-o", "/dev/null")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    """Server 0, and server 1 that follows it and receives."""
    zero, one = Replica(tmp_path, 0), Replica(tmp_path, 1)
    one.follow(zero)
    one.receiver.start()
    yield zero, one
    zero.close()
    one.close()


def counted(zero: Replica, one: Replica, trace: Path) -> dict[str, int]:
    """How often one process of a push calls each of the calls, at most."""
    under = ("strace", "-f", "-qq", "-o", str(trace), "-e", "trace=" + ",".join(CALLS))
    made = zero.commit("192.0.2.1")
    pushed = push(zero, one, {CLUSTER: made}, under)
    assert pushed is not None
    assert pushed.acknowledged == {CLUSTER: made}
    seen = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE))
    most: dict[str, int] = {}
    for (_, call), times in seen.items():
        most[call] = max(times, most.get(call, 0))
    return most


def check(zero: Replica, one: Replica, made: CommitId, acknowledged: bool) -> None:
    """What is here is the old or the new; a next start cleans up, and a next push arrives."""
    before = zero.store.revision(made).parents[0]
    found = one.store.ref(CLUSTER)
    assert found in ({made} if acknowledged else {made, before})
    for left in one.store.path.rglob("*"):
        if left.suffix == ".lock" or "tmp_" in left.name:
            os.utime(left, (1, 1))
    durable.recover(one.store.path)
    left_over = [*one.store.path.rglob("*.lock"), *one.store.path.rglob("tmp_*")]
    assert left_over == []
    again = push(zero, one, {CLUSTER: made})
    assert again is not None
    assert again.done, again
    assert one.store.ref(CLUSTER) == made
    assert one.store.fsck(connectivity_only=True) is None


def points(most: dict[str, int], full: bool, selected: int) -> list[tuple[str, int]]:
    """Which call of which kind is hit; a selection takes the same ones each time.

    Where data and names become durable nothing is left out.
    """
    every = [(call, at) for call in CALLS for at in range(1, most.get(call, 0) + 1)]
    decisive = [point for point in every if point[0] in ("fsync", "rename", "link")]
    rest = [point for point in every if point not in decisive]
    chosen = rest if full else Random(1).sample(rest, min(selected, len(rest)))
    return decisive + sorted(chosen)


def test_a_kill_at_any_call_of_a_receive_loses_nothing(
    pair: tuple[Replica, Replica], tmp_path: Path, full: bool
) -> None:
    zero, one = pair
    hit = points(counted(zero, one, tmp_path / "trace"), full, 12)
    confirmed = 0
    for number, (call, at) in enumerate(hit):
        made = zero.commit(f"198.51.100.{number % 250}")
        inject = (*QUIET, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={at}")
        pushed = push(zero, one, {CLUSTER: made}, inject)
        acknowledged = pushed is not None and CLUSTER in pushed.acknowledged
        confirmed += acknowledged
        check(zero, one, made, acknowledged)
    print(f"{len(hit)} kills while receiving, {confirmed} of them after the acknowledgement")
    assert confirmed < len(hit)


@pytest.mark.parametrize(("call", "error"), [("write", "ENOSPC"), ("fsync", "EIO")])
def test_a_bad_disk_at_any_call_of_a_receive_is_never_acknowledged_falsely(
    pair: tuple[Replica, Replica], tmp_path: Path, full: bool, call: str, error: str
) -> None:
    zero, one = pair
    most = {call: counted(zero, one, tmp_path / "trace").get(call, 0)}
    hit = points(most, full, 10)
    refused = 0
    for number, (_, at) in enumerate(hit):
        made = zero.commit(f"198.51.100.{number % 250}")
        inject = (*QUIET, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={at}")
        pushed = push(zero, one, {CLUSTER: made}, inject)
        acknowledged = pushed is not None and CLUSTER in pushed.acknowledged
        refused += not acknowledged
        check(zero, one, made, acknowledged)
    print(f"{len(hit)} times {error} at {call} while receiving, {refused} not acknowledged")
    assert refused > 0


def test_whatever_part_of_a_push_was_left_here_the_next_one_arrives(
    pair: tuple[Replica, Replica],
) -> None:
    """A process that is killed while it takes objects out of the quarantine leaves some."""
    zero, one = pair
    old = zero.commit("192.0.2.1")
    check_next(zero, one, old)
    for part in range(16):
        made = zero.commit(f"198.51.100.{part}")
        names = new_objects(zero.store.path, [made], not_from=[old])
        assert len(names) == 4, "a commit, two directories and a file"
        for number, name in enumerate(names):
            if part >> number & 1:
                folder = one.store.path / "objects" / name[:2]
                folder.mkdir(exist_ok=True)
                shutil.copy(zero.store.path / "objects" / name[:2] / name[2:], folder / name[2:])
        check_next(zero, one, made)
        old = made
    assert one.store.fsck() is None


def test_a_delivery_that_breaks_off_at_any_byte_moves_nothing_and_the_next_one_arrives(
    pair: tuple[Replica, Replica], full: bool
) -> None:
    zero, one = pair
    random = Random(2)
    for number in range(300 if full else 20):
        made = zero.commit(f"198.51.100.{number % 250}")
        before = one.store.ref(CLUSTER)
        pushed = push(zero, one, {CLUSTER: made}, limit=random.randrange(1, 900))
        assert pushed is None or pushed.done
        if pushed is None:
            # The whole pack may have come before the stream broke.
            assert one.store.ref(CLUSTER) in (before, made)
        check_next(zero, one, made)


def check_next(zero: Replica, one: Replica, made: CommitId) -> None:
    again = push(zero, one, {CLUSTER: made})
    assert again is not None
    assert again.done, again
    assert one.store.ref(CLUSTER) == made


def test_deliveries_in_any_order_any_number_of_times_end_at_the_newest(
    tmp_path: Path, full: bool
) -> None:
    """What is older, other or in pieces changes nothing; the end is the join of all."""
    for seed in range(200 if full else 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        random = Random(seed)
        zero, one = Replica(folder, 0), Replica(folder, 1)
        one.follow(zero)
        one.receiver.start()
        term = "refs/terms/000000000001-000"
        line = [zero.commit(f"192.0.2.{number}") for number in range(6)]
        deliveries = [(ref, made) for made in line for ref in (CLUSTER, term)] * 2
        random.shuffle(deliveries)
        newest: dict[str, int] = {}
        for ref, made in deliveries:
            limit = random.randrange(1, 1500) if random.random() < 0.3 else None
            pushed = push(zero, one, {ref: made}, limit=limit)
            at = one.store.ref(ref)
            place = -1 if at is None else line.index(at)
            assert place >= newest.get(ref, -1), "a ref went back"
            if pushed is not None and ref in pushed.acknowledged:
                assert at == made
            newest[ref] = place
        check_next(zero, one, line[-1])
        assert one.store.is_ancestor(ROOT, line[-1])
        assert one.store.fsck() is None
        for replica in (zero, one):
            replica.close()
