"""A disk that is really full: an ext4 file system of some MiB, with a file that takes the rest.

Commit, receive, merge and apply then say so in a sentence and lose nothing; the reserve is
given up for what must be written; when there is room again everything goes on by itself.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bqngui.sessions import SessionTable
from configrepo.errors import ConfigRepoError, StoreError
from configrepo.model import ServerId
from scheduler.applying import Applier, ApplyCommands
from scheduler.authorized_keys import Verb
from scheduler.control_view import Accepted, Barred
from scheduler.disk_space import DiskSpace
from scheduler.durable_term import read_term, write_term
from scheduler.election_values import Durable
from scheduler.push_plan import ErrorClass
from scheduler.replication import class_of, failure_of
from scheduler.state_dir import append_durably, write_durably
from scheduler.upkeep import Upkeep
from scheduler.views import Committed, Refused
from scheduler.wire import ChangeRequest
from tests.faults import disk
from tests.faults.far_end import push
from tests.support.applying_process import FileWorld, commit_of
from tests.support.cut_world import cluster_of
from tests.support.manual_clock import ManualClock
from tests.support.replicas import CLUSTER, Replica
from tests.support.small_server import ADMIN, SmallServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

SMALL_MIB = 12
WITH_ROOM_FOR_A_RESERVE_MIB = 160


class Small:
    """A small file system, and the file that fills it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / "ballast"

    def fill(self) -> None:
        """Take all that is left, to the last block."""
        disk.take_all(self._ballast)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Small]:
    if not disk.works(tmp_path):
        pytest.skip("this machine mounts no images (root and loop devices are needed)")
    size = getattr(request, "param", SMALL_MIB)
    image = disk.new_image(tmp_path / "small.img", size)
    with disk.mounted(image, tmp_path / "small") as place:
        yield Small(place)


def change(server: SmallServer, name: str) -> ChangeRequest:
    text = f"policy rate {name}\n downlink rate 1\n"
    path = f"common/policy/rate/{name}.conf"
    return ChangeRequest(server.changes.head(), {path: text}, f"Add {name}", uuid.uuid4().hex)


def test_a_commit_on_a_full_disk_is_refused_and_can_be_sent_again(small: Small) -> None:
    server = SmallServer(small.place, 0)
    try:
        before = server.changes.commit(change(server, "before"), ADMIN)
        assert isinstance(before, Committed)
        small.fill()
        asked = change(server, "during")
        for _ in range(5):
            outcome = server.changes.commit(asked, ADMIN)
            assert isinstance(outcome, Refused), outcome
            assert outcome.sentence.startswith("Nothing was saved: no space left on the device")
        assert server.changes.head() == before.revision
        assert server.store.fsck() is None
        small.free()
        after = server.changes.commit(asked, ADMIN)
        assert isinstance(after, Committed)
        assert not after.repeated
        assert "common/policy/rate/before.conf" in server.files()
        assert server.store.fsck() is None
    finally:
        server.close()


def test_what_is_pushed_to_a_full_disk_is_refused_as_such_and_arrives_later(
    small: Small, tmp_path: Path
) -> None:
    zero, one = Replica(tmp_path, 0), Replica(small.place, 1)
    one.follow(zero)
    one.receiver.start()
    try:
        first = zero.commit("192.0.2.1")
        assert (pushed := push(zero, one, {CLUSTER: first})) is not None
        assert pushed.acknowledged == {CLUSTER: first}
        small.fill()
        second = zero.commit("192.0.2.2")
        for _ in range(3):
            pushed = push(zero, one, {CLUSTER: second})
            assert pushed is not None
            assert pushed.acknowledged == {}
            error = failure_of(one.id, pushed)
            assert class_of(error) is ErrorClass.DISK, error
            assert str(error).startswith("disk full")
            assert one.store.ref(CLUSTER) == first
        small.free()
        pushed = push(zero, one, {CLUSTER: second})
        assert pushed is not None
        assert pushed.acknowledged == {CLUSTER: second}
        assert one.store.fsck() is None
    finally:
        zero.close()
        one.close()


def test_what_is_fetched_to_a_full_disk_is_refused_and_comes_later(
    small: Small, tmp_path: Path
) -> None:
    zero, one = Replica(tmp_path, 0), Replica(small.place, 1)
    zero.listen(one)
    try:
        made = zero.commit("192.0.2.1")
        small.fill()
        stream = one.pool.open_command(zero.target(), Verb.UPLOAD)
        with pytest.raises(StoreError):
            one.store.fetch(stream, (CLUSTER,))
        stream.close()
        assert not one.store.has(made)
        small.free()
        stream = one.pool.open_command(zero.target(), Verb.UPLOAD)
        assert one.store.fetch(stream, (CLUSTER,)) == {CLUSTER: made}
        stream.close()
        assert one.store.fsck() is None
    finally:
        zero.close()
        one.close()


