"""A server behind a router that translates addresses, in namespaces, with the kernel's own NAT.

It joins, as it can dial out. The doctor names what is missing, its ready lines mend it when
they are entered at the router, and so does an address of its own for one server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import pytest

from bench import namespaces
from bench.figures import RivalMissing
from configrepo.members import members_of
from scripts.visitor import Page
from tests.support.translated import INSIDE, ROUTER, Translated
from tests.support.whole_servers import CONTROL, SSH, WholeCluster, WholeServer, running, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

_FORWARD = re.compile(r"nft (insert rule ip nat prerouting \S.*)")


@pytest.fixture(scope="module")
def pair() -> Iterator[WholeCluster]:
    """BQN 0 outside, BQN 1 behind the router."""
    try:
        namespaces.require()
    except RivalMissing as missing:
        pytest.skip(str(missing))
    # BQN 0 cannot ask BQN 1 what it runs yet, so the cluster is not complete for it.
    with running(2, network_of=Translated, awaited=lambda one: one.led_by(0, 0)) as cluster:
        yield cluster


def router(pair: WholeCluster) -> Translated:
    return cast(Translated, pair.network)


def examined(server: WholeServer) -> Page:
    """The page *Connectivity* of a server after a run."""
    visitor = server.visitor()
    page = visitor.get("/doctor")
    visitor.send(page, page.form(action="/doctor/start"), {})
    pages: list[Page] = []

    def done() -> bool:
        pages.append(visitor.get("/doctor"))
        return "Every server tried every other one" in pages[-1].text

    until("the doctor is done", done, lambda: pages[-1].text)
    return pages[-1]


def finds(server: WholeServer, *wanted: tuple[str, str]) -> Page:
    """Examine until this is what is found; on a busy machine something may be too slow, too."""
    pages: list[Page] = []

    def found() -> bool:
        pages.append(examined(server))
        return sorted(findings(pages[-1])) == sorted(wanted)

    until(f"BQN {server.number} finds {wanted}", found, lambda: findings(pages[-1]))
    return pages[-1]


def not_forwarded(control: int, ssh: int) -> list[tuple[str, str]]:
    """What is found where the router forwards neither of these ports."""
    return [
        (
            "port not forwarded",
            f"BQN 0 does not reach BQN 1 {lane} ({ROUTER}, TCP {port}): "
            "its address is translated and nothing is forwarded to it.",
        )
        for lane, port in (("on its control port", control), ("over SSH", ssh))
    ]


def findings(page: Page) -> list[tuple[str, str]]:
    """Cause and sentence of each line."""
    items = [
        item for found in page.tree.find_all("ul", "findings") for item in found.find_all("li")
    ]
    return [(item.find_all("span")[0].text, item.find_all("p")[0].text) for item in items]


def lines_for_the_router(page: Page) -> list[str]:
    """The ready lines for nftables that the page says to enter at the router."""
    lines = [code.text for code in page.tree.find_all("code")]
    return [match[1] for line in lines if (match := _FORWARD.fullmatch(line))]


def enter(pair: WholeCluster, lines: list[str]) -> None:
    for line in lines:
        router(pair).at_router("nft", line)


def dial(pair: WholeCluster, values: dict[str, str]) -> None:
    """Change where BQN 1 is dialled, as an administrator does, and wait until both know."""
    visitor = pair[0].visitor()
    page = visitor.get("/cluster/servers/1")
    shown = visitor.send(page, page.form("address", "ssh_port"), values)
    done = visitor.send(shown, shown.form("operation", "request_id"), {})
    assert done.status == 200, done.text

    def known() -> bool:
        return all(values["address"] == address_at(server) for server in pair.servers)

    until("both know the new address", known, pair.told)


def address_at(server: WholeServer) -> str:
    text = server.file("cluster/servers/1.conf") or ""
    (member,) = members_of({"cluster/servers/1.conf": text})
    return member.address


def test_what_a_router_does_not_forward_is_named_and_its_ready_lines_mend_it(
    pair: WholeCluster,
) -> None:
    lines = lines_for_the_router(finds(pair[1], *not_forwarded(CONTROL, SSH)))
    assert sorted(lines) == sorted(
        f"insert rule ip nat prerouting ip daddr {ROUTER} tcp dport {port} dnat to {INSIDE}:{port}"
        for port in (CONTROL, SSH)
    )
    enter(pair, lines)
    for server in pair.servers:
        finds(server)


def test_an_address_for_one_server_alone_leads_through_a_router_with_other_ports(
    pair: WholeCluster,
) -> None:
    """Beside BQN 1 it is dialled at its own address; BQN 0 alone goes through the router."""
    router(pair).forward_nothing()
    dial(pair, {"address": INSIDE})
    causes: list[list[str]] = []

    def no_route() -> bool:
        causes.append([cause for cause, _ in findings(examined(pair[0]))])
        return causes[-1][:1] == ["no route"]

    until("BQN 0 finds no route", no_route, lambda: causes[-1])
    dial(
        pair,
        {
            "address": INSIDE,
            "seen-new-viewer": "0",
            "seen-new-address": ROUTER,
            "seen-new-ssh": "7022",
            "seen-new-control": "7001",
        },
    )
    lines = lines_for_the_router(finds(pair[1], *not_forwarded(7001, 7022)))
    assert sorted(lines) == [
        f"insert rule ip nat prerouting ip daddr {ROUTER} tcp dport {at} dnat to {INSIDE}:{port}"
        for at, port in ((7001, CONTROL), (7022, SSH))
    ]
    enter(pair, lines)
    for server in pair.servers:
        finds(server)
