"""A clone over our HTTPS against `git http-backend` behind the same server.

    python bench/clone.py [--quick] [--commits N] [--objects N] [--rounds N]

Two servers of the product's own kind (TLS, worker threads), a process each: one serves the
GUI with its clone address, the other a small CGI gateway to `git http-backend`. git clones
the same repository from both in turn; then ten clones run at once from ours, and the memory
of its process and of all it started is read every 50 ms.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures
from bench.figures import Figures, RivalMissing
from bench.history import lay
from bqngui import create_app, server
from bqngui.settings import GuiSettings
from configrepo.factory import FACTORY_ROOT
from configrepo.model import ServerId
from configrepo.revision import CommitId
from configrepo.store import Store
from scheduler.views import Role, TokenMade
from tests.support import fake_scenes
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk

COMMITS = 10_000
OBJECTS = 5_000
ROUNDS = 7
AT_ONCE = 10
MOST_EACH_MB = 2
_CLUSTER = "refs/heads/cluster"
_LIMIT_S = 1200
_LIMIT_QUICK_S = 240
_THREADS = 16
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Site:
    """A server that can be cloned from."""

    pid: int
    url: str
    authority: str
    token: str


def ours(repository: Path, state: Path) -> tuple[Any, str]:
    """The GUI, and a token for its clone address."""
    desk = FakeDesk(fake_scenes.overview_alone(), fake_scenes.cluster_files((0,)), repository)
    desk.put_user(ADMINISTRATOR, "vera", Role.VIEWER, "x", "1")
    made = desk.create_token(ADMINISTRATOR, "vera", "audit", 30, "2")
    assert isinstance(made, TokenMade)
    return create_app(desk, _settings(state)), made.text


def rival(repository: Path, _state: Path) -> tuple[Any, str]:
    """A CGI gateway to git's own server side."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        process = subprocess.Popen(
            ["git", "http-backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(repository.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "REQUEST_METHOD": environ["REQUEST_METHOD"],
                "PATH_INFO": environ["PATH_INFO"],
                "QUERY_STRING": environ.get("QUERY_STRING", ""),
                "CONTENT_TYPE": environ.get("CONTENT_TYPE", ""),
                "HTTP_CONTENT_ENCODING": environ.get("HTTP_CONTENT_ENCODING", ""),
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        assert process.stdin is not None
        assert process.stdout is not None
        length = int(environ.get("CONTENT_LENGTH") or 0)
        process.stdin.write(environ["wsgi.input"].read(length))
        process.stdin.close()
        status, headers = "200 OK", []
        while line := process.stdout.readline().strip().decode():
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = value
            else:
                headers.append((name, value))
        start_response(status, headers)
        return _answer(process)

    return application, ""


def _answer(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    assert process.stdout is not None
    with process.stdout as output:
        while piece := output.read(_PIECE):
            yield piece
    process.wait()


def _settings(state: Path) -> GuiSettings:
    return GuiSettings(
        ServerId(0), state, address="127.0.0.1", port=0, threads=_THREADS, clones=AT_ONCE
    )


def _serve(make: Callable[..., tuple[Any, str]], repository: Path, state: Path, pipe: Any) -> None:
    application, token = make(repository, state)
    running = server.start(application, _settings(state))
    url = f"https://127.0.0.1:{running.port}"
    pipe.send(Site(os.getpid(), url, str(state / "keys" / "gui.crt"), token))
    try:
        pipe.recv()
    except EOFError:
        pass
    finally:
        running.stop()


def start(make: Callable[..., tuple[Any, str]], repository: Path, place: Path) -> Any:
    """Start a server in a process of its own; returns it, its pipe and what it told."""
    place.mkdir()
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(make, repository, place, there))
    process.start()
    there.close()
    return process, here


def stop(process: Any, pipe: Connection) -> None:
    """Stop a server."""
    pipe.send("stop")
    pipe.close()
    process.join(30)
    if process.is_alive():
        process.kill()
        process.join()


def clone(site: Site, path: str, place: Path) -> float:
    """Clone; returns the seconds."""
    credentials = base64.b64encode(f"auditor:{site.token}".encode()).decode()
    began = monotonic()
    subprocess.run(
        [
            *("git", "-c", f"http.sslCAInfo={site.authority}"),
            *("-c", f"http.extraHeader=Authorization: Basic {credentials}"),
            *("clone", "--quiet", "--bare", f"{site.url}{path}", str(place)),
        ],
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
        },
        timeout=600,
    )
    took = monotonic() - began
    shutil.rmtree(place)
    return took


