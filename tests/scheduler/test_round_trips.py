"""Both sides of a session have a round trip every heartbeat, from one frame each way."""

from __future__ import annotations

from scheduler.round_trips import RoundTrips

HB_S = 0.4


def pair() -> tuple[RoundTrips, RoundTrips]:
    """The side that asks, and the other one."""
    return RoundTrips(asks=True, now=0.0), RoundTrips(asks=False, now=0.0)


def exchange(lower: RoundTrips, higher: RoundTrips, now: float, way_s: float) -> float | None:
    """A question and its answer; what the side that is asked measured."""
    number, echo, held_ms = lower.ask(now)
    took_s = higher.took_s(echo, held_ms / 1000, now + way_s)
    if took_s is not None:
        higher.led(now + way_s)
    own = higher.answer(now + way_s)
    back = now + 2 * way_s
    lower.owe(own, back)
    assert lower.took_s(number, 0.0, back) is not None
    return took_s


def test_two_frames_are_a_round_trip_for_both() -> None:
    lower, higher = pair()
    assert exchange(lower, higher, 1.0, 0.05) is None
    took_s = exchange(lower, higher, 1.4, 0.05)
    assert took_s is not None
    assert 0.099 < took_s < 0.102  # without the time that the answer was held
    assert lower.answered_at == 1.5
    assert higher.answered_at == 1.45


def test_the_lower_id_asks_at_its_pace_and_the_other_one_only_if_it_is_not_asked() -> None:
    lower, higher = pair()
    assert lower.due(HB_S, 0.4)
    assert higher.due(HB_S, 0.4)
    exchange(lower, higher, 0.4, 0.01)
    assert higher.due(HB_S, 0.5)  # that question has answered nothing of it yet
    exchange(lower, higher, 0.8, 0.01)
    assert not lower.due(HB_S, 0.9)
    assert not higher.due(HB_S, 1.2)
    assert lower.due(HB_S, 1.2)
    assert higher.due(HB_S, 1.4)


def test_who_has_just_asked_does_not_ask_again_at_once() -> None:
    _, higher = pair()
    higher.ask(1.0)
    assert not higher.due(HB_S, 1.3)
    assert higher.due(HB_S, 1.4)


def test_an_answer_counts_once_and_only_if_it_was_asked_for() -> None:
    lower, _ = pair()
    number, _, _ = lower.ask(1.0)
    assert lower.took_s(number + 1, 0.0, 1.1) is None
    assert lower.took_s(0, 0.0, 1.1) is None
    assert lower.answered_at == 0.0
    assert lower.took_s(number, 0.0, 1.1) is not None
    assert lower.took_s(number, 0.0, 1.2) is None
    assert lower.answered_at == 1.1


def test_an_answer_is_answered_once() -> None:
    lower, _ = pair()
    lower.owe(7, 1.0)
    assert lower.ask(1.25)[1:] == (7, 250)
    assert lower.ask(1.65)[1:] == (0, 0)
    lower.owe(0, 2.0)
    assert lower.ask(2.1)[1:] == (0, 0)


def test_who_claims_to_have_held_an_answer_for_long_is_not_heard_in_the_future() -> None:
    _, higher = pair()
    assert higher.took_s(higher.answer(1.0), 3600.0, 1.2) == 0.0
    assert higher.answered_at == 1.2


def test_only_the_last_questions_are_remembered() -> None:
    lower, _ = pair()
    numbers = [lower.ask(float(at))[0] for at in range(20)]
    assert lower.took_s(numbers[3], 0.0, 20.0) is None
    assert lower.took_s(numbers[4], 0.0, 20.0) is not None
