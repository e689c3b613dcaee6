"""What a busy GUI does to the heartbeats: viewers, slow clients, a large upload, a unification.

Three servers as in the demo, two of them a cluster. The GUI of the primary is loaded with
all of it at once, for a bounded time. The kernel notes when the primary's control process
sends to the secondary (`bench.heartbeats`; needs root), and the secondary tells what state
it sees. The target: the largest gap stays below T_suspect, and no role changes.

Edge: processes, sockets, threads.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures
from bench.heartbeats import Heartbeats
from scheduler.console import ask
from scheduler.errors import SchedulerError
from scheduler.presets import PRESETS
from scripts.demo_servers import Demo, Layout
from scripts.tour import Tour, send_commit, when_settled
from scripts.tour_join import add_server, unify_without_question
from scripts.visitor import VisitError, Visitor

VIEWERS, SLOW, OBJECTS, UPLOAD_BYTES, LOAD_S = 50, 200, 5_000, 16 << 20, 60.0
LIMIT_S = 600


class Watch:
    """Asks the secondary again and again who leads, and how it sees the primary."""

    def __init__(self, console: Path) -> None:
        self._console = console
        self.looks = 0
        self.leaders: set[tuple[int | None, int]] = set()
        self.states: set[str] = set()

    def look(self) -> None:
        """One look; a server that is too busy to answer is looked at again."""
        with contextlib.suppress(SchedulerError):
            status = ask(self._console, {"ask": "status"}, 10.0)
            primary = status["servers"][0]
            self.leaders.add((status["primary"], status["term"]))
            self.states.add(primary["state"])
            self.looks += 1


class Deeds:
    """How long each of one kind took, and how many failed; used by several threads."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.took_s: list[float] = []
        self._failures: list[str] = []

    @property
    def failed(self) -> int:
        """How many failed."""
        return len(self._failures)

    def do(self, act: Callable[[Visitor], None], visitor: Visitor) -> None:
        """One more."""
        began = monotonic()
        try:
            act(visitor)
        except (VisitError, OSError) as error:
            self._failures.append(str(error))
        else:
            self.took_s.append(monotonic() - began)

    def told(self) -> str:
        """All of them in words."""
        spread = f", {figures.spread(self.took_s)}" if self.took_s else ""
        first = f" (the first: {self._failures[0][:200]})" if self._failures else ""
        return f"{len(self.took_s)} {self._what}{spread}; {self.failed} failed{first}"


def blocks(numbers: Iterable[int]) -> str:
    """A profile for each number, as a person could paste them."""
    return "".join(
        f"profile access load-{n}\n ip-range 10.{64 + n // 65536}.{n // 256 % 256}.{n % 256}/32\n"
        for n in numbers
    )


def run(quick: bool) -> figures.Figures:
    """Load the GUI of the primary and tell what the secondary saw."""
    share = 0.2 if quick else 1.0
    load_s = 12.0 if quick else LOAD_S
    with tempfile.TemporaryDirectory(prefix="bqn-") as folder:
        demo = Demo(Layout(Path(folder), "127.0.0.1", 9840, 23840, 25840))
        try:
            tour = Tour(demo, demo.start())
            figures.note(add_server(tour, 1))
            figures.note(unify_without_question(tour))
            _fill(tour, int(OBJECTS * share))
            figures.note(add_server(tour, 2))
            when_settled(tour, (0, 1), 0)
            return _measure(tour, share, load_s)
        finally:
            demo.stop()


def _fill(tour: Tour, count: int) -> None:
    """Give BQN 2 many objects, so that unifying it is much work."""
    visitor = tour.at(2)
    page = visitor.get("/configuration/new")
    page = visitor.send(page, page.form("text"), {"text": blocks(range(count))})
    page = visitor.get("/candidate/compare")
    send_commit(visitor, page, "/commit", f"{count} objects")
    figures.note(f"BQN 2 has {count} more objects")


def _measure(tour: Tour, share: float, load_s: float) -> figures.Figures:
    watch = Watch(tour.server(1).state / "run" / "console.sock")
    until = monotonic() + load_s
    pages, uploads, unifications = Deeds("pages"), Deeds("uploads"), Deeds("unifications")
    visitors = [tour.server(0).login(tour.password)[0] for _ in range(4)]
    comments = f"# {'x' * 4000}\n" * (int(UPLOAD_BYTES * share) // 4003 - 1)
    numbers = itertools.count(OBJECTS)

    def view(visitor: Visitor) -> None:
        visitor.get("/dashboard/live")

    def post(visitor: Visitor) -> None:
        page = visitor.get("/configuration/new")
        text = comments + blocks([next(numbers)])
        visitor.send(page, page.form("text"), {"text": text})

    def unify(visitor: Visitor) -> None:
        visitor.get("/unify")

    half = int(VIEWERS * share) // 2
    loads = [
        threading.Thread(target=work, args=arguments, daemon=True)
        for work, arguments in (
            (_viewers, (visitors[0], view, until, half, pages)),
            (_viewers, (visitors[1], view, until, half, pages)),
            (_again, (visitors[2], post, until, uploads)),
            (_again, (visitors[3], unify, until, unifications)),
        )
    ]
    heartbeats = Heartbeats(tour.server(0).control_port, tour.server(1).control_port)
    with closing(heartbeats), _slow_clients(tour.server(0).gui_port, int(SLOW * share)):
        for load in loads:
            load.start()
        while monotonic() < until:
            watch.look()
            sleep(0.02)
        for load in loads:
            load.join()
    suspect_s = PRESETS["lan"].suspect_s
    visitors[0].get("/")  # it still answers
    for deeds in (pages, uploads, unifications):
        figures.note(deeds.told())
    figures.note(
        f"the secondary looked "
        f"{watch.looks} times, states {sorted(watch.states)}, T_suspect {suspect_s} s; the primary "
        f"sent {heartbeats.count} times, at most {heartbeats.largest_gap_s:.2f} s apart"
    )
    return {
        "largest_gap_s": heartbeats.largest_gap_s,
        "suspect_s": suspect_s,
        "role_changes": len(watch.leaders) - 1,
        "page_p95_s": figures.quantile(pages.took_s, 0.95),
        "failed": sum(deeds.failed for deeds in (pages, uploads, unifications)),
    }


def _again(visitor: Visitor, act: Callable[[Visitor], None], until: float, deeds: Deeds) -> None:
    while monotonic() < until:
        deeds.do(act, visitor)


def _viewers(
    visitor: Visitor, act: Callable[[Visitor], None], until: float, viewers: int, deeds: Deeds
) -> None:
    """So many viewers who each look every two seconds, one after the other."""
    while monotonic() < until:
        began = monotonic()
        for _ in range(viewers):
            deeds.do(act, visitor)
        sleep(max(0.0, min(until, began + 2.0) - monotonic()))


@contextlib.contextmanager
def _slow_clients(port: int, count: int) -> Iterator[None]:
    """Clients that connect and say nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5.0))
        yield


def main() -> int:
    """Run it from the command line."""
    quick = figures.options(__doc__).parse_args().quick
    return figures.measure(lambda: run(quick), 120 if quick else LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
