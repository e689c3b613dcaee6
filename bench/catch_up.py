"""A server that was away, or was reached only through another one: until it is in sync.

    python bench/catch_up.py [--quick] [--commits N]

Three whole servers, each in a network namespace, preset *lan*. BQN 2 is stopped as planned,
commits are saved through the pages of BQN 0, BQN 2 is started. Then its link to BQN 0 is
cut (BQN 1 still reaches both, so BQN 2 follows BQN 0 all the time, but commits are not
passed on by others), as many commits are saved, and the link comes back. Needs root.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures, namespaces
from bench.figures import Figures
from tests.support.whole_servers import NotTaken, WholeCluster, until

COMMITS = 50
_CUT_S = 30.0
"""Long enough that the pauses between attempts have grown."""

_LIMIT_S = 900
_CHAIN = ((0, 1), (1, 2))
_AWAY = 2


def save(cluster: WholeCluster, number: int) -> None:
    """One more commit through the pages of the primary."""
    path = "common/ntp.conf" if cluster[0].file("common/ntp.conf") else None
    told = cluster[0].save(f"ntp\n server 192.0.2.{number % 250 + 1}\n", path)
    if isinstance(told, NotTaken):
        raise RuntimeError(told.sentence)


def sync_of(cluster: WholeCluster) -> str:
    """What the primary says of the server that was away."""
    servers = cluster[0].status().get("servers", ())
    return next((str(one["sync"]) for one in servers if one["id"] == _AWAY), "unknown")


def in_sync_after(cluster: WholeCluster, since: float) -> tuple[float, float]:
    """Seconds until it has the newest commit, and until the primary calls it in sync."""
    head = cluster[0].head()
    has = until("it has the newest commit", lambda: cluster[_AWAY].head() == head, cluster.told)
    same = until("it is in sync", lambda: sync_of(cluster) == "in sync", cluster.told)
    return has - since, same - since


def run(commits: int) -> Figures:
    """Measure both."""
    namespaces.require()
    folder = Path(tempfile.mkdtemp(prefix="bqn-"))
    cluster = WholeCluster(f"bqnc{os.getpid()}", folder, 3)
    try:
        cluster.ready()
        cluster[_AWAY].stop()
        for number in range(commits):
            save(cluster, number)
        began = monotonic()
        cluster[_AWAY].start()
        back, back_in_sync = in_sync_after(cluster, began)
        figures.note(f"started after {commits} commits: it has them {back:.1f} s later,")
        figures.note(f"and is in sync {back_in_sync:.1f} s later (its start is part of that)")
        cluster.ready()
        cluster.only(*_CHAIN)
        until("the link is missed", lambda: sync_of(cluster) != "in sync", cluster.told)
        for number in range(commits):
            save(cluster, commits + number)
        threading.Event().wait(_CUT_S)
        linked, linked_in_sync = in_sync_after(cluster, cluster.heal())
        figures.note(f"after a cut with {commits} commits: it has them {linked:.1f} s later,")
        figures.note(f"and is in sync {linked_in_sync:.1f} s later")
    finally:
        cluster.close()
        shutil.rmtree(folder)
    return {
        "back_s": back,
        "back_in_sync_s": back_in_sync,
        "linked_s": linked,
        "linked_in_sync_s": linked_in_sync,
        "commits": commits,
    }


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--commits", type=int, help=f"commits while away ({COMMITS}; quick: 10)")
    arguments = parser.parse_args(words)
    commits = arguments.commits or (10 if arguments.quick else COMMITS)
    return figures.measure(lambda: run(commits), _LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
