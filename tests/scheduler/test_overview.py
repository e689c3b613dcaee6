"""The words that people rely on: in sync only when it was proven, and every cause said."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from configrepo.cluster_settings import Pause
from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.control_view import ControlRole, ControlView, PeerView
from scheduler.errors import RemoteRefused
from scheduler.overview import (
    STALE_S,
    Facts,
    Report,
    overview_of,
    report_from_json,
    report_to_json,
)
from scheduler.views import Sample

ZERO, ONE = ServerId(0), ServerId(1)
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
HEAD = "a" * 40


def member(server: ServerId) -> Member:
    return Member(server, f"bqn{server}", f"192.0.2.{server}", 22, 63500 + server, "", "", "")


def report(server: ServerId, **changes: object) -> Report:
    values: dict[str, object] = {
        "id": server,
        "name": f"bqn{server}",
        "version": "R5.0.0",
        "gui_url": "",
        "head": HEAD,
        "running": HEAD,
        "hash": f"hash{server}",
        "result": "applied",
        "sentence": "applied",
        "cpu_percent": 1.0,
        "simulated": False,
        "samples": (Sample(1.0, 5, 2),),
    }
    return Report(**{**values, **changes})  # type: ignore[arg-type]


ALIVE = PeerView(ONE, "alive", "it answers", role="secondary", version="R5.0.0")
FACTS = Facts(
    me=ZERO,
    own=report(ZERO),
    own_record=member(ZERO),
    members=(member(ZERO), member(ONE)),
    control=ControlView(
        ZERO, ControlRole.PRIMARY, 1, NOW, "BQN 0 has led since 03:00", peers=(ALIVE,)
    ),
    head=HEAD,
    reports={ONE: (report(ONE), 1.0)},
    expected={ZERO: "hash0", ONE: "hash1"},
    behind={},
)


def with_peer(**changes: str) -> Facts:
    return replace(FACTS, control=replace(FACTS.control, peers=(replace(ALIVE, **changes),)))  # type: ignore[arg-type]


def test_a_healthy_pair_is_ready_and_complete() -> None:
    view = overview_of(FACTS)
    assert (view.state, view.status, view.primary) == ("ready", "complete", 0)
    assert [server.sync for server in view.servers] == ["in sync", "in sync"]
    assert [server.role for server in view.servers] == ["primary", "secondary"]


def test_only_an_equal_hash_in_a_fresh_report_of_a_reachable_server_is_in_sync() -> None:
    for fresh, equal, state, result, newest in itertools.product(
        (True, False),
        (True, False),
        ("alive", "suspect", "dead", "unknown", "left"),
        ("applied", "applying", "failed", "drifted", "never"),
        (True, False),
    ):
        facts = with_peer(state=state)
        said = report(
            ONE,
            hash="hash1" if equal else "other",
            result=result,
            head=HEAD if newest else "b" * 40,
        )
        facts = replace(facts, reports={ONE: (said, 1.0 if fresh else STALE_S)})
        seen = overview_of(facts).server(ONE)
        assert seen is not None
        proven = fresh and equal and state in ("alive", "suspect")
        if seen.sync == "in sync":
            assert proven
            assert result == "applied"


def test_nobody_is_in_sync_with_a_commit_that_is_not_here() -> None:
    view = overview_of(replace(FACTS, newer="BQN 1 has a newer commit."))
    assert [server.sync for server in view.servers] == ["behind", "unknown"]
    assert {server.sync_sentence for server in view.servers} == {"BQN 1 has a newer commit."}
    assert view.status == "0 of 2"


@pytest.mark.parametrize(
    ("changes", "sync", "said"),
    [
        ({"hash": "x", "head": "b" * 40}, "behind", "2 commits behind: no space left"),
        ({"hash": "x"}, "applying", "is applying it"),
        ({"hash": None, "sentence": "not read back"}, "unknown", "not read back"),
        ({"result": "applying", "hash": "hash1"}, "applying", "is applying it"),
        ({"result": "waiting", "hash": None, "sentence": "BQN 0 first"}, "applying", "BQN 0 first"),
        ({"result": "failed", "sentence": "exit status 1"}, "failed", "exit status 1"),
        ({"result": "drifted", "sentence": "changed outside"}, "drifted", "changed outside"),
    ],
)
def test_what_is_not_in_sync_says_why(changes: dict[str, str], sync: str, said: str) -> None:
    facts = replace(
        FACTS,
        reports={ONE: (report(ONE, **changes), 1.0)},
        behind={ONE: 2},
        pushes={ONE: "no space left"},
    )
    view = overview_of(facts)
    seen = view.server(ONE)
    assert seen is not None
    assert (seen.sync, said in seen.sync_sentence) == (sync, True)
    assert view.status == "1 of 2"


def test_a_server_that_never_reported_is_unknown() -> None:
    seen = overview_of(replace(FACTS, reports={})).server(ONE)
    assert seen is not None
    assert seen.sync == "unknown"


def test_two_primaries_are_called_split_and_none_degraded() -> None:
    assert overview_of(with_peer(role="primary")).state == "split"
    nobody = replace(FACTS.control, role=ControlRole.SECONDARY, following=None, sentence="waiting")
    view = overview_of(replace(FACTS, control=nobody))
    assert (view.state, view.primary) == ("degraded", None)
    assert "waiting" in view.state_sentence


def test_a_dead_server_degrades_the_cluster_and_shows_its_cause() -> None:
    view = overview_of(with_peer(state="dead", sentence="connection refused since 03:00"))
    assert view.state == "degraded"
    assert "connection refused since 03:00" in view.state_sentence
    seen = view.server(ONE)
    assert seen is not None
    assert (seen.sync, seen.role) == ("unreachable", "unknown")


def test_a_pause_is_the_state_only_where_nothing_is_worse() -> None:
    pause = Pause("2026-11-22T15:00:00Z", "2026-11-22T17:00:00Z", "new fans")
    paused = overview_of(replace(FACTS, pause=pause))
    assert paused.state == "paused"
    assert "new fans" in paused.state_sentence
    dead = replace(with_peer(state="dead", sentence="no answer"), pause=pause)
    assert overview_of(dead).state == "degraded"


def test_states_of_servers_reach_the_page_with_their_detail() -> None:
    alone = replace(with_peer(state="dead"), control=replace(FACTS.control, alone_since=NOW))
    view = overview_of(alone)
    assert (view.servers[0].state, view.servers[0].state_detail) == (
        "alone since",
        "2026-11-22 03:00:00 UTC",
    )
    old = overview_of(replace(with_peer(schema=1), schema=2))  # type: ignore[arg-type]
    assert (old.state, old.servers[1].state) == ("degraded", "incompatible")


def test_a_server_alone_is_alone() -> None:
    control = replace(FACTS.control, role=ControlRole.ALONE, peers=())
    view = overview_of(replace(FACTS, members=(), reports={}, control=control))
    assert (view.state, view.clustered, view.servers[0].role) == ("alone", False, "alone")
    assert view.servers[0].sync == "in sync"


def test_a_failed_apply_is_an_alarm() -> None:
    failed = report(ONE, result="failed", sentence="exit status 1")
    view = overview_of(replace(FACTS, reports={ONE: (failed, 1.0)}))
    assert view.alarms == ("BQN 1: exit status 1",)


def test_a_report_survives_the_wire_and_a_wrong_one_is_refused() -> None:
    assert report_from_json(report_to_json(report(ONE))) == report(ONE)
    for wrong in ({}, {"samples": [1]}, {**report_to_json(report(ONE)), "more": 1}):
        with pytest.raises(RemoteRefused, match="report"):
            report_from_json(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ["x"]},
        {"version": 5},
        {"gui_url": None},
        {"sentence": {}},
        {"head": 1},
        {"cpu_percent": "a lot"},
        {"simulated": "no"},
        {"id": "1"},
        {"samples": [[1.0, 1e999, 1]]},
    ],
    ids=str,
)
def test_a_report_with_another_kind_of_value_is_refused(wrong: dict[str, object]) -> None:
    """Else one server could make an error page of every page that shows all of them."""
    with pytest.raises(RemoteRefused, match="report"):
        report_from_json({**report_to_json(report(ONE)), **wrong})
