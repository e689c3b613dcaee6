from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.push_plan import ErrorClass, PushState
from scheduler.replication_view import rows_of
from tests.support.fake_scenes import overview_of

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
ONE = ServerId(1)
HEAD = CommitId("a" * 40)


def test_a_failed_push_shows_its_error_and_when_it_is_tried_again() -> None:
    failed = PushState(ONE, ok=False, head=HEAD, sentence="filtered", next_try=107.5,
                       error_class=ErrorClass.NETWORK, last_success=NOW)  # fmt: skip
    rows = rows_of(overview_of([0, 1, 2]), {ONE: failed}, {}, NOW, 100.0)
    assert (rows[1].error, rows[1].next_try_s, rows[1].saved) == ("filtered", 7.5, HEAD)
    assert rows[1].last_success == NOW
    assert (rows[0].error, rows[0].next_try_s, rows[0].here) == ("", None, True)


def test_a_pause_that_is_over_and_a_clock_that_was_set_back_show_zero() -> None:
    failed = PushState(ONE, ok=False, sentence="x", next_try=90.0)
    later = {ONE: NOW + timedelta(hours=1)}
    row = rows_of(overview_of([0, 1]), {ONE: failed}, later, NOW, 100.0)[1]
    assert (row.next_try_s, row.lag_s) == (0.0, 0.0)


def test_the_lag_is_the_age_of_what_is_lacking() -> None:
    row = rows_of(overview_of([0, 1]), {}, {ONE: NOW - timedelta(seconds=75)}, NOW, 0.0)[1]
    assert row.lag_s == 75.0


def test_a_server_that_is_unreachable_says_since_when() -> None:
    seen = overview_of([0, 1])
    silent = replace(seen.servers[1], sync="unreachable", last_contact=NOW)
    silent_view = replace(seen, servers=(seen.servers[0], silent))
    rows = rows_of(silent_view, {}, {}, NOW, 0.0)
    assert (rows[1].state, rows[1].since) == ("unreachable", NOW)
    assert rows[0].since is None
