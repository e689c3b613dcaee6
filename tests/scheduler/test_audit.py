"""The audit log keeps what happened, and shows what was changed in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.audit import AuditLog
from scheduler.views import Person, Role
from tests.support.counting import calls_of

NOC = Person("noc", Role.OPERATOR, "192.0.2.1")


def filled(path: Path) -> AuditLog:
    log = AuditLog(path)
    for number in range(5):
        log.write(NOC, f"action {number}", "done")
    return log


def test_the_newest_entry_comes_first(tmp_path: Path) -> None:
    log = filled(tmp_path / "audit.jsonl")
    assert [entry.action for entry in log.newest(2)] == ["action 4", "action 3"]
    assert log.newest(1)[0].person == "noc"
    assert log.broken_at() is None


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    filled(tmp_path / "audit.jsonl")
    log = filled(tmp_path / "audit.jsonl")
    assert log.broken_at() is None
    assert len(log.newest(100)) == 10


@pytest.mark.parametrize("victim", [0, 2, 3])
def test_a_changed_or_removed_line_shows(tmp_path: Path, victim: int) -> None:
    path = tmp_path / "audit.jsonl"
    log = filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:victim] + lines[victim + 1 :]))
    assert log.broken_at() is not None
    changed = lines[victim].replace(b"noc", b"eve")
    path.write_bytes(b"".join([*lines[:victim], changed, *lines[victim + 1 :]]))
    assert log.broken_at() == victim + 2


def test_a_line_break_in_a_name_cannot_forge_an_entry(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write(Person('x"}\n{"time"', Role.VIEWER, "\x1b[2J"), "login\r\n", "failed")
    assert len((tmp_path / "audit.jsonl").read_bytes().splitlines()) == 1
    assert log.newest(1)[0].person == 'x"}\n{"time"'


def test_what_the_disk_does_not_take_is_shown_told_and_written_later_in_its_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(tmp_path / "later" / "audit.jsonl")
    for number in range(3):
        log.write(NOC, f"action {number}", "done")
    assert [entry.action for entry in log.newest(2)] == ["action 2", "action 1"]
    assert "3 lines of the audit log" in log.alarms()[0]
    assert "action 1" in caplog.text
    assert log.write_waiting().startswith("3 lines wait: ")
    (tmp_path / "later").mkdir()
    log.write(NOC, "action 3", "done")
    assert log.write_waiting() == "no line waits"
    assert log.alarms() == ()
    again = AuditLog(tmp_path / "later" / "audit.jsonl")
    assert [entry.action for entry in again.newest(9)] == [f"action {n}" for n in (3, 2, 1, 0)]
    assert again.broken_at() is None


def test_a_line_that_a_crash_cut_short_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path)
    with path.open("ab") as file:
        file.write(b'{"action": "act')
    log = filled(path)
    assert len(log.newest(100)) == 11
    assert log.broken_at() == 6


def test_half_a_character_or_a_line_of_another_form_spoils_no_other_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.write(Person("eve\ud800", Role.VIEWER, "192.0.2.6"), "\udfff", "refused")
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole.replace(b'"192.0.2.6"', b"6"))
        file.write(whole.replace(b"+00:00", b""))
        file.write(b"[" * 100_000 + b"\n")
    log.write(NOC, "later", "done")
    entries = log.newest(10)
    assert entries[0].action == "later"
    assert [one.action for one in entries[1:4]] == ["damaged line", "?", "damaged line"]
    assert entries[4].person == "eve?"
    assert all(one.time.tzinfo is not None for one in entries)


def test_very_many_lines_that_waited_are_written_in_few_steps(tmp_path: Path) -> None:
    """Each step waits for the disk, and whoever logs in meanwhile waits for all of them."""
    log = AuditLog(tmp_path / "later" / "audit.jsonl")
    for number in range(400):
        log.write(NOC, f"action {number}", "done")
    (tmp_path / "later").mkdir()
    assert calls_of(log.write_waiting, "append_durably", "scheduler/state_dir.py") <= 4
    assert log.alarms() == ()
    assert log.broken_at() is None
    assert [entry.action for entry in log.newest(400)] == [
        f"action {number}" for number in reversed(range(400))
    ]
