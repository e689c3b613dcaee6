"""Many scenarios on all cores, and what they showed together."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.simulator.scenario import Result, simulate

_CHUNK = 5


@dataclass(frozen=True)
class Total:
    """The sum of a campaign. `broken` holds the results with a violation."""

    scenarios: int
    acknowledged: int
    lost: int
    waived: int
    claims: int
    broken: tuple[Result, ...]


def results(seeds: Iterable[int], counts: tuple[int, int] = (2, 8)) -> Iterator[Result]:
    """The result of each seed, as they come."""
    cores = max(1, min(os.cpu_count() or 1, 8))
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        yield from pool.imap_unordered(partial(simulate, counts=counts), seeds, _CHUNK)


def campaign(seeds: Iterable[int], counts: tuple[int, int] = (2, 8)) -> Total:
    """Run all scenarios of these seeds."""
    done = list(results(seeds, counts))
    return Total(
        scenarios=len(done),
        acknowledged=sum(result.acknowledged for result in done),
        lost=sum(result.lost for result in done),
        waived=sum(result.waived for result in done),
        claims=sum(result.claims for result in done),
        broken=tuple(sorted((r for r in done if r.violation), key=lambda r: r.seed)),
    )
