"""Samples become coordinates; rates become words."""

from __future__ import annotations

import pytest

from bqngui.sparkline import HEIGHT, WIDTH, newest_total, rate_words, sparkline
from scheduler.views import Sample


def test_fewer_than_two_samples_draw_nothing() -> None:
    assert sparkline([]) is None
    assert sparkline([Sample(1.0, 5, 5)]) is None
    assert sparkline([Sample(1.0, 5, 5), Sample(1.0, 6, 6)]) is None


def test_the_drawing_spans_the_box_and_its_top_is_the_peak() -> None:
    drawn = sparkline([Sample(0, 0, 0), Sample(10, 1000, 500), Sample(20, 500, 0)])
    assert drawn is not None
    assert drawn.peak_kbps == 1000
    assert drawn.downlink_line == f"M0.0,{HEIGHT}.0L120.0,3.0L{WIDTH}.0,29.5"
    assert drawn.downlink_area == f"{drawn.downlink_line}L{WIDTH}.0,{HEIGHT}L0.0,{HEIGHT}Z"


def test_a_gap_in_the_samples_breaks_the_line() -> None:
    times = [0, 2, 4, 60, 62]
    drawn = sparkline([Sample(t, 10, 10) for t in times])
    assert drawn is not None
    assert drawn.uplink_line.count("M") == 2


def test_no_traffic_at_all_is_a_flat_line() -> None:
    drawn = sparkline([Sample(0, 0, 0), Sample(2, 0, 0)])
    assert drawn is not None
    assert drawn.downlink_line == f"M0.0,{HEIGHT}.0L{WIDTH}.0,{HEIGHT}.0"


@pytest.mark.parametrize(
    ("kbps", "words"),
    [
        (0, "0 kbit/s"),
        (999, "999 kbit/s"),
        (1_000, "1.00 Mbit/s"),
        (45_600, "45.6 Mbit/s"),
        (982_000, "982 Mbit/s"),
        (12_340_000, "12.3 Gbit/s"),
        (2_000_000_000, "2.00 Tbit/s"),
    ],
)
def test_rates_have_three_digits_and_a_unit(kbps: int, words: str) -> None:
    assert rate_words(kbps) == words


def test_the_total_counts_the_servers_that_are_known() -> None:
    assert newest_total([None, None]) is None
    total = newest_total([Sample(1, 10, 1), None, Sample(3, 20, 2)])
    assert total == Sample(3, 30, 3)