class Watch:
    """Reads the memory of a process and of its descendants until it is told to end."""

    def __init__(self, pid: int) -> None:
        self.program_mb = 0.0
        self.tree_mb = 0.0
        self._pid = pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.05):
            program = figures.resident_mb(self._pid)
            self.program_mb = max(self.program_mb, program)
            below = sum(_resident(pid) for pid in _descendants(self._pid))
            self.tree_mb = max(self.tree_mb, program + below)

    def close(self) -> None:
        """End."""
        self._end.set()
        self._thread.join()


def _resident(pid: int) -> float:
    try:
        return figures.resident_mb(pid)
    except OSError:
        return 0.0


def _descendants(pid: int) -> list[int]:
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(one) for one in (task / "children").read_text().split()]
    except OSError:
        return []
    return found + [below for one in found for below in _descendants(one)]


def run(arguments: argparse.Namespace) -> Figures:
    """Measure."""
    if subprocess.run(["git", "http-backend"], capture_output=True, check=False).returncode == 1:
        raise RivalMissing("git http-backend is missing: install git with its CGI program")
    with TemporaryDirectory(prefix="bqn-clone-") as folder, ExitStack() as stack:
        place = Path(folder)
        repository = place / "config.git"
        with Store.create(repository, None) as store:
            root = CommitId(FACTORY_ROOT)
            lay(repository, _CLUSTER, root, 1_700_000_000, arguments.commits, arguments.objects)
            store.set_head(_CLUSTER)
        sites = []
        for name, make in (("ours", ours), ("rival", rival)):
            process, pipe = start(make, repository, place / name)
            stack.callback(stop, process, pipe)
            sites.append(pipe.recv())
        ours_s, rival_s = compare(sites[0], sites[1], place, arguments.rounds)
        before_mb = figures.resident_mb(sites[0].pid)
        watch = Watch(sites[0].pid)
        stack.callback(watch.close)
        at_once(sites[0], place)
    figures.note(f"ours {median(ours_s):.2f} s, http-backend {median(rival_s):.2f} s")
    figures.note(
        f"{AT_ONCE} clones at once: the program {watch.program_mb:.0f} MB, "
        f"with the git processes {watch.tree_mb:.0f} MB"
    )
    grown_mb = watch.program_mb - before_mb
    bounded = "bounded" if grown_mb <= AT_ONCE * MOST_EACH_MB else "NOT bounded"
    figures.note(
        f"the program grew by {grown_mb:.1f} MB for {AT_ONCE} clones: {bounded} "
        f"(at most {MOST_EACH_MB} MB a clone)"
    )
    return {"vs_http_backend": median(ours_s) / median(rival_s), "rss_mb": watch.program_mb}


def compare(own: Site, other: Site, place: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Clone from both in turn; the first round warms up and is left out."""
    ours_s, rival_s = [], []
    for _ in range(rounds + 1):
        ours_s.append(clone(own, "/git/cluster.git", place / "a.git"))
        rival_s.append(clone(other, "/config.git", place / "b.git"))
    return ours_s[1:], rival_s[1:]


def at_once(site: Site, place: Path) -> None:
    """Ten clones at the same time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        work = [
            pool.submit(clone, site, "/git/cluster.git", place / f"c{number}.git")
            for number in range(AT_ONCE)
        ]
        for one in work:
            one.result()


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--commits", type=int, help=f"in the history ({COMMITS}; quick: 500)")
    parser.add_argument("--objects", type=int, help=f"blocks ({OBJECTS}; quick: 1000)")
    parser.add_argument("--rounds", type=int, help=f"clones from each ({ROUNDS}; quick: 3)")
    arguments = parser.parse_args(words)
    arguments.commits = arguments.commits or (500 if arguments.quick else COMMITS)
    arguments.objects = arguments.objects or (1_000 if arguments.quick else OBJECTS)
    arguments.rounds = arguments.rounds or (3 if arguments.quick else ROUNDS)
    limit_s = _LIMIT_QUICK_S if arguments.quick else _LIMIT_S
    return figures.measure(lambda: run(arguments), limit_s)


if __name__ == "__main__":
    sys.exit(main())
