"""A cluster in memory around the real election step: discrete events, one seed, no I/O.

Each server has a clock of its own that runs up to a thousandth fast or slow, a disk that
survives crashes, and a repository (`lines`). What the edges of the program do is done here
by the same facts: heartbeats with relays, answers, dialling, fetching, pushing, commits.
What must never happen is checked after every event; what must happen after a time of calm
is asked by `invariants`.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred, ControlRole
from scheduler.election_values import (
    NEVER,
    Action,
    Announce,
    AskHandover,
    Bar,
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
    PeerState,
    Persist,
    Persisted,
    Redial,
    RefuseHandover,
    Relay,
    StopCommits,
    Tick,
    View,
)
from scheduler.presets import Timing
from tests.simulator.lines import History, Line, Term, Violated, order
from tests.simulator.network import Network
from tests.simulator.rules import REAL, Rules

DISK_S = 0.005
REFUSED_S = (0.85, 1.1)
GIT_S = (0.02, 0.08)
PRIMARY = ControlRole.PRIMARY


@dataclass
class Disk:
    """What survives a crash."""

    durable: Durable = field(default_factory=Durable)
    line: Line = field(default_factory=Line)


@dataclass
class Node:
    """One running server. Its clock shows `offset + rate * time`."""

    id: int
    view: View
    life: int
    rate: float
    started_at: float
    seq: int = 0
    paused_until: float = 0.0
    calm_at: float = 0.0
    held: bool = False
    boasts: bool = False
    waiting: list[Event] = field(default_factory=list)
    said: tuple[float, Beacon, tuple[Relay, ...]] | None = None
    pushing: set[int] = field(default_factory=set)
    partner: int = 0


class World:
    """Servers 0 to `count - 1`, all stopped, nothing cut."""

    def __init__(self, seed: int, count: int, timing: Timing, rules: Rules = REAL) -> None:
        self.chance = random.Random(seed)
        self.timing, self.rules, self.count = timing, rules, count
        self.now = 0.0
        self.disks = [Disk() for _ in range(count)]
        self.nodes: dict[int, Node] = {}
        self.history = History()
        self.terms: set[Term] = set()
        self.claims: list[tuple[float, int]] = []
        self.roles: list[tuple[float, int, str]] = []
        self.wall = 0.0
        self.barred_at = NEVER
        self.stopped = False
        self.fault_times: list[float] = []
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = itertools.count()
        self._lives = itertools.count(1)
        self.network = Network(
            count, self.chance, timing, self.time, self.after, self.answers, self._opened
        )

    # --- time -----------------------------------------------------------------------------

    def time(self) -> float:
        """True seconds since the beginning."""
        return self.now

    def after(self, delay: float, work: Callable[..., None], *arguments: Any) -> None:
        """Do something later."""
        heapq.heappush(self._queue, (self.now + delay, next(self._serial), work, arguments))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        queue, pop = self._queue, heapq.heappop
        while queue and queue[0][0] <= end:
            self.now, _, work, arguments = pop(queue)
            work(*arguments)
        self.now = end

    def _local(self, node: Node) -> float:
        return 1000.0 + self.now * node.rate

    # --- faults ---------------------------------------------------------------------------

    def boot(self, number: int) -> None:
        """Start a server from its disk."""
        disk = self.disks[number]
        disk.durable = replace(disk.durable, boot=disk.durable.boot + 1)
        rate = self.chance.uniform(0.999, 1.001)
        view = self.rules.start(
            ServerId(number), self.timing, disk.durable, 1000.0 + self.now * rate
        )
        node = Node(number, view, next(self._lives), rate, self.now, calm_at=self.now)
        self.nodes[number] = node
        self.feed(node, HeadMoved(str(disk.line.cluster)))
        others = tuple(ServerId(other) for other in range(self.count) if other != number)
        self.feed(node, Members(others))
        self.after(self.chance.uniform(0, self.timing.tick_s), self._tick, node)
        self.after(self.chance.uniform(0, self.timing.hb_s), self._beat, node)
        for other in others:
            self.network.dial(number, other)

    def crash(self, number: int) -> None:
        """Stop a server without a word; the others' connections end and are refused."""
        del self.nodes[number]
        for other in self.nodes:
            link = self.network.link(number, other)
            if link.up and self.network.whole(number, other):
                self.after(self.chance.uniform(*REFUSED_S), self._refused, other, number)
            link.close()
            self.network.dial(number, other)

    def stop(self, number: int) -> None:
        """Stop a server as planned."""
        boot = self.nodes.pop(number).view.durable.boot
        for other, node in self.nodes.items():
            link = self.network.link(number, other)
            if link.up and (number, other) not in self.network.cut:
                self.after(0.01, self.deliver, node, Left(ServerId(number), boot))
            link.close()
            self.network.dial(number, other)

    def pause(self, number: int, seconds: float) -> None:
        """Let a server not run for a while; what comes meanwhile waits for it."""
        node = self.nodes[number]
        node.paused_until = max(node.paused_until, self.now + seconds)
        node.calm_at = node.paused_until
        self.after(node.paused_until - self.now, self._resume, node)

    def bar(self, number: int, barred: Barred | None) -> None:
        """Say that a server shall not lead, or may again."""
        self.nodes[number].calm_at = self.now
        self.deliver(self.nodes[number], Bar(barred))

    def commit(self) -> None:
        """Let somebody commit at a server that leads, if it takes it."""
        leading = [node for node in self.nodes.values() if self._commits(node)]
        if leading and not self.stopped:
            node = self.chance.choice(leading)
            self.history.commit(self.disks[node.id].line, (node.view.epoch, node.id))
            self._moved(node)

    def _commits(self, node: Node) -> bool:
        return node.view.role is PRIMARY and not node.held and node.paused_until <= self.now

    # --- what can be seen -----------------------------------------------------------------

    def answers(self, number: int) -> bool:
        """Whether a server runs and is not paused."""
        node = self.nodes.get(number)
        return node is not None and node.paused_until <= self.now

    def leads(self, number: int) -> bool:
        """Whether a server leads."""
        return number in self.nodes and self.nodes[number].view.role is PRIMARY

    def _runs(self, node: Node) -> bool:
        return self.nodes.get(node.id) is node

    # --- heartbeats -----------------------------------------------------------------------

    def _tick(self, node: Node) -> None:
        if not self._runs(node):
            return
        if node.paused_until <= self.now:
            before = node.view.peers
            self.feed(node, Tick())
            if node.view.peers is not before:
                self._hang_up(node)
        self.after(self.timing.tick_s, self._tick, node)

    def _hang_up(self, node: Node) -> None:
        """A connection that was silent for too long is closed, and dialled again."""
        for peer in node.view.peers:
            link = self.network.link(node.id, peer.id)
            silent = self._local(node) - peer.heard_at > self.timing.dead_s
            if silent and link.up and peer.state in (PeerState.DEAD, PeerState.INDIRECT):
                link.close()
                self.network.dial(node.id, peer.id)

    def _resume(self, node: Node) -> None:
        if self._runs(node) and node.paused_until <= self.now:
            waiting, node.waiting = node.waiting, []
            for event in waiting:
                self.feed(node, event)

    def _beat(self, node: Node) -> None:
        if not self._runs(node):
            return
        if node.paused_until <= self.now:
            self._announce(node)
            self._replicate(node)
        self.after(self.timing.hb_s * self.chance.uniform(0.9, 1.1), self._beat, node)

    def _saying(self, node: Node) -> tuple[Beacon, tuple[Relay, ...]]:
        """The beacon, numbered anew when it says something new or is half a beat old."""
        view, local = node.view, self._local(node)
        maxep = view.maxep + node.boasts
        if node.said is not None and local - node.said[0] < self.timing.hb_s / 2:
            old = node.said[1]
            now_said = (view.role, view.epoch, maxep, view.following, view.head)
            before = (old.role, old.epoch, old.maxep, old.following, old.head)
            if now_said == before and old.barred is view.durable.barred:
                return old, node.said[2]
        node.seq += 1
        beacon = Beacon(
            view.me,
            view.durable.boot,
            node.seq,
            view.role,
            view.epoch,
            maxep,
            view.following,
            view.head,
            view.durable.barred,
        )
        node.said = (local, beacon, self.rules.relays(view, local))
        return beacon, node.said[2]

    def _announce(self, node: Node) -> None:
        for other in range(self.count):
            if other != node.id and self.network.link(node.id, other).up:
                self._ping(node, other)

    def _ping(self, node: Node, other: int) -> None:
        beacon, relays = self._saying(node)
        asked_at = self.now
        self.network.send(
            node.id, other, lambda: self._pinged(other, node, beacon, relays, asked_at)
        )

    def _pinged(
        self, number: int, asker: Node, beacon: Beacon, relays: tuple[Relay, ...], asked_at: float
    ) -> None:
        node = self.nodes.get(number)
        if node is None:
            return
        self.deliver(node, Heard(beacon, False, relays))
        if node.paused_until <= self.now and self._runs(node):
            answer = self._saying(node)[0]
            self.network.send(number, asker.id, lambda: self._ponged(asker, answer, asked_at))

    def _ponged(self, node: Node, beacon: Beacon, asked_at: float) -> None:
        self.network.settle(node.id, beacon.id)
        self.deliver(node, Heard(beacon, True, (), self.now - asked_at))

    def _opened(self, a: int, b: int) -> None:
        self._ping(self.nodes[a], b)
        self._ping(self.nodes[b], a)

    def _refused(self, number: int, gone: int) -> None:
        node = self.nodes.get(number)
        if node is not None and gone not in self.nodes and self.network.whole(number, gone):
            self.deliver(node, Lost(ServerId(gone), "connection refused"))

    def deliver(self, node: Node, event: Event) -> None:
        """Something happens at a server, once it runs."""
        if not self._runs(node):
            return
        if node.paused_until > self.now:
            node.waiting.append(event)
        else:
            self.feed(node, event)

    # --- the step -------------------------------------------------------------------------

    def feed(self, node: Node, event: Event) -> None:
        """Let the real step take an event, check what came of it, and do what it wants."""
        before = node.view
        after, actions = self.rules.step(before, event, self._local(node))
        node.view = after
        if before.role is not after.role or before.epoch != after.epoch:
            self._watch(node, before)
        if before.following != after.following and after.following is not None:
            self._watch_following(node)
        for action in actions:
            self._do(node, action)

    def _watch(self, node: Node, before: View) -> None:
        """I2, and who led when."""
        view = node.view
        if view.role is not before.role:
            self.roles.append((self.now, node.id, view.role.value))
            self.rules.check_cause(self, node, before.role)
        if view.role is not PRIMARY:
            node.held = False
            return
        term = (view.epoch, node.id)
        if term in self.terms:
            raise Violated(f"I2: BQN {node.id} leads a second time in term {view.epoch}")
        if self.disks[node.id].durable.epoch != view.epoch:
            raise Violated(f"I2: BQN {node.id} leads in term {view.epoch}, not on its disk")
        self.terms.add(term)
        self.claims.append((self.now, node.id))
        line = self.disks[node.id].line
        line.moved_in = max(line.moved_in, order(term))
        for head in list(line.terms.values()):
            self.history.merge(line, head, term)
        self._moved(node)

    def _watch_following(self, node: Node) -> None:
        """I3: what is followed is on the disk."""
        view = node.view
        assert view.following is not None
        if self.disks[node.id].durable.accepted != Accepted(view.epoch, view.following):
            raise Violated(f"I3: BQN {node.id} follows a term that is not on its disk")

    def _do(self, node: Node, action: Action) -> None:
        match action:
            case Announce():
                self._announce(node)
            case Persist(durable=durable):
                self.after(DISK_S, self._written, node, durable)
            case Redial(server=server):
                self.network.dial(node.id, server, fresh=True)
            case CatchUp(source=source, head=head):
                self.after(self.chance.uniform(*GIT_S), self._fetch, node, source, int(head))
            case StopCommits():
                node.held = True
                head = str(self.disks[node.id].line.cluster)
                self.after(0.02, self.deliver, node, HandoverDone(head))
            case AskHandover() | GrantHandover() | RefuseHandover():
                self._hand_over(node, action)

    def _hand_over(self, node: Node, action: AskHandover | GrantHandover | RefuseHandover) -> None:
        match action:
            case AskHandover(to=to):
                self._tell(node, to, HandoverAsked(ServerId(node.id)))
            case GrantHandover(to=to, epoch=epoch, head=granted):
                self._tell(node, to, HandoverGranted(ServerId(node.id), epoch, granted))
            case RefuseHandover(to=to, why=why):
                self._tell(node, to, HandoverRefused(ServerId(node.id), why))

    def _tell(self, node: Node, to: int, event: Event) -> None:
        def arrive() -> None:
            if to in self.nodes:
                self.deliver(self.nodes[to], event)

        self.network.send(node.id, to, arrive)

    def _written(self, node: Node, durable: Durable) -> None:
        if not self._runs(node):
            return
        disk, accepted = self.disks[node.id], durable.accepted
        before = disk.durable.accepted
        fell = before is not None and (
            accepted is None
            or order((accepted.epoch, accepted.id)) < order((before.epoch, before.id))
        )
        if fell or durable.epoch < disk.durable.epoch:
            raise Violated(f"I3: what BQN {node.id} has accepted fell from {before} to {accepted}")
        disk.durable = durable
        self.after(0.001, self.deliver, node, Persisted(durable))

    # --- replication ----------------------------------------------------------------------

    def _moved(self, node: Node) -> None:
        self.deliver(node, HeadMoved(str(self.disks[node.id].line.cluster)))

    def _reaches(self, a: int, b: int) -> bool:
        reached = self.network.link(a, b).up and self.network.whole(a, b)
        return reached and self.answers(a) and self.answers(b)

    def _fetch(self, node: Node, source: int, head: int) -> None:
        """R10: get what another one has; who leads merges it."""
        line = self.disks[node.id].line
        has = line.objects >> head & 1
        if not self._runs(node) or not (has or self._reaches(node.id, source)):
            return
        if not has:
            self.history.share(line, self.disks[source].line)
            line.objects |= self.history.contains[head]
        leads = node.view.role is PRIMARY
        if leads and self.history.merge(line, head, (node.view.epoch, node.id)):
            self._moved(node)
        self.deliver(node, CaughtUp(str(head)))

    def _replicate(self, node: Node) -> None:
        """The primary pushes to its followers; all exchange their term lines."""
        node.partner = (node.partner + 1) % self.count
        if node.partner != node.id and self._reaches(node.id, node.partner):
            self.history.share(self.disks[node.id].line, self.disks[node.partner].line)
        if node.view.role is not PRIMARY:
            return
        for peer in node.view.peers:
            beacon = peer.beacon
            if beacon is None or beacon.following != node.id or peer.head == node.view.head:
                continue
            if peer.id not in node.pushing and self._reaches(node.id, peer.id):
                node.pushing.add(peer.id)
                term = (node.view.epoch, node.id)
                self.after(self.chance.uniform(*GIT_S), self._push, node, peer.id, term)

    def _push(self, node: Node, number: int, term: Term) -> None:
        """R9: a move of the head is taken from the followed primary only, and only forward."""
        node.pushing.discard(number)
        if not self._runs(node) or not self._reaches(node.id, number):
            return
        receiver, line = self.nodes[number], self.disks[number].line
        own = self.disks[node.id].line
        self.history.share(own, line)
        view = receiver.view
        admitted = (view.epoch, view.following) == term and node.view.role is PRIMARY
        if admitted and self.history.forward(line, own.cluster) and own.cluster != line.cluster:
            line.objects |= self.history.contains[own.cluster]
            self.history.move(line, own.cluster, term)
            self._moved(receiver)
