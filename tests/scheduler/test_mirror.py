"""When the mirror is pushed, by whom, and how long it waits after a failure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from configrepo.errors import StoreError
from configrepo.revision import CommitId
from scheduler.control_view import ControlRole
from scheduler.mirror import Mirror, MirrorSeams

URL = "ssh://git@git.example/bqn.git"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
A, B = CommitId("a" * 40), CommitId("b" * 40)


class World:
    def __init__(self, url: str | None = URL) -> None:
        self.refs = {"refs/heads/cluster": A}
        self.role = ControlRole.PRIMARY
        self.now = 0.0
        self.pushed = 0
        self.error: str | None = None
        self.mirror = Mirror(
            url,
            MirrorSeams(
                push=self.push,
                refs=lambda: self.refs,
                role=lambda: self.role,
                now=lambda: NOON,
                monotonic=lambda: self.now,
            ),
        )

    def push(self) -> None:
        self.pushed += 1
        if self.error is not None:
            raise StoreError(self.error)

    def state(self) -> str:
        self.mirror.run()
        view = self.mirror.state()
        assert view is not None
        return view.state


def test_without_a_url_there_is_no_mirror() -> None:
    world = World(None)
    world.mirror.run()
    assert world.mirror.state() is None
    assert world.pushed == 0


def test_it_is_pushed_once_for_each_change_of_what_is_sent() -> None:
    world = World()
    assert [world.state(), world.state()] == ["current", "current"]
    assert world.pushed == 1
    world.refs = {**world.refs, "refs/bqn/drafts/x": B}
    world.mirror.run()
    assert world.pushed == 1
    world.refs = {**world.refs, "refs/heads/cluster": B}
    world.mirror.run()
    assert world.pushed == 2


@pytest.mark.parametrize("role", [ControlRole.SECONDARY, ControlRole.CANDIDATE])
def test_a_server_that_does_not_lead_pushes_nothing_until_it_does(role: ControlRole) -> None:
    world = World()
    world.role = role
    assert world.state() == "elsewhere"
    assert world.pushed == 0
    world.role = ControlRole.PRIMARY
    assert world.state() == "current"
    assert world.pushed == 1


def test_a_failure_is_an_alarm_and_waits_longer_each_time() -> None:
    world = World()
    world.error = "refs/heads/cluster was refused: (fetch first)"
    pauses = []
    for _ in range(9):
        assert world.state() == "failed"
        view = world.mirror.state()
        assert view is not None
        assert view.next_try_s is not None
        pauses.append(view.next_try_s)
        before = world.pushed
        world.now += view.next_try_s - 1
        world.mirror.run()
        assert world.pushed == before
        world.now += 1
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert "fetch first" in world.mirror.alarms()[0]
    world.error = None
    assert world.state() == "current"
    assert world.mirror.alarms() == ()
