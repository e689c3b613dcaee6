"""The order-keeping matches under a diff: never wrong, and never slow."""

from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bqngui.alignment import MAX_STRETCH, matches

ITEMS = st.lists(st.sampled_from("abcdefg"), max_size=40)


@given(ITEMS, ITEMS)
def test_matched_items_are_equal_and_both_columns_rise(a: list[str], b: list[str]) -> None:
    pairs = matches(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(p[0] < q[0] and p[1] < q[1] for p, q in pairwise(pairs))


@given(ITEMS)
def test_equal_sequences_match_completely(a: list[str]) -> None:
    assert matches(a, list(a)) == [(i, i) for i in range(len(a))]


@given(ITEMS, ITEMS)
def test_at_least_the_common_ends_are_matched(a: list[str], b: list[str]) -> None:
    head = next((n for n in range(min(len(a), len(b))) if a[n] != b[n]), min(len(a), len(b)))
    assert matches(a, b)[:head] == [(n, n) for n in range(head)]


def test_a_moved_item_keeps_the_longer_run() -> None:
    assert matches(list("abcdef"), list("fabcde")) == [(n, n + 1) for n in range(5)]


def test_a_stretch_without_anchors_is_matched_by_the_shortest_edit() -> None:
    assert len(matches(list("abcabba"), list("cbabac"))) == 4


def test_a_long_stretch_without_anchors_counts_as_replaced() -> None:
    a, b = ["x", "y"] * MAX_STRETCH, ["y", "x"] * MAX_STRETCH
    assert matches(a, b) == []


def test_repetitive_input_of_20000_items_is_matched_within_a_second() -> None:
    cases = [
        (["a", "b"] * 10_000, ["b", "a"] * 10_000),
        ([str(n % 7) for n in range(20_000)], [str(n % 11) for n in range(20_000)]),
        ([str(n) for n in range(20_000)], [str(n) for n in range(20_000, 0, -1)]),
    ]
    for a, b in cases:
        start = time.process_time()
        matches(a, b)
        assert time.process_time() - start < 1.0
