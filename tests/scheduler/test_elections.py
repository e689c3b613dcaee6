from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from configrepo.model import ServerId
from scheduler.elections import Elections
from scheduler.views import Person
from tests.support.standing import following, leading

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


class Room:
    """The elections of BQN 1 over a file, with what went to the audit log."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "elections.jsonl"
        self.audited: list[tuple[str, str, str]] = []
        self.elections = self.started()

    def started(self) -> Elections:
        return Elections(ServerId(1), self.path, self._audit, tuple, lambda: NOW)

    def _audit(self, person: Person, action: str, result: str) -> None:
        self.audited.append((person.name, action, result))


def test_what_is_seen_is_shown_at_once_and_written_by_the_job(tmp_path: Path) -> None:
    room = Room(tmp_path)
    assert room.elections.viewed(following(1, 0, 1))
    assert room.elections.events()[0].kind == "takeover"
    assert not room.path.exists()
    assert "BQN 0 leads in term 1" in room.elections.write()
    assert len(room.path.read_text().splitlines()) == 1
    assert room.elections.write() == "no election"
    assert room.audited[0][:2] == ("BQN 1", "election: takeover")


def test_the_history_outlives_a_restart_and_is_not_told_again(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.elections.viewed(following(1, 0, 1))
    room.elections.viewed(leading(1, 2))
    room.elections.write()
    again = room.started()
    assert again.events() == room.elections.events()
    assert not again.viewed(leading(1, 2))


def test_a_line_that_a_crash_cut_short_costs_only_itself(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.elections.viewed(following(1, 0, 1))
    room.elections.write()
    with room.path.open("a") as file:
        file.write('{"kind": "take')
    again = room.started()
    again.viewed(leading(1, 2))
    again.write()
    assert [event.term for event in room.started().events()] == [2, 1]


def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    room = Room(tmp_path / "gone")
    room.elections.viewed(leading(1, 2))
    try:
        room.elections.write()
    except OSError:
        (tmp_path / "gone").mkdir()
    room.elections.write()
    assert len(room.started().events()) == 1
    assert len(room.audited) == 1
