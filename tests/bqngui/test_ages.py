"""How long ago, in words."""

from __future__ import annotations

import pytest

from bqngui.ages import age_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "now"),
        (1.9, "now"),
        (2, "2 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7_200, "2 h ago"),
        (172_800, "2 days ago"),
    ],
)
def test_an_age_is_told_in_its_fitting_unit(seconds: float, words: str) -> None:
    assert age_words(seconds) == words
