"""Which items of two sequences belong together: the order-keeping matches of a diff.

The rules, in the order in which they are applied to a stretch:

1. What both stretches begin and end with is matched.
2. Items that occur exactly once on each side are anchors; the longest run of them that
   keeps the order is matched, and the stretches between them are looked at in turn.
3. A stretch without anchors is searched for the shortest edit, but only as far as
   `MAX_STRETCH` items and `MAX_EDITS` edits; beyond that it counts as replaced as a whole.

Rule 3 bounds the work: the time is near linear whatever the input, and a bad case gives a
coarser answer, never a slow page. The answer may be not the shortest; it is never wrong:
matched items are equal and both index columns rise.

It knows nothing of lines, tokens or pages.

Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

MAX_STRETCH = 800
MAX_EDITS = 60
MAX_DEPTH = 24

Pair = tuple[int, int]
_Range = tuple[int, int, int, int]


def matches(a: Sequence[str], b: Sequence[str]) -> list[Pair]:
    """Pairs (i, j) with a[i] == b[j], both rising: what stayed the same."""
    found: list[Pair] = []
    todo: list[tuple[_Range, int]] = [((0, len(a), 0, len(b)), 0)]
    while todo:
        stretch, depth = todo.pop()
        edges, (a0, a1, b0, b1) = _strip_edges(a, b, stretch)
        found += edges
        if a0 == a1 or b0 == b1:
            continue
        anchors = _anchors(a, b, (a0, a1, b0, b1)) if depth < MAX_DEPTH else []
        if anchors:
            found += anchors
            todo += [(gap, depth + 1) for gap in _gaps(anchors, (a0, a1, b0, b1))]
        elif (a1 - a0) + (b1 - b0) <= MAX_STRETCH:
            found += [(a0 + i, b0 + j) for i, j in _shortest_edit(a[a0:a1], b[b0:b1])]
    return sorted(found)


def _strip_edges(a: Sequence[str], b: Sequence[str], stretch: _Range) -> tuple[list[Pair], _Range]:
    a0, a1, b0, b1 = stretch
    found: list[Pair] = []
    while a0 < a1 and b0 < b1 and a[a0] == b[b0]:
        found.append((a0, b0))
        a0, b0 = a0 + 1, b0 + 1
    while a0 < a1 and b0 < b1 and a[a1 - 1] == b[b1 - 1]:
        a1, b1 = a1 - 1, b1 - 1
        found.append((a1, b1))
    return found, (a0, a1, b0, b1)


def _anchors(a: Sequence[str], b: Sequence[str], stretch: _Range) -> list[Pair]:
    a0, a1, b0, b1 = stretch
    once_in_a = _places_of_unique(a, a0, a1)
    once_in_b = _places_of_unique(b, b0, b1)
    shared = [(i, once_in_b[item]) for item, i in once_in_a.items() if item in once_in_b]
    return _longest_rising(shared)


def _places_of_unique(items: Sequence[str], start: int, end: int) -> dict[str, int]:
    """Item -> its index, in order, for the items that occur exactly once."""
    places: dict[str, int] = {}
    for i in range(start, end):
        places[items[i]] = -1 if items[i] in places else i
    return {item: i for item, i in places.items() if i >= 0}


def _longest_rising(pairs: list[Pair]) -> list[Pair]:
    """The longest subsequence with rising second members (the first ones rise already)."""
    tails: list[int] = []
    tail_pair: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        at = bisect_left(tails, j)
        before.append(tail_pair[at - 1] if at else -1)
        tails[at : at + 1] = [j]
        tail_pair[at : at + 1] = [index]
    chosen: list[Pair] = []
    index = tail_pair[-1] if tail_pair else -1
    while index >= 0:
        chosen.append(pairs[index])
        index = before[index]
    return chosen[::-1]


def _gaps(anchors: list[Pair], stretch: _Range) -> Iterator[_Range]:
    a0, a1, b0, b1 = stretch
    for i, j in [*anchors, (a1, b1)]:
        if a0 < i and b0 < j:
            yield a0, i, b0, j
        a0, b0 = i + 1, j + 1


def _shortest_edit(a: Sequence[str], b: Sequence[str]) -> list[Pair]:
    """The greedy search of E. W. Myers (1986), given up after `MAX_EDITS` edits."""
    furthest = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(min(len(a) + len(b), MAX_EDITS) + 1):
        history.append(dict(furthest))
        for k in range(-edits, edits + 1, 2):
            x = _step(furthest, k, edits)
            while x < len(a) and 0 <= x - k < len(b) and a[x] == b[x - k]:
                x += 1
            furthest[k] = x
            if x >= len(a) and x - k >= len(b):
                return _walk_back(history, len(a), len(b))
    return []


def _step(furthest: dict[int, int], k: int, edits: int) -> int:
    """Where the `edits`-th edit onto diagonal k begins: an insertion or a removal."""
    if k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1]):
        return furthest[k + 1]
    return furthest[k - 1] + 1


def _walk_back(history: list[dict[int, int]], x: int, y: int) -> list[Pair]:
    pairs: list[Pair] = []
    for edits in range(len(history) - 1, -1, -1):
        start = _step(history[edits], x - y, edits)
        k = x - y
        while x > start:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        inserted = k == -edits or (k != edits and history[edits][k - 1] < history[edits][k + 1])
        x, y = (x, y - 1) if inserted else (x - 1, y)
    return pairs[::-1]
