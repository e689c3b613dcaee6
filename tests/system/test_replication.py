"""Two real servers in one cluster: acknowledgement, notes on both sides, and the fallback."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from configrepo.durable import Room
from configrepo.store import CommitId
from scheduler.assembly import Assembly
from scheduler.disk_space import DiskSpace
from scheduler.push_plan import own_runs
from scheduler.views import Committed, Refused, Whereabouts
from tests.support.joined_servers import OPERATOR, joined_pair

DEADLINE_S = 90.0
NTP = "common/ntp.conf"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Assembly, Assembly]]:
    folder: Path = tmp_path_factory.mktemp("r")
    with joined_pair(folder) as pair:
        yield pair


def wait_until(held: Callable[[], bool], what: str) -> None:
    end = monotonic() + DEADLINE_S
    while not held():
        assert monotonic() < end, what
        threading.Event().wait(0.05)


def commit(server: Assembly, address: str) -> Committed:
    """A commit that a person makes at a server."""
    desk = server.desk
    desk.edit(OPERATOR, NTP, f"ntp\n server {address}\n")
    outcome = desk.commit(OPERATOR, f"Ask {address} for the time", uuid.uuid4().hex, {})
    assert isinstance(outcome, Committed), outcome
    return outcome


@pytest.mark.parametrize("number", [0, 1])
def test_a_commit_is_on_both_disks_before_a_person_is_told(
    pair: tuple[Assembly, Assembly], number: int
) -> None:
    done = commit(pair[number], f"192.168.56.{20 + number}")
    assert (done.servers, done.members, done.warning) == (2, 2, "")
    assert pair[1].store.has(CommitId(done.revision))
    assert pair[0].desk.history(1)[0].saved == Whereabouts((pair[0].me, pair[1].me), 2)


def test_a_clone_of_any_server_tells_when_what_ran_where(
    pair: tuple[Assembly, Assembly],
) -> None:
    done = CommitId(commit(pair[0], "192.168.56.30").revision)

    def noted(server: Assembly) -> bool:
        refs = [own_runs(one.me) for one in pair]
        return all(
            server.store.ref(running) == done
            and " applied in " in (server.store.note(notes, done) or "")
            for running, notes in refs
        )

    for server in pair:
        wait_until(lambda server=server: noted(server), "notes")  # type: ignore[misc]


def test_a_server_that_cannot_be_pushed_to_fetches_and_everything_shows(
    pair: tuple[Assembly, Assembly],
) -> None:
    zero, one = pair
    assert one.own_sshd is not None
    one.clock.forget("sshd")
    one.own_sshd.stop()
    zero.ssh_pool.forget(one.me)
    try:
        done = commit(zero, "192.168.56.40")
        assert done.warning.startswith("Only on this server (BQN 0)")
        assert done.servers == 1
        wait_until(lambda: one.changes.head() == done.revision, "the commit was fetched")
        row = zero.desk.replication.standing().servers[1]
        assert row.error
        assert row.next_try_s is not None
        wait_until(
            lambda: "fetched from BQN 0" in one.desk.replication.standing().fetching, "it is told"
        )
        wait_until(lambda: zero.desk.replication.standing().servers[1].state == "in sync", "sync")
        wait_until(
            lambda: len(zero.desk.history(1)[0].saved.servers) == 2,
            "the primary knows it",
        )
    finally:
        one.own_sshd.start()
    zero.desk.replication.now(OPERATOR, one.me)
    assert commit(zero, "192.168.56.41").warning == ""


def test_a_primary_whose_disk_is_nearly_full_lets_another_lead_and_people_go_on(
    pair: tuple[Assembly, Assembly],
) -> None:
    zero, one = pair
    zero.clock.forget("disk")
    share = [0.05]
    zero.replicating.disk = DiskSpace(zero.state.path, lambda _: Room(10**9, int(share[0] * 10**9)))
    zero.replicating.disk.look()
    zero.desk.edit(OPERATOR, NTP, "ntp\n server 192.168.56.50\n")
    outcome = zero.desk.commit(OPERATOR, "x", uuid.uuid4().hex, {})
    assert isinstance(outcome, Refused)
    assert "The disk of this server is nearly full: 5% is free" in outcome.sentence
    assert "nearly full" in (zero.desk.overview().read_only_reason or "")
    assert one.desk.overview().read_only_reason is None

    wait_until(lambda: one.control.view.role == "primary", "BQN 1 leads")
    assert zero.control.view.barred is not None
    assert zero.control.view.barred.reason == "its disk is nearly full"
    done = commit(one, "192.168.56.51")
    wait_until(lambda: zero.store.has(CommitId(done.revision)), "it still takes what others write")

    share[0] = 0.5
    zero.replicating.disk.look()
    wait_until(lambda: zero.control.view.role == "primary", "BQN 0 leads again")
    assert commit(zero, "192.168.56.52").members == 2
