"""A cluster in memory around the real election step: discrete events, one seed, no I/O.

Each server has a clock of its own that runs up to a thousandth fast or slow, a wall clock that
jumps, a disk that survives crashes, and a repository (`lines`). What the edges of the program
do is done here by the same facts: heartbeats with relays, answers, dialling (`heartbeats`),
fetching, pushing, commits (`replicating`). What must never happen is checked after every
event; what must happen after a time of calm is asked by `invariants`.
"""

from __future__ import annotations

import heapq
import itertools
import random
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred
from scheduler.election_moves import (
    Action,
    Announce,
    AskHandover,
    Bar,
    CatchUp,
    Event,
    GrantHandover,
    HandoverAsked,
    HandoverDone,
    HandoverGranted,
    HandoverRefused,
    HeadMoved,
    Left,
    Members,
    Persist,
    Persisted,
    Redial,
    RefuseHandover,
    StopCommits,
    Tick,
    Witness,
)
from scheduler.election_values import NEVER, Durable, View
from scheduler.presets import LAN, Timing
from tests.simulator.heartbeats import Heartbeats
from tests.simulator.lines import History, Term, Violated, head_name, order
from tests.simulator.network import Network
from tests.simulator.releases import Release, releases, slower
from tests.simulator.replicating import Replicating
from tests.simulator.rules import REAL, Rules
from tests.simulator.servers import Disk, Node

DISK_S = 0.005
REFUSED_S = (0.85, 1.1)
_UNTIL = re.compile(r"until=[0-9.e+-]+")


