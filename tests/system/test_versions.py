"""Whole servers of different releases: the schema rises when all read it; who cannot, follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from configrepo.cluster_settings import cluster_settings
from configrepo.model import ServerId
from scheduler.assembly import Assembly
from scheduler.views import Committed, Refused, ServerView
from tests.support.live_cluster import ADMIN, LiveCluster, wait

pytestmark = pytest.mark.system
NTP = "common/ntp.conf"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LiveCluster]:
    made = LiveCluster(tmp_path, 2)
    yield made
    made.close()


def seen(server: Assembly, number: int) -> ServerView:
    found = server.desk.overview().server(ServerId(number))
    assert found is not None
    return found


def commit(server: Assembly, address: str) -> Committed | Refused:
    server.desk.edit(ADMIN, NTP, f"ntp\n server {address}\n")
    outcome = server.desk.commit(ADMIN, "Another clock", uuid4().hex, {})
    assert isinstance(outcome, Committed | Refused)
    return outcome


def test_the_schema_rises_when_all_read_it_and_who_went_back_follows_without_applying(
    cluster: LiveCluster,
) -> None:
    cluster.start(0, reads=2)
    cluster.start(1)
    cluster.ready(0, 1)
    assert cluster_settings(cluster.files(0)).format == 1
    cluster.stop(1)
    cluster.start(1, reads=2)
    wait(lambda: cluster_settings(cluster.files(1)).format == 2, cluster[0].desk.overview)
    cluster.ready(0, 1)

    cluster.stop(1)
    cluster.start(1)  # its update was taken back
    wait(lambda: seen(cluster[0], 1).state == "incompatible", cluster[0].desk.overview)
    wait(lambda: seen(cluster[1], 1).state == "incompatible", cluster[1].desk.overview)
    assert "up to schema 1" in seen(cluster[0], 1).state_sentence
    assert cluster[0].desk.overview().state == "degraded"
    runs = (cluster[1].state.path / "running.conf").read_bytes()
    made = commit(cluster[0], "192.0.2.77")
    assert isinstance(made, Committed)
    wait(lambda: seen(cluster[1], 1).head == made.revision, cluster[1].desk.overview)
    wait(lambda: cluster[1].control.view.barred is not None, lambda: cluster[1].control.view)
    assert (cluster[1].state.path / "running.conf").read_bytes() == runs

    # Nobody else is there: it keeps the cluster together, but nothing is committed.
    cluster.stop(0)
    wait(lambda: cluster[1].control.view.following is None, lambda: cluster[1].control.view)
    refused = commit(cluster[1], "192.0.2.78")
    assert isinstance(refused, Refused)
    assert "schema 2" in refused.sentence
