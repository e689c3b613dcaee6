"""What each step of the tour needs: to print its result, to read pages, to ask git.

A page is believed only together with the disk: whether a server runs a commit is also
read from its refs with git and from its running configuration.

Edge: processes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from scripts.demo_servers import APP, Demo, DemoError, DemoServer, wait_for
from scripts.page_reader import Element
from scripts.visitor import Page, VisitError, Visitor

SETTLING_S = 60


class StepError(Exception):
    """A step did not give what it must; the message says what was found."""


@dataclass
class Tour:
    """The demo, the sessions, and what earlier steps found out."""

    demo: Demo
    password: str
    visitors: dict[int, Visitor] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def server(self, server_id: int) -> DemoServer:
        """One of the three servers."""
        return self.demo.servers[server_id]

    def at(self, server_id: int) -> Visitor:
        """The session at a server; logs in at the first use."""
        if server_id not in self.visitors:
            self.visitors[server_id], _ = self.server(server_id).login(self.password)
        return self.visitors[server_id]

    def take(self, title: str, act: Callable[[Tour], str]) -> bool:
        """Take one step and print its result and time; returns whether it succeeded."""
        began = monotonic()
        try:
            result = act(self)
        except (StepError, DemoError, VisitError, OSError) as error:
            print(f"FAILED {monotonic() - began:5.1f} s  {title}\n       {error}", flush=True)
            return False
        print(f"ok     {monotonic() - began:5.1f} s  {title}: {result}", flush=True)
        return True


def expect(condition: bool, sentence: str) -> None:
    """Raise a `StepError` with the sentence unless the condition holds."""
    if not condition:
        raise StepError(sentence)


def facts_of(page: Page) -> dict[str, Element]:
    """What a page tells as pairs of term and description."""
    found: dict[str, Element] = {}
    for pair in page.tree.find_all("div"):
        terms = [c for c in pair.children if isinstance(c, Element) and c.tag == "dt"]
        told = [c for c in pair.children if isinstance(c, Element) and c.tag == "dd"]
        if terms and told:
            found[terms[0].text] = told[0]
    return found


def mark_of(element: Element) -> str:
    """The word of the first mark in an element ("" if there is none)."""
    marks = element.find_all("span", "mark")
    return marks[0].text if marks else ""


def cluster_words(visitor: Visitor) -> dict[str, str]:
    """State, status and primary as the cluster page of a server says them."""
    facts = facts_of(visitor.get("/cluster"))
    words = {name: mark_of(facts[name]) for name in ("State", "Status")}
    return words | {"Primary": facts["Primary"].text}


def when_settled(
    tour: Tour, servers: tuple[int, ...], primary: int, seconds: float = SETTLING_S
) -> str:
    """Wait until each of these servers sees the cluster ready, complete and led by `primary`.

    Returns:
        The commit that they all have and run, read from their repositories.
    """
    last: dict[int, object] = {}

    def settled() -> str | None:
        heads = set()
        for server in servers:
            last[server] = words = cluster_words(tour.at(server))
            if (words["State"], words["Status"]) != ("ready", "complete"):
                return None
            if not words["Primary"].startswith(f"BQN {primary}"):
                return None
        for server in servers:
            own = tour.server(server)
            heads |= {ref(own, "refs/heads/cluster"), ref(own, f"refs/bqn/running/{server}")}
        return heads.pop() if len(heads) == 1 and "" not in heads else None

    try:
        return wait_for("the cluster to be ready and complete", settled, seconds)
    except DemoError as error:
        raise StepError(f"{error}; last seen: {last}") from None


def git(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run git without the settings of the person who runs the tour."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    clean |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    clean |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", **(env or {})}
    return subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, env=clean, timeout=120
    )


def command(server: DemoServer, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program for one server."""
    return subprocess.run(
        [*APP, *words, "--settings", str(server.settings)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ref(server: DemoServer, name: str) -> str:
    """The commit at a ref of a server's repository; "" if there is none."""
    repository = str(server.state / "config.git")
    return git("--git-dir", repository, "rev-parse", "--verify", "-q", name).stdout.strip()


def parents(server: DemoServer, commit: str) -> list[str]:
    """The parents of a commit."""
    repository = str(server.state / "config.git")
    told = git("--git-dir", repository, "rev-list", "--parents", "-n", "1", commit).stdout
    return told.split()[1:]


def running_lines(server: DemoServer) -> set[str]:
    """The lines of what a server runs, without indent."""
    text = (server.state / "running.conf").read_text(encoding="utf-8")
    return {line.strip() for line in text.splitlines()}


def check_runs(tour: Tour, servers: tuple[int, ...], *lines: str) -> None:
    """Each of these servers must run each of these lines."""
    for server in servers:
        missing = set(lines) - running_lines(tour.server(server))
        expect(not missing, f"BQN {server} does not run {', '.join(sorted(missing))}")


def send_commit(visitor: Visitor, page: Page, action: str, message: str) -> Page:
    """Send the commit form of a page with a message."""
    form = page.form("message", "request_id", action=action)
    return visitor.send(page, form, {"message": message})


def revision_in(page: Page) -> str:
    """The commit that a page of the history shows, from its address."""
    found = re.search(r"/history/([0-9a-f]{40})", page.path)
    if found is None:
        raise StepError(f"{page.path} is not the page of a commit: {page.text[:300]}")
    return found[1]
