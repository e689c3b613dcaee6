"""Steps 2 to 4 of the tour: add BQN 1 without a question, BQN 2 without a code, with three.

Edge: HTTPS.
"""

from __future__ import annotations

from scripts.demo_servers import wait_for
from scripts.page_reader import Element
from scripts.tour import Tour, check_runs, expect, mark_of, parents, ref, when_settled
from scripts.visitor import Page

CODE_WAIT_S = 30
ASKED_KEYS = {"hours", "downlink rate", "uplink rate"}
EDITED_UPLINK = "uplink rate 4500"


def look_at_dashboard(tour: Tour) -> str:
    """One box, alone, and the traffic is called simulated."""
    page = tour.at(0).get("/")
    boxes = page.tree.find_all("li", "box")
    expect(len(boxes) == 1, f"the dashboard shows {len(boxes)} boxes instead of one")
    expect("BQN 0" in boxes[0].text, "the box is not that of BQN 0")
    expect("simulated traffic" in boxes[0].text, "the traffic is not labelled as simulated")
    return "one box, BQN 0, its traffic labelled as simulated"


def add_server(tour: Tour, joiner: int) -> str:
    """Invite at BQN 0, join at the other, compare the fingerprints, accept."""
    demo = tour.demo.layout
    page = tour.at(0).get("/cluster/add")
    form = page.form("other_id", "other_address", "own_address", "other_ssh_port")
    page = tour.at(0).send(
        page,
        form,
        {
            "other_id": str(joiner),
            "other_address": demo.address,
            "own_address": demo.address,
            "other_ssh_port": str(tour.server(joiner).ssh_port),
            "other_control_port": str(tour.server(joiner).control_port),
        },
    )
    ways = _ways(page)
    code = page.tree.find_all("textarea", id="join-code")[0].raw_text.strip()
    page = tour.at(joiner).get("/cluster/add")
    form = page.form("code", "own_address", "own_ssh_port")
    tour.at(joiner).send(
        page,
        form,
        {
            "code": code,
            "own_address": demo.address,
            "own_ssh_port": str(tour.server(joiner).ssh_port),
        },
    )
    page = wait_for(f"BQN {joiner} to knock", lambda: _knocking(tour, joiner), CODE_WAIT_S)
    ways |= _ways(page)
    expect(len(ways) == 4, f"four ways must be checked, the pages show {sorted(ways)}")
    here = _fingerprint(page)
    there = wait_for(
        f"BQN {joiner} to show its fingerprint",
        lambda: _fingerprint(tour.at(joiner).get("/cluster/add")) or None,
        CODE_WAIT_S,
    )
    expect(here == there, f"the fingerprints differ: {here!r} and {there!r}")
    accept = page.form("fingerprint", action="/cluster/accept")
    page = tour.at(0).send(page, accept, {})
    expect(page.path == "/unify", f"accepting leads to {page.path} instead of /unify")
    return "both ports reachable in both directions, code taken, fingerprints equal, accepted"


def meet_server(tour: Tour, joiner: int) -> str:
    """Say id and address at both servers, compare what both show, confirm at both."""
    demo = tour.demo.layout
    page = tour.at(0).get("/cluster/add")
    values = _where(tour, joiner) | {"own_address": demo.address}
    tour.at(0).send(page, page.form(action="/cluster/invite"), values, press="by hand")
    page = tour.at(joiner).get("/cluster/add")
    own = {"own_address": demo.address, "own_ssh_port": str(tour.server(joiner).ssh_port)}
    tour.at(joiner).send(page, page.form(action="/cluster/meet"), _where(tour, 0) | own)
    there = wait_for(
        f"BQN {joiner} to show BQN 0", lambda: _with(tour, joiner, "/cluster/confirm"), CODE_WAIT_S
    )
    here = wait_for(
        f"BQN 0 to show BQN {joiner}", lambda: _with(tour, 0, "/cluster/accept"), CODE_WAIT_S
    )
    numbers = _fingerprint(here), _fingerprint(there)
    expect(numbers[0] == numbers[1] != "", f"the numbers differ: {numbers}")
    keys = _keys(here), _keys(there)
    expect(keys[0] == keys[1], f"the fingerprints differ: {keys}")
    expect(len(keys[0]) == 4, f"not every key is shown: {keys[0]}")
    tour.at(joiner).send(there, there.form(action="/cluster/confirm"), {})
    here = wait_for("the other confirmation", lambda: _confirmed_there(tour), CODE_WAIT_S)
    page = tour.at(0).send(here, here.form(action="/cluster/accept"), {})
    expect(page.path == "/unify", f"confirming leads to {page.path} instead of /unify")
    return "id and address said at both, number and four fingerprints equal, confirmed at both"


def _where(tour: Tour, server: int) -> dict[str, str]:
    return {
        "other_id": str(server),
        "other_address": tour.demo.layout.address,
        "other_ssh_port": str(tour.server(server).ssh_port),
        "other_control_port": str(tour.server(server).control_port),
    }


def _with(tour: Tour, server: int, action: str) -> Page | None:
    page = tour.at(server).get("/cluster/add")
    for section in page.tree.find_all("section", aria_labelledby="progress-title"):
        expect("Joining failed" not in section.text, f"BQN {server} says: {section.text}")
    return page if page.has_form(action) else None


def _confirmed_there(tour: Tour) -> Page | None:
    page = _with(tour, 0, "/cluster/accept")
    return page if page and "It was confirmed there" in page.tree.text else None


def _keys(page: Page) -> list[str]:
    return sorted(
        code.text for shown in page.tree.find_all("dl", "shown") for code in shown.find_all("code")
    )


