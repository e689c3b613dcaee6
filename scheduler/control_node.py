"""The election of one server while it runs: facts to `step`, and what it decides done.

Facts come from the port, the link and the clock; `election.step` decides; what it wants
done is done here, and what must be durable is written by a thread so that a slow disk
delays no heartbeat. What fails here fails the process: as a dead one it misleads nobody.

Edge: sockets, files.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from configrepo.model import ServerId
from scheduler import causes, witness
from scheduler.beacon_signing import is_genuine, private_key, public_key, signed
from scheduler.clock import Clock
from scheduler.compatibility import not_understood, stands_aside
from scheduler.control_audience import seen_as
from scheduler.control_port import ControlPort
from scheduler.control_session import PeerAddress
from scheduler.control_view import Barred, ControlView, PeerView, barred_from_json, view_to_json
from scheduler.durable_term import read_term, write_term
from scheduler.election import start, step
from scheduler.election_known import beat_s, lacks, link_times, relays
from scheduler.election_moves import (
    Action,
    Announce,
    AskHandover,
    Bar,
    CatchUp,
    CaughtUp,
    Disputed,
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
    Redial,
    RefuseHandover,
    Stalled,
    StopCommits,
    Tick,
    Witness,
)
from scheduler.election_sentences import peer_sentence, sentence
from scheduler.election_values import Beacon, Durable, Peer, PeerState, Relay, Said
from scheduler.instants import Speaker, monotonic, wall
from scheduler.link import LinkWriter
from scheduler.messages import HandNo, HandOk, HandReq, Hello, Ping, Pong
from scheduler.presets import Timing

_VIEW_S = 1.0
# Where nothing but round trips and last contacts is new, a view of many members can wait.
_VIEWED_PER_S = 64
_log = logging.getLogger(__name__)


class Node:
    """This server in the election: carries facts to `step` and does what it decides."""

    def __init__(
        self,
        settings: dict[str, Any],
        listener: socket.socket,
        link: LinkWriter,
        clock: Clock | None = None,
    ) -> None:
        timing = Timing(**settings["timing"])
        self._me = ServerId(settings["id"])
        self._state_dir = Path(settings["state_dir"])
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="disk")
        durable = read_term(self._state_dir)
        durable = replace(durable, boot=durable.boot + 1)
        write_term(self._state_dir, durable)  # R1: before the first frame
        self._view = start(self._me, timing, durable, monotonic())
        self._barred_until: float | None = None
        self._watch_bar(durable.barred)
        self._seq = 0
        self._silent_ticks = 0
        self._stall_ticks = int(3 * timing.dead_s / timing.tick_s)
        self._speaker = Speaker()
        self._since = (self._view.role_at, datetime.now(UTC))
        self._alone: tuple[float, datetime] | None = None
        self._contacts: dict[ServerId, datetime] = {}
        self._shown: object = None
        self._shown_at = 0.0
        self._logged = ""
        self._key = private_key(Path(settings["pem"]).read_bytes())
        self._cluster = ""
        self._hello = Hello(
            "",
            self._me,
            durable.boot,
            str(settings["version"]),
            lowest_protocol=settings["protocols"][0],
            highest_protocol=settings["protocols"][1],
            run=secrets.token_hex(8),
            schema=settings["schema"],
        )
        self._strangers: dict[ServerId, Hello] = {}
        self._pins: dict[ServerId, Ed25519PublicKey | None] = {}
        self._port = ControlPort(listener, Path(settings["pem"]), timing, self, monotonic)
        self._port.start()
        self._witness: asyncio.Task[None] | None = None
        if settings["witness"]:
            self._witness = self._loop.create_task(self._ask_witness(settings["witness"], timing))
        self._clock = clock or Clock({"control": 1})
        self._clock.every(timing.tick_s, self._tick_from_clock, "election", executor="control")

    # --- what the program says ---------------------------------------------------------

    def told(self, value: dict[str, Any]) -> None:
        """A line of the program."""
        self._silent_ticks = 0
        match value["t"]:
            case "members":
                self._set_members(value)
            case "heads":
                self.feed(HeadMoved(value["cluster"]))
            case "handover-done":
                self.feed(HandoverDone(value["cluster"]))
            case "caught-up":
                self.feed(CaughtUp(value["head"]))
            case "bar":
                barred = barred_from_json(value["barred"])
                self._watch_bar(barred)
                self.feed(Bar(barred))

    def _watch_bar(self, barred: Barred | None) -> None:
        """R14: read the wall clock once; from then on the time that is left just passes."""
        self._barred_until = None
        if barred is not None and barred.until is not None:
            self._barred_until = monotonic() + barred.until - time.time()

    async def _ask_witness(self, setting: str, timing: Timing) -> None:
        """R13: ask it twice as often as a silence would make somebody dead."""
        address, port = witness.parse(setting)
        while True:
            self.feed(Witness(await witness.answers(address, port, timing.suspect_s)))
            await asyncio.sleep(timing.suspect_s)

    def _set_members(self, value: dict[str, Any]) -> None:
        members = tuple(
            PeerAddress(
                id=ServerId(member["id"]),
                address=member["address"],
                port=member["port"],
                certificate=member["certificate"],
                removed=member["removed"],
            )
            for member in value["members"]
            if member["id"] != self._me
        )
        others = tuple(member.id for member in members if not member.removed)
        hello = None
        if value["cluster"] is not None and members:
            boot = self._view.durable.boot
            hello = replace(self._hello, cluster=value["cluster"], boot=boot)
            self._cluster, self._hello = hello.cluster, hello
        self._pins = {m.id: public_key(m.certificate) for m in members if not m.removed}
        self._port.set_members(hello, members)
        others = others if hello is not None else ()
        self.feed(Members(others, value["founding"], value["former"]))

    # --- what the port says (its `Audience`) ---------------------------------------------

    def beacon(self) -> Beacon:
        """This server's beacon, with a new number each time."""
        self._seq += 1
        view = self._view
        beacon = Beacon(
            id=self._me,
            boot=view.durable.boot,
            seq=self._seq,
            role=view.role,
            epoch=view.epoch,
            maxep=view.maxep,
            following=view.following,
            head=view.head,
            barred=view.durable.barred,
        )
        return signed(beacon, self._cluster, self._key)

    def relays(self) -> tuple[Relay, ...]:
        """The beacons of others that are passed on with it."""
        passed = relays(self._view, monotonic())
        return tuple(relay for relay in passed if relay.beacon.signature)

    def lacks(self) -> int:
        """The members that this server does not hear itself: bit 0 stands for BQN 0."""
        return lacks(self._view)

    def pace_s(self, server: ServerId) -> tuple[float, float]:
        """How often the link to a member beats, and which silence ends its connection."""
        peer = self._view.peer(server)
        dead_s = self._view.timing.dead_s if peer is None else link_times(self._view, peer)[1]
        return beat_s(self._view, server), dead_s

    def heard(self, ping: Ping | Pong, took_s: float | None) -> None:
        """A beacon came, with those that its sender passes on."""
        if took_s is not None:
            self._contacts[ping.beacon.id] = datetime.now(UTC)
        genuine = tuple(relay for relay in ping.relays if self._counts(relay))
        self.feed(Heard(ping.beacon, took_s is not None, genuine, took_s or 0.0))

    def _counts(self, relay: Relay) -> bool:
        """Check the signature of a beacon that is newer than what is known."""
        beacon, peer = relay.beacon, self._view.peer(relay.beacon.id)
        if peer is None or peer.state is PeerState.ALIVE or beacon.number <= peer.counted:
            return False
        key = self._pins.get(beacon.id)
        return key is not None and is_genuine(beacon, self._cluster, key)

    def disputed(self, server: ServerId, why: str | None) -> None:
        """Two servers run with the key of a member, or that is settled."""
        self.feed(Disputed(server, why))

    def refused_by(self, server: ServerId, code: str) -> None:
        """A member says that this server was removed, or that another one runs with its key."""
        if code == "removed":
            self._link.send({"t": "removed", "by": server})
        else:
            why = f"BQN {server} says that another server runs with the key of BQN {self._me}"
            self.feed(Stalled(why))

    def not_understood(self, theirs: Hello) -> None:
        """A member was refused, because its release and this one have no protocol in common."""
        self._strangers[theirs.id] = theirs
        view = self._view
        answer = {
            p.id
            for p in view.peers
            if not p.known and self._port.contact(p.id).cause == causes.VERSION
        }
        strangers = [hello for server, hello in self._strangers.items() if server in answer]
        if stands_aside(self._hello, strangers, len(view.known)):
            self.feed(
                Stalled(f"BQN {self._me} stands aside: {not_understood(self._hello, theirs)}")
            )

    def lost(self, server: ServerId, why: str) -> None:
        """A server is gone, or could not be reached."""
        self.feed(Lost(server, why))

    def left(self, server: ServerId, boot: int) -> None:
        """A server said good-bye."""
        self.feed(Left(server, boot))

    def asked(self, server: ServerId, message: HandReq | HandOk | HandNo) -> None:
        """A message about handing over came."""
        match message:
            case HandReq():
                self.feed(HandoverAsked(server))
            case HandOk(epoch=epoch, head=head):
                self.feed(HandoverGranted(server, epoch, head))
            case HandNo(why=why):
                self.feed(HandoverRefused(server, why))

    def deliver(self, connection: socket.socket, address: str, sni: str) -> None:
        """A connection for the program came."""
        self._link.send({"t": "connection", "address": address, "sni": sni, "fd": True}, connection)

    # --- deciding and doing --------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Let the election take an event, show what came of it, do what it wants."""
        before = self._view
        self._view, actions = step(before, event, monotonic())
        # Who is back is shown before it is fetched from: its session begins anew. Else at a tick.
        urgent = isinstance(event, Tick) or any(isinstance(a, CatchUp) for a in actions)
        if urgent or before.leadership != self._view.leadership:
            self._publish()
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Persist(durable=durable):
                written = self._loop.run_in_executor(
                    self._disk, write_term, self._state_dir, durable
                )
                written.add_done_callback(lambda future: self._written(future, durable))
            case Announce():
                self._port.announce()
            case Redial(server=server):
                self._port.redial(server)
            case StopCommits(requester=requester):
                self._link.send({"t": "handover", "requester": requester})
            case CatchUp(source=source, head=head):
                self._link.send({"t": "catch-up", "from": source, "head": head})
            case AskHandover() | GrantHandover() | RefuseHandover():
                self._send(action)

    def _send(self, action: AskHandover | GrantHandover | RefuseHandover) -> None:
        match action:
            case AskHandover(to=to):
                self._port.send(to, HandReq())
            case GrantHandover(to=to, epoch=epoch, head=head):
                self._port.send(to, HandOk(epoch, head))
            case RefuseHandover(to=to, why=why):
                self._port.send(to, HandNo(why))

    def _written(self, future: asyncio.Future[None], durable: Durable) -> None:
        error = future.exception()
        if error is not None:
            # Without a memory it must not act; as a dead process it cannot.
            self.fail(f"the term cannot be written to {self._state_dir}: {error}")
        self.feed(Persisted(durable))

    def fail(self, sentence: str) -> None:
        """Tell the program why, and end."""
        _log.error("%s", sentence)
        self._link.send({"t": "failed", "sentence": sentence})
        os._exit(3)

    def _tick_from_clock(self) -> None:
        self._loop.call_soon_threadsafe(self._tick)

    def _tick(self) -> None:
        try:
            self._time_passed()
        except Exception as error:  # noqa: BLE001 (heartbeats would go on and say what was)
            self.fail(f"the election failed: {type(error).__name__}: {error}")

    def _time_passed(self) -> None:
        # Counted in own ticks: while this process is paused, the program is not silent.
        self._silent_ticks += 1
        if self._barred_until is not None and monotonic() >= self._barred_until:
            self._barred_until = None
            self.feed(Bar(None))
        if self._silent_ticks > self._stall_ticks:
            self.feed(Stalled(f"the program of BQN {self._me} does not react"))
        else:
            self.feed(Tick())

    async def stop(self) -> None:
        """Say good-bye, before anything else is waited for, and end."""
        await self._port.stop()
        self._clock.stop(wait=False)
        if self._witness is not None:
            self._witness.cancel()

    # --- showing -------------------------------------------------------------------------

    def _publish(self) -> None:
        """Send the view if it says something new, and once in a while anyway."""
        view, now = self._view, monotonic()
        said = sentence(view)
        marks = tuple(
            (p.id, p.state, p.head, p.beacon and (p.beacon.role, p.beacon.barred))
            for p in view.peers
        )
        shown = (said, view.role, view.epoch, view.following, view.durable.accepted, marks)
        pause_s = max(_VIEW_S, len(view.peers) / _VIEWED_PER_S)
        if shown == self._shown and now - self._shown_at < pause_s:
            return
        self._shown, self._shown_at = shown, now
        if self._since[0] != view.role_at:
            self._since = (view.role_at, wall(view.role_at))
        shape = self._shape(said)
        if shape.sentence != self._logged:
            self._logged = shape.sentence
            _log.info("%s", shape.sentence)
        if not self._link.crowded:
            self._link.send({"t": "view", "view": view_to_json(shape)})

    def _shape(self, said: Said) -> ControlView:
        view = self._view
        return ControlView(
            id=self._me,
            role=view.role,
            epoch=view.epoch,
            since=self._since[1],
            sentence=self._speaker.write("self", said),
            following=view.following,
            accepted=view.durable.accepted,
            peers=tuple(self._peer_view(peer) for peer in view.peers),
            barred=view.durable.barred,
            alone_since=None if view.alone_at is None else self._alone_since(view.alone_at),
        )

    def _alone_since(self, instant: float) -> datetime:
        """As a time; the same as long as the instant is the same."""
        if self._alone is None or self._alone[0] != instant:
            self._alone = (instant, wall(instant))
        return self._alone[1]

    def _peer_view(self, peer: Peer) -> PeerView:
        contact = self._port.contact(peer.id)
        said = self._speaker.write(peer.id, peer_sentence(peer))
        state, sentence = seen_as(peer, contact, said)
        return PeerView(
            id=peer.id,
            state=state,
            sentence=sentence,
            role=peer.beacon.role.value if peer.beacon is not None else "",
            epoch=peer.beacon.epoch if peer.beacon is not None else 0,
            head=peer.head,
            version=contact.version,
            schema=contact.schema,
            via=peer.via if peer.state is PeerState.INDIRECT else None,
            rtt_ms=contact.rtt_ms if peer.known else None,
            last_contact=self._contacts.get(peer.id),
            barred=peer.beacon.barred if peer.beacon is not None else None,
        )
