"""What simulated servers say to each other, as the control port says it on real sockets.

Who asks when, what answers what and who passes on whose beacons is decided by the same code
(`scheduler.round_trips`, `election_known.lacks` and `beat_s`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from configrepo.model import ServerId
from scheduler.election_known import beat_s, lacks, link_times
from scheduler.election_moves import Disputed, Event, Heard, Lost, Stalled
from scheduler.election_values import Beacon, PeerState, Relay
from scheduler.messages import Ping, Pong
from scheduler.round_trips import RoundTrips
from tests.simulator.lines import head_name
from tests.simulator.servers import Node, Said, Side

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
        """Ask everybody whose turn it is, every heartbeat."""
        world = self._world
        if not world.runs(node):
            return
        if node.paused_until <= world.now:
            self._ping(node, everybody=False)
            world.copies.replicate(node)
        world.after(node.timing.hb_s * world.chance.uniform(0.9, 1.1), self.beat, node)

    def announce(self, node: Node) -> None:
        """Ask everybody now."""
        self._ping(node, everybody=True)

    def _ping(self, node: Node, *, everybody: bool) -> None:
        world = self._world
        node.said = self._saying(node)
        now = world.clock_of(node)
        for other, side in node.sides.items():
            link = world.network.link(node.id, other)
            if not link.up or side.serial != link.serial:
                continue
            peer = node.view.peer(ServerId(other))
            if peer is None or now - side.trips.answered_at > link_times(node.view, peer)[1]:
                link.close()  # silent for too long
                world.network.dial(node.id, other)
            elif everybody or side.trips.due(beat_s(node.view, ServerId(other)), now):
                self._ask(node, other, side)

    def _ask(self, node: Node, other: int, side: Side) -> None:
        """As `Session.ask`."""
        world = self._world
        beacon, relays, lacked = node.said or self._saying(node)
        number, echo, held_ms = side.trips.ask(world.clock_of(node))
        ping = Ping(number, beacon, _only(relays, side.lacks), echo, held_ms, lacked)
        world.network.send(node.id, other, lambda: self._arrives(other, node.id, ping))

    def _arrives(self, number: int, sender: int, frame: Ping | Pong) -> None:
        world = self._world
        node = world.nodes.get(number)
        if node is not None:
            serial = world.network.link(number, sender).serial
            world.once_running(node, lambda: self._receive(node, sender, serial, frame))

    def _receive(self, node: Node, sender: int, serial: int, frame: Ping | Pong) -> None:
        """As `Session.took_s` and `ControlPort._receive`."""
        world = self._world
        side, now = node.sides.get(sender), world.clock_of(node)
        if side is None or side.serial != serial:
            return
        side.lacks = frame.lacks
        if isinstance(frame, Pong):
            side.trips.owe(frame.own, now)
            took_s = side.trips.took_s(frame.seq, 0.0, now)
        else:
            took_s = side.trips.took_s(frame.echo, frame.held_ms / 1000, now)
        if took_s is not None:
            world.network.settle(node.id, sender)
            if isinstance(frame, Ping):
                side.trips.led(now)
        world.feed(node, Heard(frame.beacon, took_s is not None, frame.relays, took_s or 0.0))
        if isinstance(frame, Ping) and world.runs(node):
            self._answer(node, sender, side, frame.seq)

    def _answer(self, node: Node, to: int, side: Side, number: int) -> None:
        """As `Session.answer`."""
        world = self._world
        node.said = node.said or self._saying(node)
        beacon, _, lacked = node.said
        relays = self._saying(node, anew=False)[1] if side.lacks else ()
        own = side.trips.answer(world.clock_of(node))
        pong = Pong(number, beacon, _only(relays, side.lacks), own, lacked)
        world.network.send(node.id, to, lambda: self._arrives(to, node.id, pong))

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
        serial = world.network.link(a, b).serial
        for one, other in ((a, b), (b, a)):
            node = world.nodes[one]
            trips = RoundTrips(asks=one < other, now=world.clock_of(node))
            node.sides[other] = Side(serial, trips)
            node.said = node.said or self._saying(node)
        for one, other in ((a, b), (b, a)):
            node = world.nodes[one]
            self._ask(node, other, node.sides[other])

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

    def _saying(self, node: Node, *, anew: bool = True) -> Said:
        """What a server says until its next heartbeat; `anew`: with a new number."""
        world, view = self._world, node.view
        node.seq += anew
        boasted = self._boasted() if node.boasts == "heads" else view.head
        beacon = Beacon(
            view.me,
            view.durable.boot,
            node.seq,
            view.role,
            view.epoch,
            view.maxep + (node.boasts == "epochs"),
            view.following,
            boasted,
            view.durable.barred,
        )
        relays = node.release.rules.relays(view, world.clock_of(node))
        if world.mixed:
            beacon, relays = node.release.passed(beacon, relays)
        return beacon, relays, lacks(view)

    def _boasted(self) -> str:
        """A head that nobody can fetch, another one each time."""
        self._unheard_of += 1
        return head_name(self._unheard_of)


def _only(relays: tuple[Relay, ...], wanted: int) -> tuple[Relay, ...]:
    return tuple(relay for relay in relays if wanted >> relay.beacon.id & 1)