def _fingerprint(page: Page) -> str:
    return " ".join(shown.text for shown in page.tree.find_all("p", "fingerprint"))


def _knocking(tour: Tour, joiner: int) -> Page | None:
    page = tour.at(0).get("/cluster/add")
    if page.has_form("/cluster/accept"):
        return page
    told = tour.at(joiner).get("/cluster/add")
    for section in told.tree.find_all("section", aria_labelledby="progress-title"):
        expect("Joining failed" not in section.text, f"BQN {joiner} says: {section.text}")
    return None


def _ways(page: Page) -> set[str]:
    """The checked ways, each of which must be open."""
    found = set()
    for way in page.tree.find_all("li", "reach"):
        expect(mark_of(way) == "ok", f"a way is not open: {way.text}")
        found.add(way.find_all("span", "reach-way")[0].text)
    return found


def unify_without_question(tour: Tour) -> str:
    """BQN 0 and 1: every row is proposed, none is asked; the commit has two parents."""
    page = tour.at(0).get("/unify")
    asked = page.tree.find_all("fieldset", "ask")
    expect(not asked, f"{len(asked)} questions are asked, there should be none")
    told = page.tree.find_all(css_class="tell")
    for row in told:
        sides = {term.text for term in row.find_all("dt")}
        complete = sides == {"Factory default", "BQN 0", "BQN 1", "Proposal"}
        expect(complete and bool(row.find_all("p", "why")), f"a row does not say all: {row.text}")
    text = page.text
    for word in ("servers/1/interface", "route", "216.229.0.50", "*.nperf.com"):
        expect(word in text, f"the page does not show {word}")
    lines = {0: ref(tour.server(0), "refs/heads/server/0")}
    lines[1] = ref(tour.server(1), "refs/heads/server/1")
    _commit_unification(tour, page, "Unify BQN 1 with BQN 0")
    head = when_settled(tour, (0, 1), primary=0)
    expect(parents(tour.server(1), head) == [lines[0], lines[1]], "the commit has other parents")
    check_runs(tour, (0, 1), "server 216.229.0.50", "signature *.nperf.com")
    check_runs(tour, (0,), "hostname bqn0", "ip address 192.168.56.111/24")
    check_runs(tour, (1,), "hostname bqn1", "ip address 192.168.56.112/24", "mtu 1500")
    return f"{len(told)} rows shown, no question; both servers run {head[:12]}, ready, complete"


def unify_with_questions(tour: Tour) -> str:
    """BQN 2: three keys are asked, two rows acknowledged, an open or bad row is refused."""
    page = tour.at(0).get("/unify")
    asked = _fieldsets(page, "group-disagreement")
    running = _fieldsets(page, "group-changes-running")
    expect(set(asked) == ASKED_KEYS, f"the page asks for {sorted(asked)}")
    expect(len(running) == 2, f"{len(running)} rows want an acknowledgement: {sorted(running)}")

    answers = {asked["hours"]: "joiner", asked["downlink rate"]: "cluster"}
    page = _answer(tour, page, answers, "save")
    refused = _answer(tour, page, {}, "compare", status=422)
    expect("still open" in refused.text, "an open row did not stop the commit")

    uplink = asked["uplink rate"]
    edit = uplink.replace("take:", "edit:", 1)
    answers = {uplink: "edit", edit: "uplink rate fast"}
    answers |= dict.fromkeys(running.values(), "proposal")
    page = _answer(tour, page, answers, "save", status=422)
    expect(bool(page.tree.find_all("p", "fault")), "a value that cannot be read was taken")
    page = _answer(tour, page, {uplink: "edit", edit: EDITED_UPLINK}, "save")
    page = tour.at(0).get("/unify")
    expect(not page.tree.find_all("fieldset", "is-open"), "answers did not survive a reload")

    _commit_unification(tour, page, "Unify BQN 2 with the cluster")
    head = when_settled(tour, (0, 1, 2), primary=0)
    check_runs(
        tour,
        (0, 1, 2),
        "hours 18:00-24:00",
        "downlink rate 20000 burst-rate 30000 burst-duration 10 burst-threshold 16000",
        EDITED_UPLINK,
        "clock timezone Atlantic/Canary",
        "minimum-rate 80000",
        "rule access plan-100M policy rate-100Mbps",
    )
    return f"3 asked, 2 acknowledged, open and bad rows refused; all three run {head[:12]}"


def _fieldsets(page: Page, group: str) -> dict[str, str]:
    """The asked rows of a group: key to the name of its radios."""
    found = {}
    for section in page.tree.find_all("section", aria_labelledby=group):
        for row in section.find_all("fieldset", "ask"):
            keys = row.find_all("code", "row-key") or row.find_all("span", "row-title")
            radios = row.find_all("input", type="radio")
            found[keys[0].text] = radios[0].attributes["name"]
    return found


def _answer(
    tour: Tour, page: Page, values: dict[str, str], press: str, status: int | None = None
) -> Page:
    form = page.form("action", action="/unify")
    return tour.at(0).send(page, form, values, press=press, status=status)


def _commit_unification(tour: Tour, page: Page, message: str) -> None:
    page = _answer(tour, page, {}, "compare")
    expect(page.path == "/unify/compare", f"the effect is not shown: {_main(page).text[:300]}")
    form = page.form("message", "request_id", action="/unify/commit")
    page = tour.at(0).send(page, form, {"message": message})
    expect(page.path == "/cluster", f"not committed: {_main(page).text[:300]}")


def _main(page: Page) -> Element:
    return (page.tree.find_all("main") or [page.tree])[0]
