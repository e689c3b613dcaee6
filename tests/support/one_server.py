"""One server in the hands of a test: it turns its clock and says what it hears."""

from __future__ import annotations

from typing import TypeVar

from configrepo.model import ServerId
from scheduler.control_view import Barred, ControlRole
from scheduler.election import start, step
from scheduler.election_moves import Action, Event, Heard, Members, Persist, Persisted, Tick
from scheduler.election_sentences import sentence
from scheduler.election_values import Beacon, Durable, Peer, PeerState, Relay, View
from scheduler.presets import LAN

PRIMARY, SECONDARY, JOINING = ControlRole.PRIMARY, ControlRole.SECONDARY, ControlRole.JOINING
_Kind = TypeVar("_Kind")
Saying = tuple[int, ControlRole, int]


class Server:
    """One server, its clock and what it was told to do.

    `writes`: its disk has done at once what it is told; else a test says `persisted`.
    """

    def __init__(
        self, me: int, *others: int, durable: Durable | None = None, writes: bool = False
    ) -> None:
        self.now = 100.0
        self.done: list[Action] = []
        self.view: View = start(ServerId(me), LAN, durable or Durable(boot=1), self.now)
        self.seq = 10
        self._writes = writes
        self.feed(Members(tuple(ServerId(other) for other in others)))

    def feed(self, *events: Event) -> list[Action]:
        """Let events happen now; says what it was told to do."""
        before = len(self.done)
        for event in events:
            self.view, actions = step(self.view, event, self.now)
            self.done += actions
            for action in actions if self._writes else ():
                if isinstance(action, Persist):
                    self.feed(Persisted(action.durable))
        return self.done[before:]

    def beacon(
        self,
        other: int,
        role: ControlRole = SECONDARY,
        epoch: int = 0,
        *,
        seq: int | None = None,
        maxep: int = 0,
        head: str | None = None,
        boot: int = 1,
        barred: Barred | None = None,
    ) -> Beacon:
        """What another server says, with a greater number each time."""
        self.seq += 1
        number = self.seq if seq is None else seq
        highest = max(maxep, epoch)
        return Beacon(ServerId(other), boot, number, role, epoch, highest, None, head, barred)

    def hear(
        self,
        other: int,
        role: ControlRole = SECONDARY,
        epoch: int = 0,
        *,
        passed: tuple[Relay, ...] = (),
        maxep: int = 0,
        head: str | None = None,
        boot: int = 1,
        barred: Barred | None = None,
    ) -> list[Action]:
        """Another server answers, and passes beacons on."""
        beacon = self.beacon(other, role, epoch, maxep=maxep, head=head, boot=boot, barred=barred)
        return self.feed(Heard(beacon, round_trip=True, relays=passed))

    def wait(self, seconds: float, *said: Saying | int, tick_s: float = LAN.tick_s) -> list[Action]:
        """Let time pass, while others keep saying the same (just an id: it is a secondary)."""
        before = len(self.done)
        for _ in range(round(seconds / tick_s)):
            self.now += tick_s
            for one in said:
                self.hear(*((one,) if isinstance(one, int) else one))
            self.feed(Tick())
        return self.done[before:]

    def persisted(self) -> list[Action]:
        """The disk has done what it was told last."""
        return self.feed(Persisted(of(Persist, self.done)[-1].durable))

    def lead(self) -> None:
        """Become primary of a cluster in which nobody answers."""
        self.wait(LAN.boot_s + LAN.claim_s + 0.3)
        if not self._writes:
            self.persisted()
        assert self.view.role is PRIMARY

    def peer(self, other: int) -> Peer:
        """What is known of another server."""
        peer = self.view.peer(ServerId(other))
        assert peer is not None
        return peer

    def state(self, other: int = 1) -> PeerState:
        """How another server is."""
        return self.peer(other).state

    @property
    def text(self) -> str:
        """The sentence that a person sees, without its times."""
        return sentence(self.view).text


def of(kind: type[_Kind], actions: list[Action]) -> list[_Kind]:
    """The actions of one kind."""
    return [action for action in actions if isinstance(action, kind)]
