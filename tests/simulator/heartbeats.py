"""What simulated servers say to each other, as the control port says it on real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from configrepo.model import ServerId
from scheduler.election_values import (
    Beacon,
    Disputed,
    Event,
    Heard,
    Lost,
    PeerState,
    Relay,
    Stalled,
)
from tests.simulator.lines import head_name
from tests.simulator.servers import Node

if TYPE_CHECKING:
    from tests.simulator.world import World

_CLONED = "two servers run with its key"
_UNHEARD_OF = 10**9


class Heartbeats:
    """The heartbeats of a world, their answers, and what a new connection shows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._unheard_of = _UNHEARD_OF

    def beat(self, node: Node) -> None:
        """Say something to everybody, every heartbeat."""
        world = self._world
        if not world.runs(node):
            return
        if node.paused_until <= world.now:
            self.announce(node)
            world.copies.replicate(node)
        world.after(node.timing.hb_s * world.chance.uniform(0.9, 1.1), self.beat, node)

    def announce(self, node: Node) -> None:
        """Say something to everybody now."""
        world = self._world
        for other in range(world.count):
            if other != node.id and world.network.link(node.id, other).up:
                self._ping(node, other)

    def tell(self, node: Node, to: int, event: Event) -> None:
        """Send a message that is no heartbeat."""
        world = self._world

        def arrive() -> None:
            if to in world.nodes:
                world.deliver(world.nodes[to], event)

        world.network.send(node.id, to, arrive)

    def opened(self, a: int, b: int) -> None:
        """A connection was opened: each side sees who the other is."""
        world = self._world
        if any([self._meets(a, b), self._meets(b, a)]):
            world.network.link(a, b).close()
            world.after(world.timing.dial_s, world.network.dial, a, b)
            return
        self._ping(world.nodes[a], b)
        self._ping(world.nodes[b], a)

    def _meets(self, number: int, other: int) -> bool:
        """R11: whether two servers run with the key of the other; all of them are told."""
        world = self._world
        node, met = world.nodes[number], world.nodes[other]
        peer = node.view.peer(ServerId(other))
        if other in world.twins:
            world.deliver(node, Disputed(ServerId(other), _CLONED))
            world.deliver(met, Stalled(f"another server runs with the key of BQN {other}"))
            world.check_dispute(node, met)
            return True
        if peer is not None and peer.state is PeerState.CLONE:
            world.deliver(node, Disputed(ServerId(other), None))
        return False

    def refused(self, number: int, gone: int) -> None:
        """Nobody listens any more where a server was."""
        world = self._world
        node = world.nodes.get(number)
        if node is not None and gone not in world.nodes and world.network.whole(number, gone):
            world.deliver(node, Lost(ServerId(gone), "connection refused"))

    def _saying(self, node: Node) -> tuple[Beacon, tuple[Relay, ...]]:
        """The beacon, numbered anew when it says something new or is half a beat old."""
        world = self._world
        view, local = node.view, world.clock_of(node)
        maxep = view.maxep + (node.boasts == "epochs")
        if node.said is not None and local - node.said[0] < node.timing.hb_s / 2:
            old = node.said[1]
            now_said = (view.role, view.epoch, maxep, view.following)
            before = (old.role, old.epoch, old.maxep, old.following)
            same_head = node.boasts == "heads" or old.head == view.head
            if now_said == before and same_head and old.barred == view.durable.barred:
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
            self._boasted() if node.boasts == "heads" else view.head,
            view.durable.barred,
        )
        relays = node.release.rules.relays(view, local)
        if world.mixed:
            beacon, relays = node.release.passed(beacon, relays)
        node.said = (local, beacon, relays)
        return beacon, relays

    def _boasted(self) -> str:
        """A head that nobody can fetch, another one each time."""
        self._unheard_of += 1
        return head_name(self._unheard_of)

    def _ping(self, node: Node, other: int) -> None:
        world = self._world
        beacon, relays = self._saying(node)
        asked_at = world.now
        world.network.send(
            node.id, other, lambda: self._pinged(other, node, beacon, relays, asked_at)
        )

    def _pinged(
        self, number: int, asker: Node, beacon: Beacon, relays: tuple[Relay, ...], asked_at: float
    ) -> None:
        world = self._world
        node = world.nodes.get(number)
        if node is None:
            return
        world.deliver(node, Heard(beacon, False, relays))
        if node.paused_until <= world.now and world.runs(node):
            answer = self._saying(node)[0]
            world.network.send(number, asker.id, lambda: self._ponged(asker, answer, asked_at))

    def _ponged(self, node: Node, beacon: Beacon, asked_at: float) -> None:
        world = self._world
        world.network.settle(node.id, beacon.id)
        world.deliver(node, Heard(beacon, True, (), world.now - asked_at))
