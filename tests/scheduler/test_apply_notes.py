from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from configrepo.errors import DiskFull
from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.apply_notes import MOST_LINES, ApplyNotes
from scheduler.apply_plan import NEVER, Running

START = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
ONE, TWO = CommitId("a" * 40), CommitId("b" * 40)


class World:
    """A store of notes in memory, and a clock."""

    def __init__(self) -> None:
        self.texts: dict[CommitId, str] = {}
        self.full = False
        self.now = START
        self.notes = self.restart()

    def restart(self) -> ApplyNotes:
        self.notes = ApplyNotes(ServerId(1), self, lambda: self.now)
        return self.notes

    def note(self, ref: str, about: CommitId) -> str | None:
        assert ref == "refs/notes/apply-1"
        return self.texts.get(about)

    def write_note(
        self, ref: str, about: CommitId, text: str, trailers: Mapping[str, str]
    ) -> CommitId:
        if self.full:
            raise DiskFull("no space left on the device")
        assert trailers == {"Server": "1"}
        self.texts[about] = text
        return CommitId("c" * 40)

    def apply(self, commit: CommitId, *, failed: bool = False) -> str | None:
        """An apply that ends a second later."""
        self.notes.begin()
        self.now += timedelta(seconds=1)
        if failed:
            return self.notes.look(Running("failed", "it said no", TWO, None, START, commit))
        return self.notes.look(Running("applied", "applied", commit, "h", self.now))


def test_each_apply_is_one_line_with_when_how_long_and_how() -> None:
    world = World()
    line = world.apply(ONE)
    assert line is not None
    assert line.startswith("2026-11-22T15:00:01Z BQN 1 applied in 0.0")
    assert line.endswith(" s: applied")
    failure = world.apply(ONE, failed=True)
    assert failure is not None
    assert "BQN 1 failed in " in failure
    assert world.texts[ONE] == f"{line}\n{failure}\n"


def test_what_was_noted_is_not_noted_again_also_not_after_a_restart() -> None:
    world = World()
    world.apply(ONE)
    running = Running("applied", "applied", ONE, "h", world.now)
    assert world.notes.look(running) is None
    world.restart()
    assert world.notes.look(running) is None
    assert world.texts[ONE].count("\n") == 1


def test_a_note_that_a_crash_left_out_is_made_up_for_without_a_duration() -> None:
    world = World()
    line = world.notes.look(Running("applied", "applied", ONE, "h", START - timedelta(hours=1)))
    assert line == "2026-11-22T14:00:00Z BQN 1 applied at an earlier time: applied"


def test_a_full_disk_delays_the_note() -> None:
    world = World()
    world.full = True
    assert world.apply(ONE) is None
    world.full = False
    assert world.notes.look(Running("applied", "applied", ONE, "h", world.now)) is not None


def test_a_commit_that_is_applied_again_gets_another_line_and_there_is_a_bound() -> None:
    world = World()
    for _ in range(MOST_LINES + 5):
        assert world.apply(ONE) is not None
        assert world.apply(TWO) is not None
    assert world.texts[ONE].count("\n") == MOST_LINES


def test_what_is_not_finished_is_not_noted() -> None:
    world = World()
    assert world.notes.look(NEVER) is None
    for result in ("applying", "drifted"):
        running = Running("applied", "x", ONE, "h", START)
        assert world.notes.look(replace(running, result=result)) is None
    assert world.texts == {}
