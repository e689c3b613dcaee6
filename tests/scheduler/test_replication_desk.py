from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from configrepo.model import ServerId
from scheduler.control_view import ControlRole, ControlView
from scheduler.pull_plan import PullState
from scheduler.push_plan import PushState
from scheduler.replication_desk import DeskSeams, ReplicationRoom
from scheduler.views import Person, Refused, Role
from tests.support.fake_scenes import overview_of

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
BOB = Person("bob", Role.OPERATOR)
EVE = Person("eve", Role.VIEWER)
ME = ServerId(0)


class World:
    """A server of a cluster of three, with what it was asked to do."""

    def __init__(self, role: ControlRole = ControlRole.PRIMARY) -> None:
        self.role = role
        self.done: list[str] = []
        self.room = ReplicationRoom(
            ME,
            "one",
            self,
            DeskSeams(
                overview=lambda: overview_of([0, 1, 2]),
                control=lambda: ControlView(ME, self.role, 1, NOW, "x"),
                head=lambda: "a" * 40,
                running=lambda: {ServerId(1): "b" * 40, ServerId(2): "a" * 40},
                lacks_since=lambda has: NOW - timedelta(seconds=9) if has == "b" * 40 else None,
                repository=lambda: None,
                fetching=lambda: PullState(sentence="fetched itself"),
                send=lambda: self.done.append("send"),
                fetch=lambda: self.done.append("fetch"),
                note=lambda _person, action, result: self.done.append(f"{action}: {result}"),
                now=lambda: NOW,
                monotonic=lambda: 100.0,
            ),
        )

    def states(self) -> Mapping[ServerId, PushState]:
        return {ServerId(1): PushState(ServerId(1), ok=False, sentence="refused", next_try=101.0)}

    def wake(self, server: ServerId) -> None:
        self.done.append(f"wake {server}")


def test_the_primary_shows_errors_and_lags() -> None:
    view = World().room.standing()
    assert view.leading
    assert [(row.error, row.lag_s) for row in view.servers] == [
        ("", None), ("refused", 9.0), ("", None),
    ]  # fmt: skip
    assert view.fetching == ""


def test_a_secondary_knows_no_push_errors_but_says_that_it_fetches() -> None:
    view = World(ControlRole.SECONDARY).room.standing()
    assert not view.leading
    assert {row.error for row in view.servers} == {""}
    assert view.fetching == "fetched itself"


def test_now_wakes_one_server_or_all_and_is_noted() -> None:
    world = World()
    assert world.room.now(BOB, ServerId(2)) == "Sending to BQN 2 was started."
    assert world.done[:2] == ["wake 2", "send"]
    world.done.clear()
    assert world.room.now(BOB, None) == "Sending to all other servers was started."
    assert world.done == [
        "wake 1", "wake 2", "send",
        "replicate now: all servers: Sending to all other servers was started.",
    ]  # fmt: skip


def test_a_secondary_fetches_and_does_not_send_for_others() -> None:
    world = World(ControlRole.SECONDARY)
    assert "whether the primary has" in str(world.room.now(BOB, None))
    assert world.done[0] == "fetch"
    assert isinstance(world.room.now(BOB, ServerId(1)), Refused)


def test_who_may_only_look_starts_nothing() -> None:
    world = World()
    assert isinstance(world.room.now(EVE, None), Refused)
    assert isinstance(world.room.now(BOB, ServerId(9)), Refused)
    assert "wake 1" not in world.done
