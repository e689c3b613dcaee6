"""Every state has an icon and a word, never a colour alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bqngui.badges import role_badge, state_badge, status_badge, sync_badge, worst
from tests.support.fake_scenes import server_view


@pytest.mark.parametrize(
    "state",
    ["alone", "ready", "degraded", "joining", "split", "suspect", "unreachable", "conflict"],
)
def test_a_state_has_an_icon_and_its_own_word(state: str) -> None:
    badge = state_badge(state)
    assert badge.text == state
    assert badge.icon


def test_a_word_that_is_not_known_is_shown_as_it_is() -> None:
    assert state_badge("levitating").text == "levitating"
    assert status_badge("2 of 3").tone == "warn"


def test_behind_says_by_how_many_commits() -> None:
    server = replace(server_view(1, "secondary"), sync="behind", behind=3)
    assert sync_badge(server).text == "behind by 3"
    assert sync_badge(replace(server, behind=None)).text == "behind"


def test_what_cannot_be_known_is_not_called_unreachable_twice() -> None:
    server = replace(server_view(1, "secondary"), sync="unreachable")
    assert sync_badge(server).text == "sync unknown"
    assert role_badge("unknown").text == "role unknown"


def test_the_worst_part_gives_the_tone_of_the_whole() -> None:
    assert worst(("good", "warn")) == "warn"
    assert worst(("bad", "good")) == "bad"
