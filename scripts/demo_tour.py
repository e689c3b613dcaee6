"""The tour of `scripts/demo --auto`: steps 2 to 7, each verified, in this order.

Edge: HTTPS and processes.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from scripts.demo_servers import Demo
from scripts.tour import Tour
from scripts.tour_audit import clone_and_audit
from scripts.tour_change import (
    change_at_a_secondary,
    lose_the_primary,
    primary_returns,
    roll_back,
)
from scripts.tour_join import (
    add_server,
    look_at_dashboard,
    meet_server,
    unify_with_questions,
    unify_without_question,
)

STEPS: tuple[tuple[str, Callable[[Tour], str]], ...] = (
    ("2 log in at BQN 0", look_at_dashboard),
    ("2 add BQN 1", lambda tour: add_server(tour, 1)),
    ("3 unify BQN 0 and BQN 1", unify_without_question),
    ("4 add BQN 2", lambda tour: meet_server(tour, 2)),
    ("4 unify BQN 2 with the cluster", unify_with_questions),
    ("5 change a block at BQN 1", change_at_a_secondary),
    ("6 kill -9 BQN 0", lose_the_primary),
    ("6 BQN 0 starts again", primary_returns),
    ("6 roll back in the history", roll_back),
    ("7 clone as an auditor", clone_and_audit),
)


def take_tour(demo: Demo, password: str) -> int:
    """Take all steps; stops at the first that fails, because each builds on the one before.

    Returns:
        The exit status: 0 only if each step was verified.
    """
    tour = Tour(demo, password)
    began = monotonic()
    for number, (title, act) in enumerate(STEPS, 1):
        if not tour.take(title, act):
            print(f"{number - 1} of {len(STEPS)} steps verified; logs: {demo.layout.folder}/*.log")
            return 1
    print(f"All {len(STEPS)} steps verified in {monotonic() - began:.0f} s.", flush=True)
    return 0