class World:
    """Servers 0 to `count - 1`, all stopped, nothing cut.

    `mixed`: each start draws the release of the server (I11). `traced`: every event with what
    came of it is written to a digest (I7).
    """

    def __init__(
        self,
        seed: int,
        count: int,
        timing: Timing = LAN,
        rules: Rules = REAL,
        *,
        mixed: bool = False,
        traced: bool = False,
    ) -> None:
        self.chance = random.Random(seed)
        self.rules, self.count, self.mixed = rules, count, mixed
        self.timing = slower(timing) if mixed else timing
        self.releases = releases(rules, timing)
        self.now = 0.0
        self.disks = [Disk() for _ in range(count)]
        self.nodes: dict[int, Node] = {}
        self.history = History()
        self.terms: set[Term] = set()
        self.claims: list[tuple[float, int]] = []
        self.fetches: list[tuple[float, int]] = []
        self.roles: list[tuple[float, int, str]] = []
        self.walls = [0.0] * count
        self.barred: set[int] = set()
        self.barred_at = NEVER
        self.twins: dict[int, float] = {}
        self.unwitnessed: dict[int, float] = {}
        self.witnessed = False
        self.lost_disks: set[int] = set()
        self.identity: dict[int, int] = {}
        self.former = [0] * count
        self.stuck: set[int] = set()
        self.stopped = False
        self.fault_times: list[float] = []
        self.trace = sha256() if traced else None
        self._bar_walls = [0.0] * count
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = itertools.count()
        self.talk = Heartbeats(self)
        self.copies = Replicating(self)
        self.network = Network(
            count, self.chance, self.timing, self.time, self.after, self.answers, self._opened
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

    def clock_of(self, node: Node) -> float:
        """What the monotonic clock of a server shows."""
        return 1000.0 + self.now * node.rate

    def wall_of(self, number: int) -> float:
        """What the wall clock of a server shows."""
        return 1.8e9 + self.now + self.walls[number]

    # --- faults ---------------------------------------------------------------------------

    def boot(self, number: int) -> None:
        """Start a server from its disk."""
        disk = self.disks[number]
        disk.durable = replace(disk.durable, boot=disk.durable.boot + 1)
        release = self._release()
        rate = self.chance.uniform(0.999, 1.001)
        view = release.rules.start(
            ServerId(number), release.timing, disk.durable, 1000.0 + self.now * rate
        )
        node = Node(number, view, release, rate, self.now, self.now, {})
        node.cards = {other: card for other, card in self.identity.items() if other != number}
        self.nodes[number] = node
        self.feed(node, HeadMoved(head_name(disk.line.cluster)))
        if self.witnessed:
            self.feed(node, Witness(number not in self.unwitnessed))
        self.feed(node, Members(self._others(number), former=self.former[number]))
        self._watch_bar(node, disk.durable.barred, started=True)
        self.after(self.chance.uniform(0, node.timing.tick_s), self._tick, node)
        self.after(self.chance.uniform(0, node.timing.hb_s), self.talk.beat, node)
        for other in self._others(number):
            self.network.dial(number, other)

    def _release(self) -> Release:
        return self.chance.choice(self.releases) if self.mixed else self.releases[0]

    def _others(self, number: int) -> tuple[ServerId, ...]:
        return tuple(ServerId(other) for other in range(self.count) if other != number)

    def crash(self, number: int) -> None:
        """Stop a server without a word; the others' connections end and are refused."""
        del self.nodes[number]
        self._forget_unwritten(number)
        for other in self.nodes:
            link = self.network.link(number, other)
            if link.up and self.network.whole(number, other):
                self.after(self.chance.uniform(*REFUSED_S), self.talk.refused, other, number)
            link.close()
            self.network.dial(number, other)

    def stop(self, number: int) -> None:
        """Stop a server as planned."""
        boot = self.nodes.pop(number).view.durable.boot
        self._forget_unwritten(number)
        for other, node in self.nodes.items():
            link = self.network.link(number, other)
            if link.up and (number, other) not in self.network.cut:
                self.after(0.01, self.deliver, node, Left(ServerId(number), boot))
            link.close()
            self.network.dial(number, other)

    def _forget_unwritten(self, number: int) -> None:
        """A bar that was still being written when a server ended was never said."""
        if self.disks[number].durable.barred is None:
            self.barred.discard(number)

    def pause(self, number: int, seconds: float) -> None:
        """Let a server not run for a while; what comes meanwhile waits for it."""
        node = self.nodes[number]
        node.paused_until = max(node.paused_until, self.now + seconds)
        node.calm_at = node.paused_until
        if node.leads and seconds * node.rate > node.timing.step_down_s:
            node.stale = node.view.epoch
        self.after(node.paused_until - self.now, self._resume, node)

    def bar(self, number: int, reason: str | None, seconds: float | None = None) -> None:
        """Say that a server shall not lead (for a while), or may again."""
        node = self.nodes[number]
        node.calm_at = self.barred_at = self.now
        self.barred.discard(number) if reason is None else self.barred.add(number)
        until = None if seconds is None else self.wall_of(number) + seconds
        barred = None if reason is None else Barred(reason, until)
        self._bar_walls[number] = self.walls[number]
        self._watch_bar(node, barred)
        self.deliver(node, Bar(barred))

    def _watch_bar(self, node: Node, barred: Barred | None, *, started: bool = False) -> None:
        """R14: read the wall clock once; from then on the time that is left just passes.

        Who starts with such a bar reads it once more: it is right again by then.
        """
        if started and barred is not None:
            self.walls[node.id] = self._bar_walls[node.id]
        node.bar_ends_at = None
        if barred is not None and barred.until is not None:
            node.bar_ends_at = self.clock_of(node) + barred.until - self.wall_of(node.id)

    def _bar_ended(self, node: Node) -> bool:
        return node.bar_ends_at is not None and self.clock_of(node) >= node.bar_ends_at

    def clone(self, number: int) -> None:
        """R11: a copy of a running server starts beside it; all connections open anew."""
        self.twins[number] = self.now
        self.nodes[number].calm_at = self.now
        for other in self._others(number):
            self.network.link(number, other).close()
            self.network.dial(number, other)

    def end_clone(self, number: int) -> None:
        """The copy is stopped, the server is started again."""
        del self.twins[number]
        if number in self.nodes:
            self.crash(number)
        self.boot(number)

    def unaware(self, node: Node) -> bool:
        """Whether nobody need have told a cloned server yet."""
        told_by = self.now - 4 * self.timing.dial_s
        for other in self._others(node.id):
            link = self.network.link(node.id, other)
            since = max(self.twins[node.id], link.mended_at, node.calm_at)
            reached = self.network.whole(node.id, other) and self.answers(other)
            if reached and max(since, self.nodes[other].calm_at) < told_by:
                return self.network.loss > 0
        return True

    def check_dispute(self, node: Node, met: Node) -> None:
        """R11: a server of which two run counts as not known."""
        peer = node.view.peer(ServerId(met.id))
        if self.answers(node.id) and peer is not None and peer.known:
            raise Violated(f"R11: BQN {node.id} counts on BQN {met.id}, of which two run")

    def divide(self, *sides: set[int]) -> None:
        """Cut every link between different sides."""
        everybody = range(self.count)
        self.network.set_cut(
            {
                (a, b)
                for a in everybody
                for b in everybody
                if a != b and not any(a in side and b in side for side in sides)
            }
        )

    def ask_witness(self, silent: set[int]) -> None:
        """R13: these do not reach the witness, all others do."""
        self.witnessed = True
        since = self.unwitnessed
        self.unwitnessed = {number: since.get(number, self.now) for number in silent}
        for number, node in self.nodes.items():
            self.deliver(node, Witness(number not in silent))

    def lose_disk(self, number: int) -> None:
        """A server dies with its disk: with its keys, its term and its repository."""
        if number in self.nodes:
            self.crash(number)
        self.barred.discard(number)
        self.disks[number] = Disk()
        self.lost_disks.add(number)
        self.history.lose(disk.line for disk in self.disks)

    def put_in_place(self, number: int) -> bool:
        """Other hardware takes the place of a server whose disk was lost, if somebody leads."""
        for node in list(self.nodes.values()):
            if self._commits(node) and self.network.whole(node.id, number):
                self.identity[number] = self.copies.commit(node)
                self.former[number] += 1
                self.disks[number].line.cluster = self.disks[node.id].line.cluster
                self.history.share(self.disks[number].line, self.disks[node.id].line)
                self.lost_disks.discard(number)
                self.learn(node)
                self.boot(number)
                return True
        return False

    def learn(self, node: Node) -> None:
        """Who sees that other hardware has an id forgets the former and meets the new one."""
        held = self.history.contains[self.disks[node.id].line.cluster]
        for other, card in self.identity.items():
            if other == node.id or node.cards.get(other) == card or not held >> card & 1:
                continue
            node.cards[other] = card
            others = self._others(node.id)
            left_alone = node.leads and others == (other,)
            former = self.former[node.id]
            self.deliver(node, Members(tuple(o for o in others if o != other), False, former))
            self.deliver(node, Members(others, left_alone, former))
            self.network.link(node.id, other).close()
            self.network.dial(node.id, other)

    def commit(self) -> None:
        """Let somebody commit at a server that leads, if it takes it."""
        leading = [node for node in self.nodes.values() if self._commits(node)]
        if leading and not self.stopped:
            self.copies.commit(self.chance.choice(leading))

    def _commits(self, node: Node) -> bool:
        return node.leads and not node.held and node.paused_until <= self.now

    def bars_end_in(self) -> float:
        """How long until the last bar with a time has passed."""
        ends = [
            (node.bar_ends_at - self.clock_of(node)) / node.rate + node.timing.tick_s
            for node in self.nodes.values()
            if node.bar_ends_at is not None
        ]
        return max(0.0, *ends) if ends else 0.0

    # --- what can be seen -----------------------------------------------------------------

    def answers(self, number: int) -> bool:
        """Whether a server runs and is not paused."""
        node = self.nodes.get(number)
        return node is not None and node.paused_until <= self.now

    def leads(self, number: int) -> bool:
        """Whether a server leads."""
        return number in self.nodes and self.nodes[number].leads

    def runs(self, node: Node) -> bool:
        """Whether it is this life of the server that runs."""
        return self.nodes.get(node.id) is node

    # --- events ---------------------------------------------------------------------------

    def _tick(self, node: Node) -> None:
        if not self.runs(node):
            return
        if node.paused_until <= self.now:
            if self._bar_ended(node):
                node.bar_ends_at = None
                self.barred.discard(node.id)
                self.barred_at = self.now
                self.feed(node, Bar(None))
            self.feed(node, Tick())
        self.after(node.timing.tick_s, self._tick, node)

    def _resume(self, node: Node) -> None:
        if self.runs(node) and node.paused_until <= self.now:
            waiting, node.waiting = node.waiting, []
            for work in waiting:
                self.once_running(node, work)
            self.deliver(node, Tick())

    def _opened(self, a: int, b: int) -> None:
        known = all(
            self.nodes[one].cards.get(other) == self.identity.get(other)
            for one, other in ((a, b), (b, a))
        )
        if known:
            self.talk.opened(a, b)
        else:  # the wrong certificate
            self.network.link(a, b).close()
            self.after(self.timing.dial_s, self.network.dial, a, b)

    def deliver(self, node: Node, event: Event) -> None:
        """Something happens at a server, once it runs."""
        self.once_running(node, lambda: self.feed(node, event))

    def once_running(self, node: Node, work: Callable[[], None]) -> None:
        """Do something at a server: now, after its pause, or not at all if it has ended."""
        if not self.runs(node):
            return
        if node.paused_until > self.now:
            node.waiting.append(work)
        else:
            work()

    def feed(self, node: Node, event: Event) -> None:
        """Let the real step take an event, check what came of it, and do what it wants."""
        before = node.view
        after, actions = node.release.rules.step(before, event, self.clock_of(node))
        node.view = after
        if self.trace is not None:
            said = f"{self.now} {node.id} {event} {actions} {after}"
            self.trace.update(_UNTIL.sub("", said).encode())
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
        if not node.leads:
            node.held = False
            return
        term = (view.epoch, node.id)
        if term in self.terms:
            raise Violated(f"I2: BQN {node.id} leads a second time in term {view.epoch}")
        if self.disks[node.id].durable.epoch != view.epoch:
            raise Violated(f"I2: BQN {node.id} leads in term {view.epoch}, not on its disk")
        self.terms.add(term)
        self.claims.append((self.now, node.id))
        node.led_at = self.now
        self.copies.lead(node, term)

    def _watch_following(self, node: Node) -> None:
        """I3: what is followed is on the disk."""
        view = node.view
        assert view.following is not None
        if self.disks[node.id].durable.accepted != Accepted(view.epoch, view.following):
            raise Violated(f"I3: BQN {node.id} follows a term that is not on its disk")

    def _do(self, node: Node, action: Action) -> None:
        match action:
            case Announce():
                self.talk.announce(node)
            case Persist(durable=durable):
                self.after(DISK_S, self._written, node, durable)
            case Redial(server=server):
                self.network.dial(node.id, server, fresh=True)
            case CatchUp(source=source, head=head):
                self.copies.fetch_soon(node, source, head)
            case StopCommits():
                node.held = True
                head = head_name(self.disks[node.id].line.cluster)
                if node.id not in self.stuck:
                    self.after(0.02, self.deliver, node, HandoverDone(head))
            case AskHandover() | GrantHandover() | RefuseHandover():
                self._hand_over(node, action)

    def _hand_over(self, node: Node, action: AskHandover | GrantHandover | RefuseHandover) -> None:
        me = ServerId(node.id)
        match action:
            case AskHandover(to=to):
                self.talk.tell(node, to, HandoverAsked(me))
            case GrantHandover(to=to, epoch=epoch, head=granted):
                self.talk.tell(node, to, HandoverGranted(me, epoch, granted))
            case RefuseHandover(to=to, why=why):
                self.talk.tell(node, to, HandoverRefused(me, why))

    def _written(self, node: Node, durable: Durable) -> None:
        if not self.runs(node):
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
