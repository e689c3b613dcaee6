from __future__ import annotations

from dataclasses import replace

import pytest

from configrepo.model import ServerId
from scheduler.control_view import ControlRole
from scheduler.election import start, step
from scheduler.election_calm import calm_heartbeat
from scheduler.election_moves import Heard, Lost, Members, Persist, Persisted, Tick
from scheduler.election_values import Beacon, Durable, View
from scheduler.presets import LAN

NOW = 1000.0
SOON = NOW + LAN.tick_s / 2


def beacon(server: int, seq: int, **changes: object) -> Beacon:
    plain = Beacon(ServerId(server), 1, seq, ControlRole.SECONDARY, 1, 1, ServerId(0), None)
    return replace(plain, **changes)  # type: ignore[arg-type]


def primary_of(others: int) -> View:
    view = start(ServerId(0), LAN, Durable(boot=1), NOW)
    servers = tuple(ServerId(one) for one in range(1, others + 1))
    view, actions = step(view, Members(servers, founding=True), NOW)
    for action in actions:
        if isinstance(action, Persist):
            view, _ = step(view, Persisted(action.durable), NOW)
    for one in servers:
        view, _ = step(view, Heard(beacon(one, 1), round_trip=True), NOW)
    view, _ = step(view, Tick(), NOW)
    assert view.role is ControlRole.PRIMARY
    return view


@pytest.mark.parametrize("round_trip", [True, False])
@pytest.mark.parametrize("seq", [0, 1, 2])
@pytest.mark.parametrize("server", [1, 2, 5])
def test_a_calm_heartbeat_gives_what_all_rules_give(
    server: int, seq: int, round_trip: bool
) -> None:
    view = primary_of(5)
    event = Heard(beacon(server, seq), round_trip)
    quick = calm_heartbeat(view, event, SOON)
    slow, actions = step(replace(view, looked_at=0.0), event, SOON)
    assert quick == replace(slow, looked_at=view.looked_at)
    assert not actions


@pytest.mark.parametrize(
    "change",
    [
        {"role": ControlRole.PRIMARY},
        {"epoch": 2},
        {"maxep": 7},
        {"following": None},
        {"head": "a" * 40},
        {"boot": 2},
        {"id": ServerId(9)},
    ],
)
def test_what_is_new_in_a_beacon_goes_through_all_rules(change: dict[str, object]) -> None:
    view = primary_of(3)
    assert calm_heartbeat(view, Heard(beacon(2, 2, **change), round_trip=True), SOON) is None


def test_the_signature_of_a_beacon_is_nothing_new() -> None:
    event = Heard(beacon(2, 2, signature="of the second beacon"), round_trip=True)
    assert calm_heartbeat(primary_of(3), event, SOON) is not None


def test_a_member_that_was_lost_comes_back_only_through_all_rules() -> None:
    view, _ = step(primary_of(3), Lost(ServerId(2), "refused"), SOON)
    assert calm_heartbeat(view, Heard(beacon(2, 5), round_trip=True), SOON) is None


def test_after_two_ticks_all_rules_are_applied_and_other_events_are_never_calm() -> None:
    view = primary_of(3)
    late = NOW + 2 * LAN.tick_s
    assert calm_heartbeat(view, Heard(beacon(2, 2), round_trip=True), late) is None
    assert calm_heartbeat(view, Tick(), SOON) is None
