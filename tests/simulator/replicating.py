"""What simulated servers send each other of their repositories, and who commits what where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.election_moves import CaughtUp, HeadMoved
from scheduler.election_values import Beacon
from tests.simulator.lines import Line, Term, Violated, head_name, head_number, order
from tests.simulator.servers import Node

if TYPE_CHECKING:
    from tests.simulator.world import World

GIT_S = (0.02, 0.08)


class Replicating:
    """Commits, pushes, fetches and merges of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def commit(self, node: Node) -> int:
        """Commit at a server that leads."""
        self._may_move(node)
        world = self.world
        number = world.history.commit(world.disks[node.id].line, (node.view.epoch, node.id))
        self.moved(node)
        return number

    def _may_move(self, node: Node) -> None:
        """R2, R11: who was paused, or runs twice, moves nothing in its former term."""
        if node.stale == node.view.epoch:
            raise Violated(f"I3: BQN {node.id} moves its head in a term of before its pause")
        if node.id in self.world.twins and not self.world.unaware(node):
            raise Violated(f"R11: BQN {node.id}, of which two run, moves its head")

    def lead(self, node: Node, term: Term) -> None:
        """A new term begins: join all lines that are here."""
        world = self.world
        line = world.disks[node.id].line
        line.moved_in = max(line.moved_in, order(term))
        for head in list(line.terms.values()):
            world.history.merge(line, head, term)
        self.moved(node)

    def moved(self, node: Node) -> None:
        """The head of a server moved: it sees what stands there of the members."""
        world = self.world
        world.deliver(node, HeadMoved(head_name(world.disks[node.id].line.cluster)))
        world.learn(node)

    def reaches(self, a: int, b: int) -> bool:
        """Whether git can talk to the other."""
        world = self.world
        reached = world.network.link(a, b).up and world.network.whole(a, b)
        return reached and world.answers(a) and world.answers(b)

    def fetch_soon(self, node: Node, source: int, head: str) -> None:
        """Fetch a head of another server."""
        world = self.world
        if node.leads:
            world.fetches.append((world.now, node.id))
        number = head_number(head)
        if number < len(world.history):  # or it is one that somebody has made up
            world.after(world.chance.uniform(*GIT_S), self._fetch, node, source, number)

    def _fetch(self, node: Node, source: int, head: int) -> None:
        """R10: get what another one has; who leads merges it."""
        world = self.world
        line = world.disks[node.id].line
        has = line.objects >> head & 1
        if not world.runs(node) or not (has or self.reaches(node.id, source)):
            return
        if not has:
            world.history.share(line, world.disks[source].line)
            line.objects |= world.history.contains[head]
        if node.leads and world.history.merge(line, head, (node.view.epoch, node.id)):
            self.moved(node)
        world.deliver(node, CaughtUp(head_name(head)))

    def replicate(self, node: Node) -> None:
        """The primary pushes to its followers; all exchange their term lines."""
        world = self.world
        node.partner = (node.partner + 1) % world.count
        if node.partner != node.id and self.reaches(node.id, node.partner):
            world.history.share(world.disks[node.id].line, world.disks[node.partner].line)
        if not node.leads:
            return
        for peer in node.view.peers:
            beacon = peer.beacon
            if beacon is None or not self.serves(node, beacon) or peer.head == node.view.head:
                continue
            if peer.id not in node.pushing and self.reaches(node.id, peer.id):
                node.pushing.add(peer.id)
                term = (node.view.epoch, node.id)
                world.after(world.chance.uniform(*GIT_S), self._push, node, peer.id, term)

    def _push(self, node: Node, number: int, term: Term) -> None:
        """R9: a move of the head is taken from the followed primary only, and only forward."""
        world = self.world
        node.pushing.discard(number)
        if not world.runs(node) or not self.reaches(node.id, number):
            return
        receiver, line = world.nodes[number], world.disks[number].line
        own = world.disks[node.id].line
        world.history.share(own, line)
        admitted = self.admits(receiver, term) and node.leads
        if admitted and own.cluster != line.cluster and self.is_forward(line, own.cluster):
            line.objects |= world.history.contains[own.cluster]
            world.history.move(line, own.cluster, term)
            self.moved(receiver)

    def serves(self, node: Node, beacon: Beacon) -> bool:
        """Whether a primary pushes to the sender of a beacon."""
        return beacon.following == node.id

    def admits(self, receiver: Node, term: Term) -> bool:
        """R9: whether a server takes a head that was moved in that term."""
        return (receiver.view.epoch, receiver.view.following) == term

    def is_forward(self, line: Line, head: int) -> bool:
        """Whether a head contains all that a line's head does."""
        return self.world.history.forward(line, head)
