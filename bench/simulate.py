"""How the election holds in many drawn scenarios, and in long calm with lost packets.

    python -m bench.simulate [--count N] [--seed S] [--quick]
    python -m bench.simulate --only SEED          what one seed shows, in full
    python -m bench.simulate --servers 2-32       larger clusters
    python -m bench.simulate --calm               role changes in 100,000 s at 1, 5 and 10 % loss
    python -m bench.simulate --large [N]          256 servers (or N) once

It runs the very code of `scheduler/election.py`. The last line is one JSON object. A
scenario that breaks an invariant is printed with its seed, which shows it again; then the
exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scheduler.presets import PRESETS
from tests.simulator import invariants
from tests.simulator.calm_time import Calm, calm_time
from tests.simulator.campaign import results
from tests.simulator.scenario import simulate
from tests.simulator.world import World

_QUICK = 200
_PARTS = 10
_LOSSES = (0.01, 0.05, 0.10)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Simulate the election of the BQN cluster.")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--only", type=int, help="run this seed alone")
    parser.add_argument("--servers", default="2-8", help="fewest-most")
    parser.add_argument("--calm", action="store_true")
    parser.add_argument("--seconds", type=float, default=100_000.0, help="of --calm")
    parser.add_argument("--large", type=int, nargs="?", const=256, metavar="N")
    parser.add_argument("--quick", action="store_true", help="at most a minute")
    chosen = parser.parse_args(arguments)
    if chosen.calm:
        return _calm(10_000.0 if chosen.quick else chosen.seconds)
    if chosen.large is not None:
        return _large(chosen.large)
    fewest, most = (int(number) for number in chosen.servers.split("-"))
    first = chosen.seed if chosen.only is None else chosen.only
    count = (
        1
        if chosen.only is not None
        else min(chosen.count, _QUICK)
        if chosen.quick
        else chosen.count
    )
    return _scenarios(range(first, first + count), (fewest, most))


def _scenarios(seeds: range, counts: tuple[int, int]) -> int:
    began = time.monotonic()
    total = {"scenarios": 0, "violations": 0, "acknowledged": 0, "lost": 0}
    waived = 0
    found = [simulate(seeds[0], counts=counts)] if len(seeds) == 1 else results(seeds, counts)
    for result in found:
        total["scenarios"] += 1
        total["acknowledged"] += result.acknowledged
        total["lost"] += result.lost
        waived += result.waived
        if result.violation:
            total["violations"] += 1
            again = f"python -m bench.simulate --only {result.seed}"
            if counts != (2, 8):
                again += f" --servers {counts[0]}-{counts[1]}"
            print(f"seed {result.seed}: {result.violation}\n  again: {again}")
    print(f"{total['scenarios']} scenarios in {time.monotonic() - began:.0f} s")
    print(f"{waived} more commits were on one disk only, and that disk was lost")
    print(json.dumps(total))
    return 1 if total["violations"] or total["lost"] else 0


def _calm(seconds: float) -> int:
    jobs = [(name, loss, part) for name in PRESETS for loss in _LOSSES for part in range(_PARTS)]
    with ProcessPoolExecutor() as pool:
        runs = list(pool.map(_calm_part, jobs, [seconds / _PARTS] * len(jobs)))
    table: dict[str, dict[str, int]] = {}
    for (name, loss, _), run in zip(jobs, runs, strict=True):
        row = table.setdefault(f"{name} {loss:.0%}", {"changes": 0, "takeovers": 0})
        row["changes"] += run.changes
        row["takeovers"] += run.takeovers
    for title, row in table.items():
        print(f"{title}: {row['changes']} role changes, {row['takeovers']} false take-overs")
    print(json.dumps({"seconds": seconds, **table}))
    return 1 if any(row["changes"] for title, row in table.items() if title.endswith(" 1%")) else 0


def _calm_part(job: tuple[str, float, int], seconds: float) -> Calm:
    name, loss, part = job
    return calm_time(1000 + part, PRESETS[name], loss, seconds)


def _large(count: int) -> int:
    """Many servers start, the primary dies, the next one leads, it comes back."""
    began, world = time.monotonic(), World(256, count, PRESETS["lan"])
    for number in range(count):
        world.boot(number)
    times = {}
    for name, fault in (("start", None), ("crash", world.crash), ("return", world.boot)):
        if fault is not None:
            fault(0)
        at = world.now
        while not invariants.agreed(world) and world.now < at + 120:
            world.run(0.5)
        times[f"{name}_s"] = round(world.now - at, 1)
        print(f"{name}: agreed after {times[f'{name}_s']} s", flush=True)
        invariants.check_agreement(world)
    print(json.dumps({"servers": count, **times, "took_s": round(time.monotonic() - began)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
