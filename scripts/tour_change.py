"""Steps 5 and 6 of the tour: change at a secondary, lose the primary, get it back, go back.

Edge: HTTPS and processes.
"""

from __future__ import annotations

from time import monotonic

from scripts.demo_servers import wait_for
from scripts.tour import (
    SETTLING_S,
    Tour,
    check_runs,
    cluster_words,
    command,
    expect,
    facts_of,
    git,
    ref,
    revision_in,
    running_lines,
    send_commit,
    when_settled,
)
from scripts.visitor import Page

TAKEOVER_S = 30


def change_at_a_secondary(tour: Tour) -> str:
    """Edit a block as text in BQN 1's pages; the primary commits it, all three run it."""
    revision = _edit(tour, 1, "rate-10Mbps", "uplink rate 2000", "uplink rate 2500")
    head = when_settled(tour, (0, 1, 2), primary=0)
    expect(head == revision, f"the servers run {head[:12]} instead of {revision[:12]}")
    check_runs(tour, (0, 1, 2), "uplink rate 2500")
    told = _message(tour, revision)
    expect("Server: 0" in told, f"the commit was not made by the primary: {told}")
    tour.notes["before the crash"] = revision
    return f"commit {revision[:12]} made by BQN 0, running on all three"


def lose_the_primary(tour: Tour) -> str:
    """Kill BQN 0 as a crash would; BQN 1 leads, says why and since when, and commits."""
    at_secondary = tour.at(1)
    began = monotonic()
    tour.server(0).kill()
    tour.visitors.pop(0, None)

    def leads() -> bool | None:
        return cluster_words(at_secondary)["Primary"].startswith("BQN 1") or None

    wait_for("BQN 1 to take over", leads, TAKEOVER_S)
    seconds = monotonic() - began
    primary = facts_of(at_secondary.get("/cluster"))["Primary"]
    why = " ".join(p.text for p in primary.find_all("p"))
    expect("BQN 0" in why, f"BQN 1 does not say why it leads: {why}")
    expect(bool(primary.find_all("time")), "BQN 1 does not say since when it leads")
    dashboard = at_secondary.get("/").tree
    expect("BQN 0 does not answer" in dashboard.text, "the dashboard does not say why")
    expect(bool(dashboard.find_all("time")), "the dashboard does not say since when")
    states = [command(tour.server(s), "status").returncode for s in (0, 1)]
    expect(states == [2, 1], f"app.py status says {states} instead of not running and degraded")
    revision = _edit(tour, 1, "rate-30Mbps", "uplink rate 6000", "uplink rate 7000")

    def run_it() -> bool | None:
        refs = {ref(tour.server(s), f"refs/bqn/running/{s}") for s in (1, 2)}
        return refs == {revision} or None

    wait_for("BQN 1 and 2 to run the commit", run_it, SETTLING_S)
    check_runs(tour, (1, 2), "uplink rate 7000")
    expect("Server: 1" in _message(tour, revision, at=1), "the commit was not made by BQN 1")
    tour.notes["while it was away"] = revision
    return f'BQN 1 leads after {seconds:.1f} s and says "{why}"; commit {revision[:12]} made there'


def primary_returns(tour: Tour) -> str:
    """Start BQN 0 again: it catches up, then leads; nothing is lost or overwritten."""
    began = monotonic()
    tour.demo.launch(tour.server(0))
    tour.server(0).wait_until_up()
    head = when_settled(tour, (0, 1, 2), primary=0)
    seconds = monotonic() - began
    repository = str(tour.server(0).state / "config.git")
    for when, revision in tour.notes.items():
        is_kept = git("--git-dir", repository, "merge-base", "--is-ancestor", revision, head)
        expect(is_kept.returncode == 0, f"the commit made {when} is missing: {revision}")
    check_runs(tour, (0, 1, 2), "uplink rate 2500", "uplink rate 7000")
    for server in tour.demo.servers:
        told = command(server, "status")
        expect(told.returncode == 0, f"app.py status of BQN {server.id}: {told.stdout}")
    return f"caught up and leads again after {seconds:.1f} s; no commit is missing"


def roll_back(tour: Tour) -> str:
    """Go back to the revision before the crash, from a secondary; the diff comes first."""
    revision = tour.notes["before the crash"]
    page = tour.at(2).get("/history")
    expect(revision in page.html, "the history does not list the commit")
    page = tour.at(2).get(f"/history/{revision}/rollback")
    for line in ("uplink rate 7000", "uplink rate 6000"):
        expect(line in page.text, f"the diff does not show {line}")
    page = send_commit(tour.at(2), page, "/rollback", "Take back the faster uplink")
    made = revision_in(page)
    head = when_settled(tour, (0, 1, 2), primary=0)
    expect(head == made, f"the servers run {head[:12]} instead of {made[:12]}")
    check_runs(tour, (0, 1, 2), "uplink rate 2500", "uplink rate 6000")
    for server in (0, 1, 2):
        gone = "uplink rate 7000" not in running_lines(tour.server(server))
        expect(gone, f"BQN {server} still runs what was taken back")
    tour.notes["by the rollback"] = made
    return f"diff shown, commit {made[:12]}, running on all three"


def _edit(tour: Tour, server: int, name: str, old: str, new: str) -> str:
    """Change one line of one block as text and commit; returns the commit."""
    visitor = tour.at(server)
    page = visitor.get(f"/configuration?q={name}")
    links = [
        link.attributes["href"]
        for link in page.tree.find_all("a")
        if "/configuration/block?path=" in link.attributes.get("href", "")
        and f"policy/rate/{name}" in link.attributes["href"].replace("%2F", "/")
    ]
    expect(bool(links), f"the configuration does not list {name}")
    page = visitor.get(links[0])
    form = page.form("path", "text", action="/configuration/block")
    text = dict(form.fields)["text"]
    expect(old in text, f"{name} does not have {old}: {text}")
    visitor.send(page, form, {"text": text.replace(old, new)})
    page = _compared(tour, server, new)
    page = send_commit(visitor, page, "/candidate/commit", f"{name}: {new}")
    return revision_in(page)


def _compared(tour: Tour, server: int, line: str) -> Page:
    page = tour.at(server).get("/candidate/compare")
    expect(line in page.text, f"compare does not show {line}")
    return page


def _message(tour: Tour, revision: str, at: int = 0) -> str:
    repository = str(tour.server(at).state / "config.git")
    return git("--git-dir", repository, "log", "-1", "--format=%B", revision).stdout
