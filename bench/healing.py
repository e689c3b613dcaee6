"""How long two primaries last after a cut is healed, and until all servers have the same.

    python bench/healing.py [--quick] [--rounds N]

Whole servers (the program itself) run in network namespaces. Each round cuts them, people
save through the pages of every server, several of them the same block, and the cut is
healed at one instant. The times end when every server names the same primary, and when
all have the same newest commit. Every acknowledged commit must be in the history of every
server, each value of the contested block applied or waiting as a disagreement; else the
run ends with what is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures
from bench.figures import Figures
from bench.namespaces import require
from tests.support.partitions import Round, Shape, cut_round, linked, split, without
from tests.support.whole_servers import running

ROUNDS = 20
_LIMIT_S = 3600
_LIMIT_QUICK_S = 240

TWO = (split("one and one", (0,), (1,)),)
FIVE = (
    split("two and three", (0, 1), (2, 3, 4)),
    linked("two chains", 5, (0, 1), (1, 2), (3, 4)),
    split("each alone", (0,), (1,), (2,), (3,), (4,)),
    without("0 does not see 1 and 2", 5, (0, 1), (0, 2)),
)


def rounds(shapes: tuple[Shape, ...], count: int) -> tuple[list[Round], int]:
    """So many cuts of one cluster, one shape after the other; and how many commits are lost."""
    servers = shapes[0].servers
    told: list[Round] = []
    with running(servers) as cluster:
        for number in range(count):
            told.append(cut_round(cluster, shapes[number % len(shapes)], number))
            figures.note(f"{servers} servers, {told[-1]}")
        every = {revision for one in told for revision in one.revisions}
        lost = {revision for server in cluster.servers for revision in server.lacks(every)}
    return told, len(lost)


def run(arguments: argparse.Namespace) -> Figures:
    """Measure two servers, then five."""
    require()
    told: list[Round] = []
    lost = 0
    for shapes in (TWO, FIVE):
        mine, gone = rounds(shapes, arguments.rounds)
        told += mine
        lost += gone
        for what, values in (
            ("one primary", [one.one_primary_s for one in mine]),
            ("equal heads", [one.alike_s for one in mine]),
        ):
            spread = figures.spread(values)
            figures.note(f"{shapes[0].servers} servers, {what} after healing: {spread}")
    return {
        "one_primary_p99_s": figures.quantile([one.one_primary_s for one in told], 0.99),
        "equal_heads_p99_s": figures.quantile([one.alike_s for one in told], 0.99),
        "rounds": len(told),
        "acknowledged": sum(len(one.revisions) for one in told),
        "lost": lost,
    }


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--rounds", type=int, help=f"cuts of each size ({ROUNDS}; quick: 2)")
    arguments = parser.parse_args(words)
    arguments.rounds = arguments.rounds or (2 if arguments.quick else ROUNDS)
    return figures.measure(lambda: run(arguments), _LIMIT_QUICK_S if arguments.quick else _LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
