"""How long a unification of large configurations takes.

    python -m bench.merge [BLOCKS]

Three versions of a configuration with that many blocks (10,000 by default) are made, a
tenth of them changed on each side, and read, merged and checked as the Unify page does.
"""

from __future__ import annotations

import sys
from time import perf_counter

from configrepo.checks import check_files
from configrepo.git import merge_lines
from configrepo.layout import files_of
from configrepo.merge import merge_files
from configrepo.parser import read


def configuration(blocks: int, changed: int) -> str:
    """A configuration whose blocks with `number % 10 == changed` have another rate."""
    lines = []
    for number in range(blocks):
        rate = 20_000 if number % 10 == changed else 10_000
        lines.append(f"policy rate rate-{number}\n downlink rate {rate}\n uplink rate 2000\n")
    return "".join(lines)


def main() -> None:
    """Print one line a stage."""
    blocks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    began = perf_counter()
    base, a, b = (files_of(read(configuration(blocks, n)).document, "0") for n in (-1, 1, 2))
    print(f"{blocks} blocks read three times: {perf_counter() - began:.2f} s")
    began = perf_counter()
    merged = merge_files(base, a, b, merge_lines)
    print(f"merged: {perf_counter() - began:.2f} s, {len(merged.settled)} rows settled")
    began = perf_counter()
    problems = check_files(merged.files)
    print(f"checked: {perf_counter() - began:.2f} s, {len(problems)} problems")


if __name__ == "__main__":
    main()
