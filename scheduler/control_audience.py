"""Who listens to the control port: what it reports, and what it asks for.

Edge: sockets.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

from configrepo.model import ServerId
from scheduler import causes
from scheduler.election_values import Beacon, Peer, PeerState, Relay
from scheduler.messages import HandNo, HandOk, HandReq, Hello, Ping, Pong


@dataclass(frozen=True, slots=True)
class Contact:
    """What the port knows of a member beside the election.

    `cause` and `detail` say why there is no session; `schema` is the newest schema of the
    configuration that it reads, 0 while that is not known.
    """

    version: str = ""
    rtt_ms: float | None = None
    cause: str = ""
    schema: int = 0
    detail: str = ""


_CONFLICTS = {causes.WRONG_IDENTITY, causes.OTHER_CLUSTER, causes.OTHER_SERVER}


def seen_as(peer: Peer, contact: Contact, sentence: str) -> tuple[str, str]:
    """State and sentence of a member: why there is no session counts more than its silence."""
    if peer.known or peer.state is PeerState.LEFT:
        return peer.state.value, sentence
    if contact.cause in _CONFLICTS:
        said = f"BQN {peer.id} is not who it should be: {causes.said(contact.cause)}"
        return "conflict", said
    if contact.cause == causes.VERSION:
        return "incompatible", contact.detail
    return peer.state.value, sentence


class Audience(Protocol):
    """Who is told what happens on the port."""

    def beacon(self) -> Beacon:
        """This server's beacon, with a new number each time."""
        ...

    def relays(self) -> tuple[Relay, ...]:
        """The beacons of others that are passed on with it."""
        ...

    def lacks(self) -> int:
        """The members that this server does not hear itself: bit 0 stands for BQN 0."""
        ...

    def pace_s(self, server: ServerId) -> tuple[float, float]:
        """How often the link to a member beats, and which silence ends its connection."""
        ...

    def heard(self, ping: Ping | Pong, took_s: float | None) -> None:
        """A beacon came; `took_s` if it answers a question of this server."""
        ...

    def disputed(self, server: ServerId, why: str | None) -> None:
        """Two servers run with the key of a member, or that is settled."""
        ...

    def refused_by(self, server: ServerId, code: str) -> None:
        """A member says that this server was `removed`, or is a `clone`."""
        ...

    def not_understood(self, theirs: Hello) -> None:
        """A member was refused, because its release and this one have no protocol in common."""
        ...

    def lost(self, server: ServerId, why: str) -> None:
        """A server is gone, or could not be reached."""
        ...

    def left(self, server: ServerId, boot: int) -> None:
        """A server said good-bye."""
        ...

    def asked(self, server: ServerId, message: HandReq | HandOk | HandNo) -> None:
        """A message about handing over came."""
        ...

    def fail(self, sentence: str) -> None:
        """The port cannot go on: end the process."""
        ...

    def deliver(self, connection: socket.socket, address: str, sni: str) -> None:
        """A connection for the program came; it is to be taken over."""
        ...
