"""Cuts of a cluster of whole servers, with people who go on saving on every side.

A shape says which links are left; who leads where follows from it. A round makes a cut,
saves through the pages of every server, heals, and tells what was acknowledged and how
long it took until one server led and until all had the same.

Edge: processes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from tests.support.whole_servers import Acknowledged, NotTaken, WholeCluster, WholeServer, until

Link = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """Which servers still reach each other; links are pairs, the lower id first."""

    name: str
    servers: int
    links: frozenset[Link]

    def reach(self, one: int, other: int) -> bool:
        """Whether these two reach each other without a third."""
        return one == other or (min(one, other), max(one, other)) in self.links

    def leader(self, server: int) -> int:
        """The lowest server that is reached, also over others."""
        known, grown = {server}, True
        while grown:
            more = {n for n in range(self.servers) if any(self.reach(n, k) for k in known)}
            grown = more != known
            known = more
        return min(known)

    @property
    def leaders(self) -> list[int]:
        """Whom each server follows."""
        return [self.leader(server) for server in range(self.servers)]


def split(name: str, *sides: tuple[int, ...]) -> Shape:
    """Each side is whole, and reaches no other."""
    links = {(a, b) for side in sides for a in side for b in side if a < b}
    return Shape(name, sum(len(side) for side in sides), frozenset(links))


def linked(name: str, servers: int, *links: Link) -> Shape:
    """Only these links are left."""
    return Shape(name, servers, frozenset(links))


def without(name: str, servers: int, *gone: Link) -> Shape:
    """All links but these are left."""
    whole = split(name, tuple(range(servers)))
    return Shape(name, servers, whole.links - set(gone))


def drawn(random: Random, servers: int) -> Shape:
    """Any links at all; at least one is missing."""
    every = sorted(split("", tuple(range(servers))).links)
    left = frozenset(link for link in every if random.random() < 0.4)
    return Shape(f"drawn {sorted(left)}", servers, left)


@dataclass(slots=True)
class Round:
    """What came of one cut."""

    shape: Shape
    revisions: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    one_primary_s: float = 0.0
    alike_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.shape.name}: {len(self.revisions)} acknowledged, {len(self.refused)} refused; "
            f"after healing one primary in {self.one_primary_s:.2f} s, "
            f"equal heads in {self.alike_s:.2f} s"
        )


def insist(server: WholeServer, text: str, path: str | None = None) -> Acknowledged:
    """Save, and send the same form again until it is acknowledged, as a person does."""
    server.edit(text, path)
    page = server.visitor().get("/candidate/compare")
    answers: list[Acknowledged | NotTaken] = []

    def saved() -> bool:
        answers.append(server.send_commit(page))
        return isinstance(answers[-1], Acknowledged)

    until(f"BQN {server.number} saves {text!r}", saved, lambda: answers[-1])
    (done,) = [answer for answer in answers if isinstance(answer, Acknowledged)]
    return done


def cut_round(
    cluster: WholeCluster, shape: Shape, number: int, bridge: Shape | None = None
) -> Round:
    """Cut, save everywhere, heal, wait until all is one; the assertions are the promise.

    Every leader also writes the same block with a value of its own, so that they disagree.
    With a `bridge` some links come back before the others.
    """
    told = Round(shape)
    cluster.only(*shape.links)
    until("the cut is seen by all", lambda: seen(cluster, shape), cluster.told)
    cluster.led_by(*shape.leaders)
    leaders = sorted(set(shape.leaders))
    answers = cluster.everywhere(lambda one: _save(one, shape, number), *range(shape.servers))
    answers += cluster.everywhere(lambda one: insist(one, contested(number, one.number)), *leaders)
    told.revisions = {one.revision for one in answers if isinstance(one, Acknowledged)}
    told.refused = [one.sentence for one in answers if isinstance(one, NotTaken)]
    if bridge is not None:
        cluster.only(*bridge.links)
        cluster.led_by(*bridge.leaders)
    healed = cluster.heal()
    told.one_primary_s = cluster.led_by(*[0] * shape.servers) - healed
    until("every acknowledged commit is everywhere", lambda: all_there(cluster, told.revisions))
    told.alike_s = cluster.alike() - healed
    for server in cluster.servers:
        waiting = {entry["other"] for entry in disagreements(server, _path(number))}
        assert applied(server, number) == leaders[0]
        assert waiting == {_line(leader) for leader in leaders[1:]}, waiting
        assert server.git("fsck", "--strict", "--connectivity-only").returncode == 0
    return told


def _save(server: WholeServer, shape: Shape, number: int) -> Acknowledged | NotTaken:
    """Save where the leader is reached; else it is refused, and the input is dropped."""
    text = f"policy rate r{number}s{server.number}\n downlink rate {1000 + number}\n"
    if shape.reach(server.number, shape.leader(server.number)):
        return insist(server, text)
    answer = server.save(text)
    if isinstance(answer, NotTaken):
        server.discard()
    return answer


def seen(cluster: WholeCluster, shape: Shape) -> bool:
    """Whether every server says of those it does not reach that they do not answer it."""
    return all(
        not says.startswith(("ready", "suspect"))
        for one, other, says in cluster.sights()
        if not shape.reach(one, other)
    )


def all_there(cluster: WholeCluster, revisions: set[str]) -> bool:
    """Whether the newest commit of every server contains all of these."""
    return not any(server.lacks(revisions) for server in cluster.servers)


def contested(number: int, server: int) -> str:
    """The block of a round that every leader writes."""
    return f"policy rate contested{number}\n {_line(server)}\n"


def applied(server: WholeServer, number: int) -> int:
    """Whose value of the contested block a server has."""
    text = server.file(_path(number)) or ""
    return next(leader for leader in range(256) if _line(leader) in text.splitlines()[1].strip())


def disagreements(server: WholeServer, path: str) -> list[Mapping[str, str]]:
    """What waits there for people about one block."""
    names = server.git("ls-tree", "-r", "--name-only", "refs/heads/cluster", "cluster/conflicts/")
    found = [json.loads(server.file(name) or "{}") for name in names.stdout.split()]
    return [entry for one in found for entry in one["entries"] if entry["path"] == path]


def _line(leader: int) -> str:
    return f"downlink rate {7000 + leader}"


def _path(number: int) -> str:
    return f"common/policy/rate/contested{number}.conf"
