from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bqngui.sessions import Session, SessionTable, boot_clock, boot_id
from tests.support.manual_clock import ManualClock

OpenTable = Callable[..., SessionTable]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_table(tmp_path: Path, clock: ManualClock) -> Iterator[OpenTable]:
    opened: list[SessionTable] = []

    def make(boot: str = "boot 1") -> SessionTable:
        table = SessionTable(
            tmp_path / "sessions.sqlite3", idle_s=900, longest_s=43_200, now=clock, boot=boot
        )
        opened.append(table)
        return table

    yield make
    for table in opened:
        table.close()


def test_the_table_holds_no_token(open_table: OpenTable, tmp_path: Path) -> None:
    table = open_table()
    token = table.begin("noc", local=False, stamp="s")
    assert table.find(token) == Session("noc", False, "s", "{}")
    table.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("sessions.sqlite3*"))
    assert token.encode() not in content
    assert stat.S_IMODE((tmp_path / "sessions.sqlite3").stat().st_mode) == 0o600


def test_fifteen_minutes_without_a_deed_end_a_session(
    open_table: OpenTable, clock: ManualClock
) -> None:
    table = open_table()
    token = table.begin("noc", local=False, stamp="s")
    for _ in range(10):
        clock.advance(800)
        assert table.find(token) is not None
        table.deed(token)
    clock.advance(901)
    assert table.find(token) is None


def test_polling_is_no_deed(open_table: OpenTable, clock: ManualClock) -> None:
    table = open_table()
    token = table.begin("noc", local=False, stamp="s")
    for _ in range(450):
        clock.advance(2)
        assert table.find(token) is not None
    clock.advance(2)
    assert table.find(token) is None


def test_twelve_hours_end_a_session_that_is_used(open_table: OpenTable, clock: ManualClock) -> None:
    table = open_table()
    token = table.begin("noc", local=False, stamp="s")
    for _ in range(72):
        clock.advance(600)
        assert table.find(token) is not None
        table.deed(token)
    clock.advance(1)
    assert table.find(token) is None


def test_an_ended_session_is_gone_and_the_others_stay(open_table: OpenTable) -> None:
    table = open_table()
    one = table.begin("noc", local=False, stamp="s")
    two = table.begin("noc", local=False, stamp="s")
    same_name_local = table.begin("noc", local=True, stamp="s")
    table.end(one)
    assert table.find(one) is None
    assert table.find(two) is not None
    table.end_all("noc", local=False)
    assert table.find(two) is None
    assert table.find(same_name_local) is not None


def test_sessions_and_form_tokens_survive_a_restart_of_the_program(open_table: OpenTable) -> None:
    table = open_table()
    token = table.begin("noc", local=False, stamp="s", data='{"a": 1}')
    form_token = table.form_token(token)
    table.close()
    again = open_table()
    assert again.find(token) == Session("noc", False, "s", '{"a": 1}')
    assert again.form_token(token) == form_token
    assert again.form_token(token + "x") != form_token


def test_a_restart_of_the_machine_ends_all(open_table: OpenTable) -> None:
    table = open_table("boot 1")
    token = table.begin("noc", local=False, stamp="s")
    table.close()
    assert open_table("boot 2").find(token) is None


def test_a_damaged_file_costs_only_the_logins(open_table: OpenTable, tmp_path: Path) -> None:
    table = open_table()
    table.begin("noc", local=False, stamp="s")
    table.close()
    (tmp_path / "sessions.sqlite3").write_bytes(b"not a database, but long enough to be read" * 9)
    table = open_table()
    token = table.begin("noc", local=False, stamp="s")
    assert table.find(token) is not None


def test_without_a_file_sessions_live_in_memory_and_go_to_the_disk_as_soon_as_it_takes_them(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "later" / "sessions.sqlite3"

    def opened() -> SessionTable:
        return SessionTable(path, idle_s=900, longest_s=43_200, now=clock, boot="boot 1")

    table = opened()
    first, ended = (table.begin("noc", local=False, stamp="s") for _ in range(2))
    table.end(ended)
    path.parent.mkdir()
    table.deed(first)
    assert not path.exists(), "the disk is not tried again and again"
    clock.advance(11)
    second = table.begin("noc", local=True, stamp="s")
    form_token = table.form_token(first)
    table.close()
    again = opened()
    assert [again.find(token) is not None for token in (first, second, ended)] == [
        True,
        True,
        False,
    ]
    assert again.form_token(first) == form_token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.close()


def test_the_table_is_bounded(open_table: OpenTable, clock: ManualClock, tmp_path: Path) -> None:
    table = open_table()
    first = table.begin("noc", local=False, stamp="s")
    for _ in range(1000):
        clock.advance(0.1)
        newest = table.begin("noc", local=False, stamp="s")
    assert table.find(first) is None
    assert table.find(newest) is not None
    table.close()
    with sqlite3.connect(tmp_path / "sessions.sqlite3") as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone()[0] == 1000
    db.close()


def test_the_clock_is_that_of_the_boot() -> None:
    assert 0 < boot_clock() <= boot_clock()
    assert len(boot_id()) == 36
