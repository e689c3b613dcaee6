from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bqngui.candidate import scope_words
from bqngui.replica_groups import duration, lines_of, ranges, saved_words, size_words
from configrepo.model import ServerId
from scheduler.replication_seam import ReplicationView, ReplicaView
from scheduler.views import RevisionView, Whereabouts
from tests.bqngui.conftest import OpenSite
from tests.support.fake_desk import FakeDesk
from tests.support.fake_scenes import cluster_files, overview_of

HEAD = "a" * 40


def replica(server: int, **changes: object) -> ReplicaView:
    fine = ReplicaView(ServerId(server), f"bqn{server}", "in sync", "It runs it.", 0, saved=HEAD)
    return replace(fine, **changes)  # type: ignore[arg-type]


def view(*servers: ReplicaView) -> ReplicationView:
    return ReplicationView(ServerId(0), True, ServerId(0), "one", HEAD, servers)


def test_255_equal_results_are_one_line_and_exceptions_stand_first_one_by_one() -> None:
    servers = [replica(number) for number in range(255)]
    servers[7] = replica(7, state="behind", behind=3, sentence="Late.", lag_s=75.0)
    servers[9] = replica(9, state="unreachable", sentence="Silent.", error="refused", next_try_s=4)
    lines = lines_of(view(*servers))
    assert [(line.ids, line.count, line.badge.text) for line in lines] == [
        ("7", 1, "behind by 3"),
        ("9", 1, "unreachable"),
        ("0\u20136, 8, 10\u2013254", 253, "in sync"),
    ]
    assert lines[0].lag == "1 min"
    assert (lines[1].error, lines[1].next_try) == ("refused", "in 4 s")
    assert lines[2].saved == HEAD


def test_a_small_cluster_is_shown_server_by_server() -> None:
    lines = lines_of(view(*(replica(number) for number in range(3))))
    assert [line.one and line.one.id for line in lines] == [0, 1, 2]


def test_equal_failures_are_told_together_too() -> None:
    servers = [replica(n, state="behind", behind=1, error="filtered") for n in range(5)]
    (line,) = lines_of(view(*servers))
    assert (line.count, line.error) == (5, "filtered")


@pytest.mark.parametrize(
    ("ids", "words"), [([], ""), ([0], "0"), ([2, 0, 1], "0\u20132"), ([0, 2, 3], "0, 2\u20133")]
)
def test_ids_are_ranges(ids: list[int], words: str) -> None:
    assert ranges([ServerId(one) for one in ids]) == words


def test_durations_and_sizes_are_short() -> None:
    assert [duration(one) for one in (None, 0.4, 59, 61, 7300, 200_000)] == [
        "", "0 s", "59 s", "1 min", "2 h", "2 d",
    ]  # fmt: skip
    assert [size_words(one) for one in (0, 1023, 2048, 7 * 2**20, 3 * 2**30)] == [
        "0 bytes", "1023 bytes", "2.0 KiB", "7.0 MiB", "3.0 GiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("have", "of", "words"),
    [(1, 1, "saved here"), (1, 3, "saved here"), (2, 3, "on 2 servers"), (3, 3, "on all")],
)
def test_a_commit_says_on_how_many_servers_it_is(have: int, of: int, words: str) -> None:
    saved = Whereabouts(tuple(ServerId(n) for n in range(have)), of)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    revision = RevisionView(HEAD, (), "a", "b", moment, "s", "", "", "", saved=saved)
    assert saved_words(revision) == words


def test_a_change_of_many_servers_names_their_range(open_site: OpenSite) -> None:
    many = FakeDesk(overview_of(list(range(255))), cluster_files((0, 1, 2)))
    servers = [server.id for server in many.overview().servers]
    assert scope_words(many.overview(), servers) == ("all 255 servers: BQN 0\u2013254",)
    assert scope_words(many.overview(), servers[:9]) == ("9 servers: BQN 0\u20138",)
    assert scope_words(many.overview(), servers[:2]) == ("BQN 0 (bqn0)", "BQN 1 (bqn1)")
    visitor = open_site(many).administrator()
    for path in ("/backup", f"/history/{many.history()[0].id}", "/cluster/maintenance"):
        assert '<details class="many">' in visitor.get(path).text
