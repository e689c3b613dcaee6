"""Two whole servers are cut apart, both go on, and find together again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from scheduler.disagreements_seam import Choice
from tests.support.wired_servers import ADMIN, WiredServer, until, wired_pair

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CLOCK = "common/clock.conf"


@pytest.fixture
def pair() -> Iterator[tuple[WiredServer, WiredServer]]:
    """BQN 0 and 1 in one cluster; a short path, because sockets live below it."""
    folder = Path(tempfile.mkdtemp(prefix="bqn-"))
    with wired_pair(folder) as servers:
        yield servers
    shutil.rmtree(folder)


def disagreements(server: WiredServer) -> list[str | None]:
    """The values that wait there."""
    return [one.entry.other for one in server.server.desk.disagreements.listed().open]


def together(zero: WiredServer, one: WiredServer) -> None:
    """One primary, and the same newest commit on both."""
    until("BQN 0 leads alone", lambda: zero.leads() and not one.leads())
    until("both have the same newest commit", lambda: zero.head == one.head)


def test_a_cut_with_commits_on_both_sides_loses_nothing(
    pair: tuple[WiredServer, WiredServer],
) -> None:
    zero, one = pair
    until("BQN 1 follows", lambda: one.server.control.view.following == 0)

    for server in pair:
        server.cut()
    until("both lead", lambda: zero.leads() and one.leads())
    left = [
        zero.commit("clock timezone Etc/Zero\n", CLOCK),
        zero.commit("policy rate left\n downlink rate 1000\n"),
    ]
    right = [
        one.commit("clock timezone Etc/One\n", CLOCK),
        one.commit("policy rate right\n downlink rate 2000\n"),
    ]

    for server in pair:
        server.mend()
    until(
        "BQN 0 has every commit of BQN 1",
        lambda: zero.has(right[-1]) and zero.leads(),
    )
    together(zero, one)
    for server in pair:
        assert all(server.has(commit) for commit in (*left, *right))
        assert server.file(CLOCK) == "clock timezone Etc/Zero\n"
        assert server.file("common/policy/rate/left.conf") is not None
        assert server.file("common/policy/rate/right.conf") is not None
        assert disagreements(server) == ["clock timezone Etc/One"]
        assert any("Disagreements" in alarm for alarm in server.server.desk.overview().alarms)
        assert server.server.store.fsck() is None

    # Settled on the secondary, made by the primary.
    desk = one.server.desk.disagreements
    (waits,) = desk.listed().open
    desk.settle(ADMIN, waits.id, Choice("other"), "settle-1")
    until("nothing waits", lambda: not disagreements(zero) and not disagreements(one))
    assert zero.file(CLOCK) == "clock timezone Etc/One\n"

    # A commit that nobody else has, then a crash; the other takes over and goes on.
    for server in pair:
        server.cut()
    unsent = zero.commit("policy rate unsent\n downlink rate 3000\n")
    stopping = Thread(target=zero.stop)
    stopping.start()
    until("BQN 1 leads", one.leads)
    later = one.commit("policy rate later\n downlink rate 4000\n")
    for server in pair:
        server.mend()
    stopping.join()
    zero.start()
    until("BQN 1 has what was not sent", lambda: one.has(unsent))
    until("BQN 0 has what came later", lambda: zero.has(later))
    until("both have the same newest commit", lambda: zero.head == one.head)
    assert all(zero.has(commit) for commit in (*left, *right, unsent, later))
