"""The audit log keeps what happened, and shows what was changed in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.audit import AuditLog
from scheduler.views import Person, Role

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
