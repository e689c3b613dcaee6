"""How long a person waits after *commit*: until it is saved here, and on one more server.

    python bench/commit_latency.py [--quick] [--commits N] [--objects N] [--times N]

Whole programs: the demo's BQN 0 and 1 are joined through their pages, stopped, given a
long history over many objects, and started again. Then one block after another is changed
through the pages of the primary. *Saved* is the answer to the commit form (HTTPS, with a
connection of its own) with the setting `ack = "local"`; *one* the same with `ack = "one"`,
where the answer waits for the other server's disk. It has no rival.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures
from bench.figures import Figures
from bench.history import block, lay
from configrepo.layout import files_of
from configrepo.parser import read
from configrepo.revision import CommitId
from configrepo.store import Store
from scripts.demo_servers import Demo, DemoServer, Layout
from scripts.page_reader import Element
from scripts.tour import Tour, git, ref, when_settled
from scripts.tour_join import add_server, unify_without_question
from scripts.visitor import Visitor
from tests.support.sshd import free_port

COMMITS = 10_000
OBJECTS = 5_000
TIMES = 60
_CLUSTER = "refs/heads/cluster"
_LIMIT_S = 1800
_LIMIT_QUICK_S = 240
_SETTLING_S = 300
_PAIR = (0, 1)


class Timed(Visitor):
    """A session that remembers how long the last POST took until its answer."""

    post_s = 0.0

    @classmethod
    def of(cls, server: DemoServer, known: Visitor) -> Timed:
        """The session `known` of a server, with a clock."""
        plain = server.visitor()
        timed = cls(plain._address, plain._port, plain._context)
        timed._cookies = dict(known._cookies)
        return timed

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, str | None, str]:
        began = monotonic()
        answer = super()._request(method, path, body)
        if method == "POST":
            self.post_s = monotonic() - began
        return answer


class Pair:
    """BQN 0 and BQN 1, joined."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        # Three consecutive ports each, below the ephemeral ones.
        layout = Layout(folder, "127.0.0.1", _ports(), _ports(), _ports())
        self.demo = Demo(layout)
        stack.callback(self.demo.stop)
        self.tour = Tour(self.demo, self.demo.start())
        self.demo.servers[2].stop()
        add_server(self.tour, 1)
        unify_without_question(self.tour)

    def stop(self) -> None:
        """Stop both."""
        for server in _PAIR:
            self.demo.servers[server].ask_to_stop()
        for server in _PAIR:
            self.demo.servers[server].stop()

    def start(self, ack: str) -> None:
        """Start both, with that setting, and wait until they are settled."""
        for number in _PAIR:
            server = self.demo.servers[number]
            server.write_settings()
            with server.settings.open("a") as file:
                file.write(f'[replication]\nack = "{ack}"\n')
            self.demo.launch(server)
        for number in _PAIR:
            self.demo.servers[number].wait_until_up()
        self.tour.visitors.clear()
        when_settled(self.tour, _PAIR, primary=0, seconds=_SETTLING_S)

    def lay(self, commits: int, objects: int) -> None:
        """Give both the same long history below `cluster`."""
        repositories = [self.demo.servers[one].state / "config.git" for one in _PAIR]
        head = CommitId(ref(self.demo.servers[0], _CLUSTER))
        with Store.open(repositories[0], None) as store:
            since = int(store.revision(head).time.timestamp()) - commits - 10
        lay(repositories[0], _CLUSTER, head, max(since, 1), commits, objects)
        new = ref(self.demo.servers[0], _CLUSTER)
        # Both get the same files, as if it had been replicated and packed long ago.
        for file in (repositories[0] / "objects" / "pack").iterdir():
            shutil.copy(file, repositories[1] / "objects" / "pack")
        git("--git-dir", str(repositories[1]), "update-ref", _CLUSTER, new, head)

    def change(self, number: int, rate: int) -> float:
        """Change one object through the pages; seconds until the commit is answered."""
        visitor = Timed.of(self.demo.servers[0], self.tour.at(0))
        path = next(iter(files_of(read(block(number, 0)).document, "0")))
        page = visitor.get(f"/configuration/block?path={path}")
        form = page.form("path", "text", action="/configuration/block")
        visitor.send(page, form, {"text": block(number, rate)})
        page = visitor.get("/candidate/compare")
        form = page.form("message", "request_id", action="/candidate/commit")
        page = visitor.send(page, form, {"message": f"bench-{number}: {rate}"})
        if "/history/" not in page.path:
            main: list[Element] = page.tree.find_all("main")
            raise RuntimeError(f"not committed: {(main[0] if main else page.tree).text[:300]}")
        return visitor.post_s

    def changes(self, times: int, first: int) -> list[float]:
        """Change so many objects; the first change warms up and is left out."""
        return [self.change(n, 50_000 + first + n) for n in range(times + 1)][1:]


def _ports() -> int:
    while True:
        port = free_port()
        if port < 65_000:
            return port


def run(arguments: argparse.Namespace) -> Figures:
    """Measure."""
    folder = Path(mkdtemp(prefix="bqn-lat-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        pair = Pair(folder, stack)
        pair.stop()
        began = monotonic()
        pair.lay(arguments.commits, arguments.objects)
        figures.note(f"the history is there after {monotonic() - began:.0f} s")
        pair.start("local")
        saved = pair.changes(arguments.times, 0)
        pair.stop()
        pair.start("one")
        one = pair.changes(arguments.times, arguments.times)
        repository = str(pair.demo.servers[0].state / "config.git")
        commits = int(git("--git-dir", repository, "rev-list", "--count", _CLUSTER).stdout)
        tree = git("--git-dir", repository, "ls-tree", "-r", "--name-only", _CLUSTER).stdout
    return tell(saved, one, commits, len(tree.splitlines()))


def tell(saved: list[float], one: list[float], commits: int, objects: int) -> Figures:
    """The figures in words, and as values."""
    figures.note(f"saved here: {figures.spread(saved)}")
    figures.note(f"on one other server: {figures.spread(one)}")
    return {
        "saved_p95_ms": figures.quantile(saved, 0.95) * 1000,
        "one_p95_ms": figures.quantile(one, 0.95) * 1000,
        "commits": commits,
        "objects": objects,
    }


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--commits", type=int, help=f"in the history ({COMMITS}; quick: 500)")
    parser.add_argument("--objects", type=int, help=f"blocks ({OBJECTS}; quick: 500)")
    parser.add_argument("--times", type=int, help=f"changes of each kind ({TIMES}; quick: 10)")
    arguments = parser.parse_args(words)
    arguments.commits = arguments.commits or (500 if arguments.quick else COMMITS)
    arguments.objects = arguments.objects or (500 if arguments.quick else OBJECTS)
    arguments.times = arguments.times or (10 if arguments.quick else TIMES)
    limit_s = _LIMIT_QUICK_S if arguments.quick else _LIMIT_S
    return figures.measure(lambda: run(arguments), limit_s)


if __name__ == "__main__":
    sys.exit(main())
