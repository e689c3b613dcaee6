"""Servers, their disks and the network between them, in memory: drives the real `step`.

Time is turned by hand in ticks; messages take 10 ms; a disk takes 5 ms. Links can be cut
and healed in each direction, servers crash, restart from their disks, and pause. What
the edge does on real sockets is done here by the same facts: a crash closes connections
and refuses new ones, a cut is silent.

The world watches what must never happen: a term led twice, a term led that was not on
the disk, an accepted term that falls.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from configrepo.model import ServerId
from scheduler.control_view import Accepted, ControlRole
from scheduler.election import start, step
from scheduler.election_sentences import sentence
from scheduler.election_values import (
    Action,
    Announce,
    AskHandover,
    Beacon,
    CatchUp,
    CaughtUp,
    Durable,
    Event,
    GrantHandover,
    HandoverAsked,
    HandoverDone,
    HandoverGranted,
    HandoverRefused,
    HeadMoved,
    Heard,
    Left,
    Lost,
    Members,
    Persist,
    Persisted,
    RefuseHandover,
    StopCommits,
    Tick,
    View,
)
from scheduler.presets import LAN, Timing
from tests.support.manual_clock import ManualClock

_LATENCY_S = 0.01
_DISK_S = 0.005
_REFUSED_AFTER_S = 0.9


@dataclass
class Disk:
    """What survives a crash."""

    durable: Durable = field(default_factory=Durable)
    head: str | None = None
    accepted_ever: list[Accepted] = field(default_factory=list)


@dataclass
class Node:
    """One running server."""

    view: View
    life: int
    seq: int = 0
    paused_until: float = 0.0
    waiting: list[Event] = field(default_factory=list)


class World:
    """A cluster of `count` servers with ids from 0."""

    def __init__(self, count: int, timing: Timing = LAN) -> None:
        self.timing = timing
        self.clock = ManualClock()
        self.ids = [ServerId(number) for number in range(count)]
        self.disks = {server: Disk() for server in self.ids}
        self.nodes: dict[ServerId, Node] = {}
        self.cut: set[tuple[ServerId, ServerId]] = set()
        self.terms: dict[tuple[int, ServerId], int] = {}
        self.history: list[tuple[float, ServerId, ControlRole]] = []
        self.double_s = 0.0
        self.stuck_programs: set[ServerId] = set()
        self.committed: set[str] = set()
        self._contents: dict[str, frozenset[str]] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._lives = itertools.count(1)

    # --- what a test does ---------------------------------------------------------------

    def boot(self, *servers: int) -> None:
        """Start servers from their disks."""
        for number in servers:
            server = ServerId(number)
            disk = self.disks[server]
            disk.durable = replace(disk.durable, boot=disk.durable.boot + 1)
            node = Node(start(server, self.timing, disk.durable, self.clock()), next(self._lives))
            self.nodes[server] = node
            self._feed(server, HeadMoved(disk.head))
            self._feed(server, Members(tuple(other for other in self.ids if other != server)))
            self._at(0.001 * number, self._tick, server, node.life)
            self._at(0.002 * number, self._beat, server, node.life)

    def crash(self, number: int) -> None:
        """Stop a server without a word; the others' connections end and are refused."""
        server = ServerId(number)
        del self.nodes[server]
        for other in list(self.nodes):
            if self._joined(server, other):
                self._at(_REFUSED_AFTER_S, self._refused, other, server)

    def stop(self, number: int) -> None:
        """Stop a server as planned."""
        server = ServerId(number)
        boot = self.nodes.pop(server).view.durable.boot
        for other in list(self.nodes):
            if (server, other) not in self.cut:
                self._at(_LATENCY_S, self._deliver, other, Left(server, boot))

    def pause(self, number: int, seconds: float) -> None:
        """Let a server not run for a while; what comes meanwhile waits for it."""
        node = self.nodes[ServerId(number)]
        node.paused_until = self.clock() + seconds
        self._at(seconds, self._resume, ServerId(number), node.life)

    def divide(self, *sides: set[int]) -> None:
        """Cut every link between different sides."""
        self.cut = {
            (a, b)
            for a in self.ids
            for b in self.ids
            if not any(a in side and b in side for side in sides)
        }

    def heal(self) -> None:
        """Mend every link."""
        self.cut = set()

    def commit(self, number: int, name: str) -> None:
        """Commit something on a server."""
        self.committed.add(name)
        self._advance(ServerId(number), frozenset({name}))

    def contents(self, number: int) -> frozenset[str]:
        """What a server's head contains."""
        head = self.disks[ServerId(number)].head
        return frozenset() if head is None else self._contents[head]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.clock() + seconds
        while self._queue and self._queue[0][0] <= end:
            at, _, work = heapq.heappop(self._queue)
            self._pass(at)
            work()
        self._pass(end)

    def run_until(self, what: Callable[[], bool], within_s: float) -> float:
        """Let time pass until something holds; says how long it took."""
        began = self.clock()
        while not what():
            assert self.clock() - began < within_s, self.describe()
            self.run(0.01)
        return self.clock() - began

    # --- what a test sees -----------------------------------------------------------------

    def view(self, number: int) -> View:
        """What a running server knows."""
        return self.nodes[ServerId(number)].view

    @property
    def leaders(self) -> list[int]:
        """The servers that lead now."""
        return [s for s in self.ids if s in self.nodes and self._leads(s)]

    def agreed(self, leader: int) -> bool:
        """Whether exactly that server leads and all others that run follow it."""
        return self.leaders == [leader] and all(
            node.view.following == leader for server, node in self.nodes.items() if server != leader
        )

    def describe(self) -> str:
        """Every sentence, for a failed assertion."""
        return "\n".join(
            f"BQN {s}: {n.view.role} {sentence(n.view)}" for s, n in self.nodes.items()
        )

    # --- the inside -----------------------------------------------------------------------

    def _leads(self, server: ServerId) -> bool:
        return self.nodes[server].view.role is ControlRole.PRIMARY

    def _advance(self, server: ServerId, more: frozenset[str]) -> None:
        """Move a head forward: what it contains only grows, as in a merge."""
        before = self.contents(server)
        if more <= before and before:
            return
        name = sha256("\n".join(sorted(before | more)).encode()).hexdigest()[:40]
        self._contents[name] = before | more
        self.disks[server].head = name
        self._feed(server, HeadMoved(name))

    def _push(self, server: ServerId) -> None:
        """What replication does: followers that lie behind get the primary's head."""
        for other, node in list(self.nodes.items()):
            follows = node.view.following == server and self._joined(server, other)
            if follows and self.contents(other) < self.contents(server):
                self._advance(other, self.contents(server))

    def _joined(self, a: ServerId, b: ServerId) -> bool:
        return (a, b) not in self.cut and (b, a) not in self.cut

    def _pass(self, at: float) -> None:
        if len(self.leaders) > 1:
            self.double_s += at - self.clock()
        self.clock.advance(at - self.clock())

    def _at(self, delay: float, work: Callable[..., None], *arguments: object) -> None:
        entry = (self.clock() + delay, next(self._count), lambda: work(*arguments))
        heapq.heappush(self._queue, entry)

    def _runs(self, server: ServerId, life: int) -> bool:
        return server in self.nodes and self.nodes[server].life == life

    def _tick(self, server: ServerId, life: int) -> None:
        if self._runs(server, life):
            if self.nodes[server].paused_until <= self.clock():
                self._feed(server, Tick())
            self._at(self.timing.tick_s, self._tick, server, life)

    def _resume(self, server: ServerId, life: int) -> None:
        if self._runs(server, life):
            waiting, self.nodes[server].waiting = self.nodes[server].waiting, []
            for event in waiting:
                self._feed(server, event)

    def _beat(self, server: ServerId, life: int) -> None:
        if self._runs(server, life):
            if self.nodes[server].paused_until <= self.clock():
                self._announce(server)
                if self._leads(server):
                    self._push(server)
            self._at(self.timing.hb_s, self._beat, server, life)

    def _beacon(self, server: ServerId) -> Beacon:
        node = self.nodes[server]
        node.seq += 1
        view = node.view
        return Beacon(
            server,
            view.durable.boot,
            node.seq,
            view.role,
            view.epoch,
            view.maxep,
            view.following,
            view.head,
        )

    def _announce(self, server: ServerId) -> None:
        for other in self.ids:
            if other != server and (server, other) not in self.cut:
                self._at(_LATENCY_S, self._pinged, other, self._beacon(server))

    def _pinged(self, server: ServerId, beacon: Beacon) -> None:
        if server not in self.nodes:
            return
        self._deliver(server, Heard(beacon, round_trip=False))
        if (server, beacon.id) not in self.cut and self.nodes[server].paused_until <= self.clock():
            answer = Heard(self._beacon(server), round_trip=True)
            self._at(_LATENCY_S, self._deliver, beacon.id, answer)

    def _refused(self, server: ServerId, gone: ServerId) -> None:
        if gone not in self.nodes and self._joined(server, gone):
            self._deliver(server, Lost(gone, "connection refused"))

    def _deliver(self, server: ServerId, event: Event) -> None:
        if server not in self.nodes:
            return
        node = self.nodes[server]
        if node.paused_until > self.clock():
            node.waiting.append(event)
        else:
            self._feed(server, event)

    def _feed(self, server: ServerId, event: Event) -> None:
        node = self.nodes[server]
        before = node.view
        node.view, actions = step(before, event, self.clock())
        self._watch(server, before, node.view)
        for action in actions:
            self._do(server, node.life, action)

    def _do(self, server: ServerId, life: int, action: Action) -> None:
        match action:
            case Persist(durable=durable):
                self._at(_DISK_S, self._written, server, life, durable)
            case Announce():
                self._announce(server)
            case StopCommits():
                if server not in self.stuck_programs:
                    done = HandoverDone(self.disks[server].head)
                    self._at(_LATENCY_S, self._deliver, server, done)
            case CatchUp(source=source, head=head):
                if self._joined(server, source) and source in self.nodes:
                    self._at(5 * _LATENCY_S, self._fetched, server, life, head)
            case AskHandover() | GrantHandover() | RefuseHandover():
                self._send(server, action)

    def _send(self, server: ServerId, action: AskHandover | GrantHandover | RefuseHandover) -> None:
        match action:
            case AskHandover(to=to):
                self._message(server, to, HandoverAsked(server))
            case GrantHandover(to=to, epoch=epoch, head=head):
                self._message(server, to, HandoverGranted(server, epoch, head))
            case RefuseHandover(to=to, why=why):
                self._message(server, to, HandoverRefused(server, why))

    def _message(self, source: ServerId, to: ServerId, event: Event) -> None:
        if self._joined(source, to):
            self._at(_LATENCY_S, self._deliver, to, event)

    def _fetched(self, server: ServerId, life: int, head: str) -> None:
        if self._runs(server, life):
            self._advance(server, self._contents[head])
            self._deliver(server, CaughtUp(head))

    def _written(self, server: ServerId, life: int, durable: Durable) -> None:
        if self._runs(server, life):
            self.disks[server].durable = durable
            self._deliver(server, Persisted(durable))

    def _watch(self, server: ServerId, before: View, after: View) -> None:
        disk = self.disks[server].durable
        if after.role is not before.role:
            self.history.append((self.clock(), server, after.role))
        leads = after.role is ControlRole.PRIMARY
        if leads and (before.role is not ControlRole.PRIMARY or before.epoch != after.epoch):
            term = (after.epoch, server)
            assert term not in self.terms, f"term {term} is led twice"
            assert disk.epoch == after.epoch, f"term {term} is led before it is on the disk"
            self.terms[term] = self.nodes[server].life
        if after.following is not None and after.following != before.following:
            accepted = Accepted(after.epoch, after.following)
            assert disk.accepted == accepted, f"{accepted} is followed before it is on the disk"
            ever = self.disks[server].accepted_ever
            assert all((a.epoch, -a.id) <= (accepted.epoch, -accepted.id) for a in ever)
            ever.append(accepted)
