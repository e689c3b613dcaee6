"""The two presets keep the rules between the times, and a timing that breaks one is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.presets import LAN, PRESETS, WAN, broken_rules


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_keeps_every_rule(name: str) -> None:
    assert broken_rules(PRESETS[name]) == ()


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("tick_s", 0.0, "tick"),
        ("hb_s", 0.3, "heartbeat"),
        ("suspect_s", 1.1, "suspect"),
        ("dead_s", 2.7, "dead"),
        ("claim_s", 0.3, "claim"),
        ("boot_s", 3.1, "boot"),
        ("preempt_s", 8.0, "preempt"),
        ("handover_s", 0.7, "handover"),
        ("catch_up_s", 0.3, "catch-up"),
    ],
)
def test_a_time_that_is_too_short_is_named(field: str, value: float, word: str) -> None:
    assert any(word in said for said in broken_rules(replace(LAN, **{field: value})))


def test_the_pauses_that_are_tolerated_follow_from_the_times() -> None:
    assert LAN.step_down_s == pytest.approx(2.4)
    assert WAN.stall_s == pytest.approx(0.6)
