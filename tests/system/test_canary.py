"""Three real servers: a staged commit runs on the canary first, and nowhere else if it fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from configrepo.model import ServerId
from configrepo.store import CommitId
from scheduler.apply_turn import Staging
from scheduler.views import Committed
from tests.support.live_cluster import ANNA, LiveCluster, wait

NTP = "common/ntp.conf"
CANARY, OTHERS = 1, (0, 2)
PAUSE_S = 3

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("c")


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[LiveCluster]:
    cluster = LiveCluster(folder, 3)
    for number, seat in enumerate(cluster.seats):
        health = folder / f"health-{number}"
        health.write_text(f"#!/bin/sh\n! test -e {sick(folder, number)}\n")
        health.chmod(0o755)
        with seat.settings.open("a") as file:
            file.write(f'[apply]\nhealth_command = ["{health}"]\n')
    cluster.start(0, 1, 2)
    try:
        cluster.ready(0, 1, 2)
        yield cluster
    finally:
        cluster.close()


def sick(folder: Path, number: int) -> Path:
    """While it exists, the health command of that server says no."""
    return folder / f"sick-{number}"


def commit(cluster: LiveCluster, address: str, staging: Staging | None) -> CommitId:
    desk = cluster[0].desk
    desk.edit(ANNA, NTP, f"ntp\n server {address}\n")
    outcome = desk.commit(ANNA, f"Ask {address}", uuid.uuid4().hex, {}, staging)
    assert isinstance(outcome, Committed), outcome
    return CommitId(outcome.revision)


def runs(cluster: LiveCluster, number: int, revision: CommitId) -> bool:
    running = cluster[number].applier.running()
    return running.commit == revision and running.result == "applied"


def test_the_canary_is_first_and_the_others_follow_after_its_health_and_a_pause(
    cluster: LiveCluster,
) -> None:
    made = commit(cluster, "192.168.56.1", Staging(ServerId(CANARY), PAUSE_S))
    for number in (CANARY, *OTHERS):
        wait(
            lambda number=number: runs(cluster, number, made),  # type: ignore[misc]
            lambda number=number: cluster[number].applying.turn(),  # type: ignore[misc]
        )
    at = {number: cluster[number].applier.running().applied_at for number in range(3)}
    first = at[CANARY]
    assert first is not None
    for number in OTHERS:
        after = at[number]
        assert after is not None
        # What is told of the canary is at most a report older than what it did.
        assert after - first >= timedelta(seconds=PAUSE_S), at


def test_a_canary_that_fails_stops_the_rest_and_the_pages_say_so(
    cluster: LiveCluster, folder: Path
) -> None:
    before = cluster[0].applier.running().commit
    sick(folder, CANARY).touch()
    made = commit(cluster, "192.168.56.2", Staging(ServerId(CANARY), 0))
    for number in OTHERS:
        wait(
            lambda number=number: cluster[number].applying.turn().stopped,  # type: ignore[misc]
            lambda number=number: cluster[number].applying.turn(),  # type: ignore[misc]
        )
        turn = cluster[number].applying.turn()
        assert turn.held == made
        assert "failed on the canary BQN 1 and is applied nowhere else" in turn.sentence
        assert any("failed on the canary" in one for one in cluster[number].desk.overview().alarms)
        assert cluster[number].applier.running().commit == before
    # The canary itself is back on what worked.
    assert "192.168.56.1" in (folder / "s1" / "running.conf").read_text()

    sick(folder, CANARY).unlink()
    better = commit(cluster, "192.168.56.3", Staging(ServerId(CANARY), 0))
    for number in (CANARY, *OTHERS):
        wait(
            lambda number=number: runs(cluster, number, better),  # type: ignore[misc]
            lambda number=number: cluster[number].applying.turn(),  # type: ignore[misc]
        )
    for number in OTHERS:
        wait(
            lambda number=number: cluster[number].desk.overview().alarms == (),  # type: ignore[misc]
            lambda number=number: cluster[number].desk.overview().alarms,  # type: ignore[misc]
        )
