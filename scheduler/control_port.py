"""The control port: accepts, tells connections apart, and keeps sessions to all members.

A connection that names `bqn-rpc` or `bqn-join` is handed to the program with its bytes
unread; one that names `bqn-control` becomes a session here. Each server dials each
member with which it has no session, so it works if either side can reach the other; of
two sessions to one member, the one that the lower id opened is kept.

What it reports: beacons with their round trips, requests to hand over, good-byes, and
losses (a session that ended without good-bye, and two new connections refused).

Edge: sockets (asyncio).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from configrepo.model import ServerId
from scheduler import causes, tls
from scheduler.control_audience import Audience, Contact
from scheduler.control_channel import NoSession
from scheduler.control_session import PeerAddress, Session, answer, dial, refuse
from scheduler.election_values import Relay
from scheduler.messages import (
    Bye,
    Err,
    HandNo,
    HandOk,
    HandReq,
    Hello,
    Message,
    Ping,
    Pong,
)
from scheduler.presets import Timing
from scheduler.token_bucket import TokenBuckets

_PEEK_S = 5.0
_UNKNOWN_TOTAL = 64
_UNKNOWN_PER_SOURCE = 32
# A lost member is dialled after these pauses; both together leave a restart time to listen.
_REDIAL_S = (0.2, 0.6)
_REFUSALS_TO_LOSE = 2
_REKEY_S = 86_400.0
_GOODBYE_S = 1.0

_log = logging.getLogger(__name__)


class ControlPort:
    """The listener and all sessions of one server."""

    def __init__(
        self,
        listener: socket.socket,
        pem: Path,
        timing: Timing,
        audience: Audience,
        now: Callable[[], float],
        rekey_s: float = _REKEY_S,
        goodbye_s: float = _GOODBYE_S,
    ) -> None:
        self._listener = listener
        self._pem = pem
        self._timing = timing
        self._audience = audience
        self._now = now
        self._rekey_s = rekey_s
        self._goodbye_s = goodbye_s
        self._say()
        self._hello: Hello | None = None
        self._stopping = False
        self._told: tuple[Hello | None, tuple[PeerAddress, ...]] = (None, ())
        self._members: dict[ServerId, PeerAddress] = {}
        self._sessions: dict[ServerId, list[Session]] = {}
        self._contacts: dict[ServerId, Contact] = {}
        self._dialling: dict[ServerId, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._abrupt: dict[ServerId, int] = {}
        self._changed: dict[ServerId, asyncio.Event] = {}
        self._runs: dict[ServerId, tuple[int, str]] = {}
        self._cloned: set[ServerId] = set()
        self._rekeying: set[ServerId] = set()
        self._unknown: Counter[str] = Counter()
        self._buckets = TokenBuckets(rate_per_s=20.0, burst=40)
        self._alone_context = tls.join_server_context(pem)
        self._server_context = tls.server_context(pem, ())
        self._client_context = tls.client_context(pem, ())

    def start(self) -> None:
        """Begin to accept and to send heartbeats."""
        self._listener.setblocking(False)
        for vital in (self._accept(), self._beat()):
            self._spawn(vital).add_done_callback(self._vital_ended)

    def set_members(self, hello: Hello | None, members: tuple[PeerAddress, ...]) -> None:
        """Take over who belongs to the cluster; no HELLO means alone."""
        if (hello, members) == self._told:
            return
        self._told = (hello, members)
        pins = [member.certificate for member in members]
        self._server_context = tls.server_context(self._pem, pins)
        self._client_context = tls.client_context(self._pem, pins)
        before = self._members
        self._members = {member.id: member for member in members} if hello is not None else {}
        regreet = self._hello != hello
        self._hello = hello
        for server, member in before.items():
            if regreet or self._members.get(server) != member:
                self._forget(server)
        for server, member in self._members.items():
            if not member.removed and server not in self._dialling:
                self._dialling[server] = self._spawn(self._keep_session(member))

    def contact(self, server: ServerId) -> Contact:
        """What the port knows of a member."""
        return self._contacts.get(server, Contact())

    def send(self, server: ServerId, message: Message) -> bool:
        """Send a message to a member; False if there is no session."""
        sessions = self._sessions.get(server, [])
        if sessions:
            max(sessions, key=lambda session: session.answered_at).send(message)
        return bool(sessions)

    def _say(self) -> None:
        """What heartbeats and answers say until the next one; it is new only at `announce`."""
        audience = self._audience
        self._beacon, self._relays, self._lacks = (
            audience.beacon(),
            audience.relays(),
            audience.lacks(),
        )
        self._relayed = sum(1 << relay.beacon.id for relay in self._relays)

    def _ask(self, session: Session, now: float) -> None:
        session.ask(self._beacon, _only(self._relays, session.lacks), self._lacks, now)

    def _answer_ping(self, session: Session, ping: Ping, now: float) -> None:
        # Their age counts, so what is passed on is looked up again; mostly nobody wants it.
        wanted = session.lacks & self._relayed
        relays = _only(self._audience.relays(), wanted) if wanted else ()
        session.answer(ping, self._beacon, relays, self._lacks, now)

    def announce(self) -> None:
        """Send a heartbeat to everybody now."""
        self._ping(everybody=True)

    def _ping(self, *, everybody: bool) -> None:
        now = self._now()
        self._say()
        for server, sessions in self._sessions.items():
            interval_s = self._audience.pace_s(server)[0]
            for session in sessions:
                if everybody or session.due(interval_s, now):
                    self._ask(session, now)

    def redial(self, server: ServerId) -> None:
        """Open a second, fresh connection to a member that is suspected."""
        member = self._members.get(server)
        if member is not None and len(self._sessions.get(server, [])) == 1:
            self._spawn(self._dial_beside(member))

    async def _dial_beside(self, member: PeerAddress) -> None:
        """Try until there is a second connection, or the first one answers again."""
        while len(sessions := self._sessions.get(member.id, [])) == 1:
            if self._now() - sessions[0].answered_at < self._timing.suspect_s:
                return
            if await self._dial_once(member):
                return
            await asyncio.sleep(self._timing.tick_s)

    async def stop(self) -> None:
        """Refuse who comes now, say good-bye to everybody, and close when they have heard it.

        Who missed the good-bye and calls again must not wait in the queue of a listener that
        the program still has: it would learn of the stop by silence only.
        """
        self._stopping = True
        for dialling in self._dialling.values():
            dialling.cancel()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        boot = self._hello.boot if self._hello is not None else 0
        told = [session for sessions in self._sessions.values() for session in sessions]
        for session in told:
            session.send(Bye(stopping=True, boot=boot))
        if told:
            # Who has read it closes. An end while others still send would be a reset, which
            # may drop what they have not read yet.
            await asyncio.wait([session.ended for session in told], timeout=self._goodbye_s)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the control port failed", exc_info=error)

    def _vital_ended(self, task: asyncio.Task[Any]) -> None:
        # Without it others would hear what was, or find nobody, and believe it.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._audience.fail(f"the control port failed: {type(error).__name__}: {error}")

    def _forget(self, server: ServerId) -> None:
        task = self._dialling.pop(server, None)
        if task is not None:
            task.cancel()
        for session in self._sessions.get(server, []):
            session.dismiss()
        self._contacts.pop(server, None)
        self._abrupt.pop(server, None)
        self._cloned.discard(server)
        if self._runs.pop(server, None) is not None:
            self._audience.disputed(server, None)

    # --- accepting --------------------------------------------------------------------

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:
                if self._stopping:
                    return
                # Out of descriptors, or a connection that ended meanwhile: go on.
                _log.warning("accepting failed: %s", error)
                await asyncio.sleep(0.1)
                continue
            source = str(address[0]).removeprefix("::ffff:")
            if not self._may_enter(source):
                connection.close()
                continue
            self._spawn(self._enter(connection, source))

    def _may_enter(self, source: str) -> bool:
        """The limits for those who have not shown who they are."""
        return (
            self._unknown.total() < _UNKNOWN_TOTAL
            and self._unknown[source] < _UNKNOWN_PER_SOURCE
            and self._buckets.take(source, self._now())
        )

    async def _enter(self, connection: socket.socket, source: str) -> None:
        self._unknown[source] += 1
        session: Session | None = None
        try:
            connection.setblocking(False)
            async with asyncio.timeout(_PEEK_S):
                name = await tls.name_of(connection)
            if name == tls.SNI_CONTROL:
                session = await self._answer(connection)
            elif name in tls.SNI_NAMES:
                self._audience.deliver(connection, source, name)
            else:
                connection.close()
        except (OSError, tls.NotOurHello) as error:
            _log.debug("a connection of %s was not taken: %s", source, error)
            connection.close()
        except NoSession as error:
            _log.debug("a session of %s was not opened: %s", source, error)
            if error.theirs is not None:
                self._note_failure(error.theirs.id, error)
        finally:
            self._unknown[source] -= 1
            self._unknown += Counter()  # forgets those at zero
        if session is not None:
            await self._run(session)

    async def _answer(self, connection: socket.socket) -> Session:
        if self._hello is None:
            # Without pins nobody can prove anything; the caller at least learns who is here.
            await refuse(connection, self._alone_context, "alone")
            raise NoSession(causes.NOT_A_MEMBER)
        return await answer(
            connection, self._server_context, self._hello, self._members, self._now()
        )

    # --- dialling ---------------------------------------------------------------------

    async def _keep_session(self, member: PeerAddress) -> None:
        """Dial a member whenever there is no session to it."""
        changed = self._changed.setdefault(member.id, asyncio.Event())
        if self._hello is not None and self._hello.id > member.id:
            # The lower id dials first; waiting avoids most second sessions.
            await asyncio.sleep(self._timing.hb_s)
        failures = 0
        while True:
            while self._sessions.get(member.id):
                failures = 1
                changed.clear()
                await changed.wait()
            if member.id in self._abrupt:
                await asyncio.sleep(_REDIAL_S[0 if failures <= 1 else 1])
            elif failures:
                await asyncio.sleep(self._audience.pace_s(member.id)[0])
            if not self._sessions.get(member.id) and not await self._dial_once(member):
                failures += 1

    async def _dial_once(self, member: PeerAddress) -> bool:
        """Try to open a session; run it in a task of its own."""
        if self._hello is None:
            return False
        try:
            # Many handshakes at once take longer than one: no attempt is given up for that.
            within_s = min(5.0, self._timing.dial_s * max(1, len(self._members) // 16))
            session = await dial(member, self._client_context, self._hello, self._now(), within_s)
        except NoSession as error:
            self._note_failure(member.id, error)
            return False
        self._spawn(self._run(session))
        await asyncio.sleep(0)
        return True

    def _note_failure(self, server: ServerId, error: NoSession) -> None:
        """R2: two refusals after a loss mean that it is gone, not slow."""
        known, theirs = self.contact(server), error.theirs
        version = known.version if theirs is None else theirs.version
        self._contacts[server] = Contact(version, None, error.cause, known.schema, str(error))
        if error.code == "removed":
            self._audience.refused_by(server, error.code)
        if theirs is not None:
            self._audience.not_understood(theirs)
        if self._sessions.get(server):
            return
        if server in self._abrupt:
            if error.cause != causes.REFUSED:
                del self._abrupt[server]  # not there to refuse: its silence will tell
                return
            self._abrupt[server] += 1
            if self._abrupt[server] < _REFUSALS_TO_LOSE:
                return
            del self._abrupt[server]
        elif error.cause == causes.NO_ANSWER:
            return
        self._audience.lost(server, str(error))

    # --- sessions ---------------------------------------------------------------------

    async def _run(self, session: Session) -> None:
        """Serve a session until it ends."""
        server = session.peer
        if not self._enrol(session):
            return
        try:
            self._ask(session, self._now())
            why = await session.serve(
                partial(self._receive, session), lambda: self._audience.pace_s(server)[1]
            )
            _log.debug("the session with BQN %d ended: %s", server, why)
        finally:
            session.close()
            sessions = self._sessions.get(server, [])
            if session in sessions:
                sessions.remove(session)
            if not sessions and not session.dismissed:
                self._abrupt[server] = 0
            if not sessions and (changed := self._changed.get(server)) is not None:
                changed.set()

    def _enrol(self, session: Session) -> bool:
        """Decide which of the sessions to one member stay; False if not the new one."""
        if self._stopping:
            session.abort()
            return False
        if not self._is_the_one(session):
            session.send(Err("clone"))
            session.close()
            return False
        sessions = self._sessions.setdefault(session.peer, [])
        for old in list(sessions):
            if old.boot < session.boot:
                sessions.remove(old)
                old.abort()
        if sessions and sessions[0].boot > session.boot:
            session.abort()
            return False
        sessions.append(session)
        self._abrupt.pop(session.peer, None)
        known = self.contact(session.peer)
        self._contacts[session.peer] = replace(session.contact, rtt_ms=known.rtt_ms)
        fresh = self._now() - self._timing.suspect_s
        if all(old.answered_at > fresh for old in sessions):
            self._keep_one(sessions)
        return session in sessions

    def _is_the_one(self, session: Session) -> bool:
        """R11: of one key only one server runs, and its starts are counted upwards."""
        server, run = session.peer, (session.boot, session.run)
        known = self._runs.get(server, run)
        if run[0] > known[0]:
            self._cloned.discard(server)
            self._audience.disputed(server, None)
        elif run != known and session.run:
            self._cloned.add(server)
        if server not in self._cloned:
            self._runs[server] = run
            return True
        why = "two servers run with its key" if run[0] == known[0] else "its starts count back"
        self._audience.disputed(server, f"{why}: it was cloned, or restored from an old copy")
        for old in self._sessions.pop(server, []):
            old.send(Err("clone"))
            old.dismissed = True
            old.close()
        return False

    def _keep_one(self, sessions: list[Session]) -> None:
        """Of several good sessions the one opened by the lower id stays, then the newest."""
        best = min(sessions, key=lambda one: (one.initiator, -one.opened_at))
        for session in list(sessions):
            if session is not best:
                sessions.remove(session)
                session.dismiss()

    def _receive(self, session: Session, message: Message) -> None:
        audience, now = self._audience, self._now()
        match message:
            case Ping(beacon=beacon) | Pong(beacon=beacon) if beacon.id == session.peer:
                took_s = session.took_s(message, now)
                if took_s is not None:
                    self._contacts[session.peer] = session.contact_at(took_s)
                    self._drop_silent(session)
                audience.heard(message, took_s)
                if isinstance(message, Ping):
                    self._answer_ping(session, message, now)
            case Err(code="clone"):
                audience.refused_by(session.peer, "clone")
            case HandReq() | HandOk() | HandNo():
                audience.asked(session.peer, message)
            case Bye(stopping=stopping, boot=boot):
                session.dismissed = True
                if stopping:
                    audience.left(session.peer, boot)
                session.close()

    def _drop_silent(self, session: Session) -> None:
        """After a suspicion: the session that answers stays, the stalled one goes."""
        sessions = self._sessions.get(session.peer, [])
        if len(sessions) > 1:
            silent = self._now() - self._timing.suspect_s
            for other in [one for one in sessions if one.answered_at < silent]:
                sessions.remove(other)
                other.abort()

    async def _beat(self) -> None:
        while True:
            self._ping(everybody=False)
            self._rekey()
            # Jitter keeps the servers from beating in step; it decides nothing.
            await asyncio.sleep(self._timing.hb_s * random.uniform(0.9, 1.1))  # noqa: S311

    def _rekey(self) -> None:
        """Open a new connection beside one that is a day old; the newer one is kept."""
        for server, sessions in self._sessions.items():
            member = self._members.get(server)
            if member is None or len(sessions) != 1 or server in self._rekeying:
                continue
            if (
                sessions[0].initiator != server
                and sessions[0].opened_at < self._now() - self._rekey_s
            ):
                self._rekeying.add(server)
                renewal = self._spawn(self._dial_once(member))
                renewal.add_done_callback(partial(self._rekeyed, server))

    def _rekeyed(self, server: ServerId, _: asyncio.Task[Any]) -> None:
        self._rekeying.discard(server)


def _only(relays: tuple[Relay, ...], wanted: int) -> tuple[Relay, ...]:
    """Those of a set of servers: bit 0 stands for BQN 0."""
    if not wanted:
        return ()
    return tuple(relay for relay in relays if wanted >> relay.beacon.id & 1)