def test_a_merge_on_a_full_disk_waits_for_room_and_loses_nothing(small: Small) -> None:
    zero, one = cluster_of(small.place, 0, 1)
    try:
        zero.lead(1)
        one.lead(2)
        text = "policy rate {0}\n downlink rate 1\n"
        mine = zero.commit({"common/policy/rate/a.conf": text.format("a")})
        theirs = one.commit({"common/policy/rate/b.conf": text.format("b")})
        one.follow()
        zero.time += 10_000.0
        zero.lead(3)
        zero.fetch(one)
        small.fill()
        for _ in range(3):
            with suppress(ConfigRepoError):
                zero.healing.run()
            assert zero.head == mine
        small.free()
        zero.restart()
        zero.fetch(one)
        zero.healing.run()
        assert zero.has(mine)
        assert zero.has(theirs)
        assert {"common/policy/rate/a.conf", "common/policy/rate/b.conf"} <= set(zero.files())
        assert zero.store.fsck() is None
    finally:
        zero.close()
        one.close()


def test_an_apply_on_a_full_disk_fails_in_words_and_is_done_when_there_is_room(
    small: Small,
) -> None:
    def applier() -> Applier:
        world = FileWorld(small.place)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        return Applier(small.place, ServerId(0), world, world, ApplyCommands(), lambda: now)

    first = applier()
    assert first.apply(commit_of("one")).result == "applied"
    small.fill()
    failed = first.apply(commit_of("two"))
    assert failed.result == "failed"
    assert "no space left" in failed.sentence.lower()
    assert (small.place / "running.conf").read_text().strip() == "one"
    assert applier().check().commit == commit_of("one")
    small.free()
    done = applier().apply(commit_of("two"), asked=True)
    assert (done.result, done.commit) == ("applied", commit_of("two"))


@pytest.mark.parametrize("small", [WITH_ROOM_FOR_A_RESERVE_MIB], indirect=True)
def test_the_reserve_makes_room_for_what_must_be_written(small: Small, tmp_path: Path) -> None:
    zero, one = Replica(tmp_path, 0), Replica(small.place, 1)
    one.follow(zero)
    one.receiver.start()
    space = DiskSpace(one.state)
    try:
        assert "a reserve of" in space.look()
        assert space.read_only_reason() is None
        small.fill()
        made = zero.commit("192.0.2.1")
        assert (pushed := push(zero, one, {CLUSTER: made})) is not None
        assert pushed.acknowledged == {}
        assert "the reserve was given up" in space.look()
        assert "this server is full" in (space.read_only_reason() or "")
        assert (pushed := push(zero, one, {CLUSTER: made})) is not None
        assert pushed.acknowledged == {CLUSTER: made}
        small.free()
        assert "a reserve of" in space.look()
        assert space.read_only_reason() is None
    finally:
        zero.close()
        one.close()


def test_what_the_election_must_remember_is_written_on_a_full_disk(small: Small) -> None:
    write_term(small.place, Durable(1, 1))
    small.fill()
    for epoch in range(2, 50):
        durable = Durable(1, epoch, Accepted(epoch, ServerId(0)), Barred("x" * 200))
        write_term(small.place, durable)
        assert read_term(small.place) == durable
    # The proof that this disk takes nothing else.
    with pytest.raises(OSError, match="No space left"):
        write_durably(small.place / "other", b"x" * 4096)


def test_lines_are_added_whole_or_not_at_all_on_a_full_disk(small: Small) -> None:
    path, line = small.place / "lines", b"x" * 999 + b"\n"
    append_durably(path, line)
    small.fill()
    added = 1
    while _taken(path, line):  # what is left of the last block of the file
        added += 1
        assert path.read_bytes() == line * added
    assert path.read_bytes() == line * added
    small.free()
    assert _taken(path, line)
    assert path.read_bytes() == line * (added + 1)


def _taken(path: Path, line: bytes) -> bool:
    try:
        append_durably(path, line)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return False
        raise
    return True


def test_people_can_log_in_and_out_on_a_full_disk_and_nobody_comes_back_who_left(
    small: Small,
) -> None:
    path, time = small.place / "sessions.sqlite3", ManualClock()

    def opened() -> SessionTable:
        return SessionTable(path, idle_s=900, longest_s=43_200, now=time, boot="boot 1")

    table = opened()
    before, left = (table.begin("noc", local=False, stamp="s") for _ in range(2))
    small.fill()
    during = [table.begin("noc", local=False, stamp="s", data="x" * 999) for _ in range(50)]
    table.end(left)
    table.deed(before)
    for token in (before, *during):
        assert table.find(token) is not None
    assert table.find(left) is None
    assert not path.exists()
    small.free()
    time.advance(60)
    table.deed(before)
    table.close()
    again = opened()
    assert again.find(left) is None
    assert all(again.find(token) is not None for token in (before, *during))
    again.close()


def test_upkeep_on_a_full_disk_breaks_nothing_and_packs_later(small: Small) -> None:
    server = SmallServer(small.place, 0)
    try:
        for number in range(6):
            assert isinstance(server.changes.commit(change(server, f"p{number}"), ADMIN), Committed)
        upkeep = Upkeep(server.store.path, lambda: datetime.now(UTC), most_loose=5)
        left = server.store.path / "objects" / "tmp_obj_left"
        left.write_bytes(b"x" * 4096)
        os.utime(left, (1, 1))
        small.fill()
        with suppress(ConfigRepoError):
            upkeep.run()
        assert not left.exists(), "what was left over must make room, full or not"
        assert server.store.fsck() is None
        small.free()
        upkeep.run()
        kept = upkeep.kept()
        assert kept is not None
        assert (kept.loose, kept.unsound) == (0, None)
        assert server.store.fsck() is None
    finally:
        server.close()
