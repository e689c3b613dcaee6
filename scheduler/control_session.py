"""One connection of the control port between two members, after TLS.

Both sides say HELLO first; from then on frames go in both directions. The claimed id
must own the certificate that was shown, and both must be of the same cluster. Every
wait has a deadline: HELLO complete within 5 s, the rest of a begun frame within 2 s,
and a connection that stays silent for `dead` is closed.

Edge: sockets (asyncio).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from configrepo.model import ServerId
from scheduler import causes, tls
from scheduler.compatibility import common_protocol, not_understood
from scheduler.control_audience import Contact
from scheduler.control_channel import HELLO_S, Channel, NoSession
from scheduler.election_values import Beacon, Relay
from scheduler.messages import Bye, Err, Hello, Message, Ping, Pong, UnknownType
from scheduler.round_trips import RoundTrips


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """How to reach another member, and its pinned certificate (base64 DER)."""

    id: ServerId
    address: str
    port: int
    certificate: str
    removed: bool = False


class Session:
    """An open connection to a member."""

    def __init__(
        self, channel: Channel, ours: Hello, theirs: Hello, *, initiator: ServerId, now: float
    ) -> None:
        self.peer = theirs.id
        self.boot = theirs.boot
        self.contact = Contact(theirs.version, schema=theirs.schema)
        self.run = theirs.run
        self.initiator = initiator
        self.opened_at = now
        self.dismissed = False
        self.lacks = 0  # what the other side wants to be told of, as it said last
        self._trips = RoundTrips(asks=ours.id < theirs.id, now=now)
        self._ours = ours
        self._channel = channel

    @property
    def ended(self) -> asyncio.Future[NoSession]:
        """Done when the connection is over."""
        return self._channel.ended

    @property
    def answered_at(self) -> float:
        """The last round trip."""
        return self._trips.answered_at

    def contact_at(self, took_s: float) -> Contact:
        """What is known of the other side after such a round trip."""
        known = self.contact
        return Contact(known.version, took_s * 1000, known.cause, known.schema, known.detail)

    def due(self, interval_s: float, now: float) -> bool:
        """Whether it is time for `ask`."""
        return self._trips.due(interval_s, now)

    def ask(self, beacon: Beacon, relays: tuple[Relay, ...], lacks: int, now: float) -> None:
        """Send a heartbeat that wants an answer."""
        number, echo, held_ms = self._trips.ask(now)
        self._channel.send(Ping(number, beacon, relays, echo, held_ms, lacks))

    def answer(
        self, ping: Ping, beacon: Beacon, relays: tuple[Relay, ...], lacks: int, now: float
    ) -> None:
        """Send the answer to a heartbeat."""
        self._channel.send(Pong(ping.seq, beacon, relays, self._trips.answer(now), lacks))

    def took_s(self, heartbeat: Ping | Pong, now: float) -> float | None:
        """How long an answer was under way; None if nothing was asked that it answers."""
        self.lacks = heartbeat.lacks
        match heartbeat:
            case Pong(seq=seq, own=own):
                self._trips.owe(own, now)
                return self._trips.took_s(seq, 0.0, now)
            case Ping(echo=echo, held_ms=held_ms):
                took_s = self._trips.took_s(echo, held_ms / 1000, now)
                if took_s is not None:
                    self._trips.led(now)
                return took_s

    def send(self, message: Message) -> None:
        """Send a message."""
        self._channel.send(message)

    def dismiss(self) -> None:
        """Close a connection that is one too many; the other side must not see a loss."""
        self.dismissed = True
        self.send(Bye(stopping=False, boot=self._ours.boot))
        self._channel.close()

    def abort(self) -> None:
        """Drop the connection of a server that is not there any more."""
        self.dismissed = True
        self._channel.abort()

    async def serve(
        self, take: Callable[[Message], None], silence_s: Callable[[], float]
    ) -> NoSession:
        """Hand on what arrives, until the connection ends; says why it did."""
        self._channel.listen(take, silence_s)
        return await asyncio.shield(self._channel.ended)

    def close(self) -> None:
        """Close it, sending what waits."""
        self._channel.close()


async def dial(
    member: PeerAddress,
    context: ssl.SSLContext,
    ours: Hello,
    now: float,
    within_s: float = HELLO_S,
) -> Session:
    """Open a session to a member, or give up: a lost packet is sooner sent anew than waited for.

    Raises:
        NoSession: with the cause.
    """
    try:
        async with asyncio.timeout(within_s):
            _, channel = await asyncio.get_running_loop().create_connection(
                Channel, member.address, member.port, ssl=context, server_hostname=tls.SNI_CONTROL
            )
    except (OSError, ValueError) as error:
        raise NoSession(causes.cause_of(error)) from error
    try:
        if channel.shown_digest != tls.digest_b64(member.certificate):
            raise NoSession(causes.WRONG_IDENTITY)
        channel.send(ours)
        theirs = await _greeting(channel)
        if theirs.id != member.id:
            raise NoSession(causes.OTHER_SERVER)
        _check(ours, theirs)
    except BaseException:
        channel.abort()
        raise
    return Session(channel, ours, theirs, initiator=ours.id, now=now)


async def answer(
    connection: socket.socket,
    context: ssl.SSLContext,
    ours: Hello,
    members: dict[ServerId, PeerAddress],
    now: float,
) -> Session:
    """Make a session of an accepted connection, of which nothing was read yet.

    Raises:
        NoSession: with the cause; the other side was told what it may know.
    """
    try:
        _, channel = await asyncio.get_running_loop().connect_accepted_socket(
            Channel, connection, ssl=context, ssl_handshake_timeout=HELLO_S
        )
    except OSError as error:  # the transport has closed the connection
        raise NoSession(causes.cause_of(error)) from error
    try:
        theirs = await _greeting(channel)
        _admit(channel, ours, theirs, members)
    except BaseException:
        channel.close()
        raise
    channel.send(ours)
    return Session(channel, ours, theirs, initiator=theirs.id, now=now)


async def refuse(connection: socket.socket, context: ssl.SSLContext, code: str) -> None:
    """Tell an accepted connection that no session is possible, and close it."""
    with contextlib.suppress(OSError):
        _, channel = await asyncio.get_running_loop().connect_accepted_socket(
            Channel, connection, ssl=context, ssl_handshake_timeout=HELLO_S
        )
        channel.send(Err(code))
        channel.close()


def _admit(
    channel: Channel, ours: Hello, theirs: Hello, members: dict[ServerId, PeerAddress]
) -> None:
    member = members.get(theirs.id)
    if member is None or channel.shown_digest != tls.digest_b64(member.certificate):
        channel.send(Err("wrong-identity"))
        raise NoSession(causes.WRONG_IDENTITY)
    if member.removed:
        channel.send(Err("removed"))
        raise NoSession(causes.NOT_A_MEMBER)
    try:
        _check(ours, theirs)
    except NoSession as error:
        # Who cannot be understood is told who refuses it: it can say so to people.
        known = error.theirs is not None
        channel.send(ours if known else Err(error.cause.replace(" ", "-")))
        raise


async def _greeting(channel: Channel) -> Hello:
    try:
        async with asyncio.timeout(HELLO_S):
            message = await channel.first()
    except TimeoutError as error:
        raise NoSession(causes.NO_ANSWER, "no HELLO in time") from error
    except UnknownType as error:
        raise NoSession(causes.NOT_OUR_PROGRAM, "no HELLO") from error
    match message:
        case Hello():
            return message
        case Err(code=code):
            raise NoSession(_REFUSALS.get(code, causes.NO_ANSWER), f"it says {code}", code)
    raise NoSession(causes.NOT_OUR_PROGRAM, "no HELLO")


_REFUSALS = {
    "alone": causes.NOT_A_MEMBER,
    "removed": causes.NOT_A_MEMBER,
    "wrong-identity": causes.NOT_A_MEMBER,
    "other-cluster": causes.OTHER_CLUSTER,
}


def _check(ours: Hello, theirs: Hello) -> None:
    if theirs.cluster != ours.cluster:
        raise NoSession(causes.OTHER_CLUSTER)
    if theirs.id == ours.id:
        raise NoSession(causes.OTHER_SERVER, "it has the same id")
    if common_protocol(ours, theirs) is None:
        raise NoSession(causes.VERSION, not_understood(ours, theirs), theirs=theirs)
