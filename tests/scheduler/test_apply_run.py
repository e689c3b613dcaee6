"""The run that applies, with a canary that reports what the test says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configrepo.model import ServerId
from configrepo.revision import CommitId, RefUpdate, Revision
from scheduler.apply_run import ApplyRun, ApplySeams
from scheduler.apply_turn import Staging
from scheduler.applying import Applier, ApplyCommands
from scheduler.overview import Report

R, A, B = (CommitId(letter * 40) for letter in "0ab")
ME, CANARY = ServerId(0), ServerId(1)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAGED = Staging(CANARY, 60).trailers


class World:
    """A line of commits, one text each, and the clock and the canary that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.parents: dict[CommitId, tuple[CommitId, ...]] = {R: ()}
        self.trailers: dict[CommitId, dict[str, str]] = {R: {}}
        self.head = R
        self.refs: dict[str, CommitId] = {}
        self.now = 100.0
        self.woken = 0
        self.members = frozenset({ME, CANARY})
        self.canary: Report | None = Report(
            CANARY, "one", "1", "", R, R, "h", "applied", "applied", None, False
        )
        self.age = 1.0
        self.applier = Applier(folder, ME, self, self, ApplyCommands(), now=lambda: NOON)
        seams = ApplySeams(
            head=lambda: self.head,
            reports=lambda: {} if self.canary is None else {CANARY: (self.canary, self.age)},
            members=lambda: self.members,
            monotonic=lambda: self.now,
            wake=self.wake,
        )
        self.run = ApplyRun(ME, self.applier, self, seams)
        self.run.run()

    def wake(self) -> None:
        self.woken += 1

    def commit(self, commit: CommitId, **trailers: str) -> None:
        self.parents[commit], self.trailers[commit] = (self.head,), trailers
        self.head = commit

    def canary_says(self, running: CommitId, result: str = "applied") -> None:
        assert self.canary is not None
        self.canary = replace(
            self.canary, head=self.head, running=running, result=result, sentence="it said no"
        )

    def runs(self) -> CommitId | None:
        self.run.run()
        return self.applier.running().commit

    # History, Texts and Refs
    def has(self, commit: CommitId) -> bool:
        return commit in self.parents

    def revision(self, commit: CommitId) -> Revision:
        return Revision(
            commit, self.parents[commit], "a", "a@b", "c", NOON, "s", "s", self.trailers[commit]
        )

    def is_ancestor(self, ancestor: CommitId, commit: CommitId) -> bool:
        if ancestor == commit:
            return True
        return any(self.is_ancestor(ancestor, parent) for parent in self.parents[commit])

    def wanted(self, commit: CommitId) -> str:
        return f"text {commit}\n"

    def opened(self, sealed: str) -> str:
        return sealed

    def sealed(self, clear: bytes) -> str:
        return clear.decode()

    def key(self) -> str:
        return "one"

    def ref(self, name: str) -> CommitId | None:
        return self.refs.get(name)

    def move(self, updates: tuple[RefUpdate, ...], reason: str) -> None:
        for update in updates:
            assert update.new is not None, reason
            self.refs[update.ref] = update.new


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    assert made.applier.running().commit == R
    return made


def test_a_staged_commit_waits_for_the_canary_and_then_for_the_whole_pause(world: World) -> None:
    world.commit(A, **STAGED)
    assert world.runs() == R
    result, sentence = world.run.shown()
    assert result == "waiting"
    assert "until the canary BQN 1 has applied it" in sentence
    world.canary_says(A)
    assert world.runs() == R
    world.now += 59
    assert world.runs() == R
    assert "59 of 60 s" in world.run.shown()[1]
    world.now += 1
    assert world.runs() == A
    assert world.run.shown()[0] == "applied"


@pytest.mark.parametrize("gap", ["drifted", "silent", "other"])
def test_a_gap_in_the_health_of_the_canary_begins_the_pause_anew(world: World, gap: str) -> None:
    world.commit(A, **STAGED)
    world.canary_says(A)
    world.run.run()
    world.now += 59
    if gap == "silent":
        world.age = 60.0
    else:
        world.canary_says(*((A, "drifted") if gap == "drifted" else (R, "applied")))
    assert world.runs() == R
    world.now += 1
    world.age = 1.0
    world.canary_says(A)
    assert world.runs() == R
    world.now += 60
    assert world.runs() == A


def test_a_commit_that_failed_on_the_canary_stops_with_an_alarm_until_a_better_one(
    world: World,
) -> None:
    world.commit(A, **STAGED)
    world.canary_says(R, "failed")
    assert world.runs() == R
    assert len(world.run.alarms()) == 1
    assert "it said no" in world.run.alarms()[0]
    world.commit(B)
    world.canary_says(B)
    assert world.runs() == R
    assert world.run.alarms() == ()
    world.now += 60
    assert world.runs() == B


def test_a_canary_that_left_the_cluster_holds_nobody_up(world: World) -> None:
    world.commit(A, **STAGED)
    world.members = frozenset({ME})
    assert world.runs() == A


def test_a_canary_that_runs_a_commit_unknown_here_proves_nothing(world: World) -> None:
    world.commit(A, **STAGED)
    world.canary_says(CommitId("f" * 40))
    assert world.runs() == R


def test_all_at_once_is_applied_although_an_earlier_commit_waits(world: World) -> None:
    world.commit(A, **STAGED)
    world.canary = None
    assert world.runs() == R
    world.commit(B, Canary="none")
    assert world.runs() == B


def test_what_was_asked_is_done_once(world: World, tmp_path: Path) -> None:
    (tmp_path / "running.conf").write_text("something else\n")
    world.run.run()
    assert world.applier.running().result == "drifted"
    world.run.ask()
    assert world.woken == 1
    world.run.run()
    assert world.applier.running().result == "applied"
    (tmp_path / "running.conf").write_text("something else\n")
    world.run.run()
    assert world.applier.running().result == "drifted"
