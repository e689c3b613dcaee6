"""Who is known: how what is heard, relayed and lost makes the states of the others (R2, R11).

A member is known while a life sign of it is younger than `dead`: a round trip with it, or
a signed beacon of it that another member passes on. Of relayed beacons only one with a
greater (boot, seq) than any before counts, at the instant when it was made: a repeated one
never makes it younger, so that two that repeat each other cannot keep a dead server alive.
Each server relays the three lowest that it knows and the primary that it follows, to those
that lack them: that say they do not hear them.

A connection that ended and whose successors were refused is the end of a life sign at
once; then only a beacon that was made later counts. A server of which two run with one key
(`clone`) counts as not known until a person has acted.

With more than 16 members only the links of the primary and its deputy beat at the full
rate; a slow link is suspect after 3 and dead after 6 of its own intervals. When the primary
is missing, the links to the three lowest beat at the full rate too.

Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace

from configrepo.model import ServerId
from scheduler.control_view import ControlRole
from scheduler.election_moves import Action, Disputed, Heard, Left, Lost, Redial
from scheduler.election_values import NEVER, Peer, PeerState, Relay, View

_EVER = 2**53
_RELAYED = 3
_FULL_MESH = 16
_LOST_SOON_S = 600.0
_FORGIVEN_S = 3600.0
_LONGEST = 20


def relays(view: View, now: float) -> tuple[Relay, ...]:
    """The beacons to pass on with a heartbeat: of the three lowest known and the primary."""
    known = view.known
    lowest = heapq.nsmallest(_RELAYED, known, key=lambda peer: peer.rank)
    chosen = {peer.id: peer for peer in lowest}
    if view.following is not None and (leader := view.peer(view.following)) in known:
        chosen[view.following] = leader
    return tuple(
        Relay(peer.beacon, now - peer.beacon_at)
        for peer in chosen.values()
        if peer.beacon is not None
    )


def lacks(view: View) -> int:
    """The members of which this server wants to be told by others: bit 0 stands for BQN 0."""
    return sum(1 << peer.id for peer in view.peers if peer.state is not PeerState.ALIVE)


def perceive(view: View, event: Heard | Lost | Left | Disputed, now: float) -> View:
    """Take a fact about another member."""
    match event:
        case Heard():
            return _hear(view, event, now)
        case Lost(server=server, why=cause):
            return _change(view, server, lambda peer: _lost(peer, cause, now))
        case Left(server=server, boot=boot):
            return _change(view, server, lambda peer: _left(peer, boot, now))
        case Disputed(server=server, why=why):
            return _change(view, server, lambda peer: _disputed(peer, why, now))


def _change(view: View, server: ServerId, change: Callable[[Peer], Peer]) -> View:
    peers = tuple(change(peer) if peer.id == server else peer for peer in view.peers)
    return replace(view, peers=peers)


def _left(peer: Peer, boot: int, now: float) -> Peer:
    number = (boot, _EVER)
    return Peer(peer.id, PeerState.LEFT, peer.beacon, NEVER, now, "stopped", number, counted=number)


def _disputed(peer: Peer, why: str | None, now: float) -> Peer:
    """R11: of a cloned server nothing counts, until it is settled."""
    if why is not None and peer.state is PeerState.CLONE:
        return peer
    if why is not None:
        return Peer(peer.id, PeerState.CLONE, None, NEVER, now, why, counted=peer.counted)
    return Peer(peer.id, changed_at=now) if peer.state is PeerState.CLONE else peer


def _lost(peer: Peer, why: str, now: float) -> Peer:
    if peer.state is PeerState.CLONE:
        return peer
    if not peer.known or peer.state is PeerState.INDIRECT:
        return replace(peer, why=why)
    number = peer.beacon.number if peer.beacon is not None else peer.gone
    end = replace(peer, heard_at=NEVER, counted_at=NEVER, gone=number, lost_at=now)
    since = max(peer.heard_at, peer.counted_at)
    return replace(_remember_loss(end, now), state=PeerState.DEAD, changed_at=since, why=why)


def _hear(view: View, event: Heard, now: float) -> View:
    """A beacon came, with those that its sender passes on."""
    beacon = event.beacon
    maxep = max(view.maxep, beacon.maxep, beacon.epoch)
    fresh: dict[ServerId, Peer] = {}
    peer = view.peer(beacon.id)
    if peer is not None:
        fresh[peer.id] = heard(peer, event, now)
    direct = peer is not None and fresh[peer.id].state in (PeerState.ALIVE, PeerState.SUSPECT)
    # Like a life sign, what is passed on counts only where a question is answered.
    for relay in event.relays if direct else ():
        told = view.peer(relay.beacon.id)
        if told is not None and told.id != beacon.id:
            maxep = max(maxep, relay.beacon.maxep, relay.beacon.epoch)
            fresh[told.id] = _relayed(fresh.get(told.id, told), relay, beacon.id, now)
    peers = tuple(fresh.get(peer.id, peer) for peer in view.peers)
    return replace(view, peers=peers, maxep=maxep)


def heard(peer: Peer, event: Heard, now: float) -> Peer:
    """A member after its own beacon."""
    beacon = event.beacon
    if beacon.number <= peer.gone or peer.state is PeerState.CLONE:
        return peer
    newer = peer.beacon is None or beacon.number > peer.beacon.number
    content, made_at = (beacon, now) if newer else (peer.beacon, peer.beacon_at)
    if not event.round_trip:
        return replace(peer, beacon=content, beacon_at=made_at)
    at = max(peer.heard_at, now - event.took_s)
    alive = peer.state is PeerState.ALIVE
    return replace(
        peer,
        state=PeerState.ALIVE,
        beacon=content,
        beacon_at=made_at,
        heard_at=at,
        changed_at=peer.changed_at if alive else now,
        why="",
        counted=max(peer.counted, beacon.number),
        counted_at=max(peer.counted_at, at),
    )


def _relayed(peer: Peer, relay: Relay, via: ServerId, now: float) -> Peer:
    """C3: only a beacon that is newer than all before, at the instant when it was made."""
    beacon, made_at = relay.beacon, now - max(0.0, relay.age_s)
    if peer.state is PeerState.ALIVE:
        return peer  # what it says itself is newer
    old = beacon.number <= max(peer.counted, peer.gone) or made_at <= peer.lost_at
    if old or peer.state is PeerState.CLONE:
        return peer
    if peer.beacon is None or beacon.number > peer.beacon.number:
        peer = replace(peer, beacon=beacon, beacon_at=made_at)
    counted_at = max(peer.counted_at, made_at)
    return replace(peer, counted=beacon.number, counted_at=counted_at, via=via)


def says_new(before: View, after: View) -> bool:
    """Whether what was heard can change what follows; most heartbeats do not."""
    if before.maxep != after.maxep:
        return True
    pairs = zip(before.peers, after.peers, strict=True)
    return any(old is not new and _facts(old) != _facts(new) for old, new in pairs)


def _facts(peer: Peer) -> tuple[object, ...]:
    beacon = peer.beacon
    if beacon is None:
        return (peer.state,)
    return (peer.state, beacon.role, beacon.epoch, beacon.head, beacon.barred)


# --- Time -------------------------------------------------------------------------------


def shifted(view: View, shift: float) -> tuple[Peer, ...]:
    """R2: what this server missed while it did not run is not the others' silence."""
    return tuple(
        replace(
            peer,
            heard_at=peer.heard_at + shift,
            counted_at=peer.counted_at + shift,
            beacon_at=peer.beacon_at + shift,
        )
        for peer in view.peers
    )


def aged(view: View, now: float, do: list[Action]) -> tuple[Peer, ...]:
    """R2: silence makes suspect, then not known."""
    peers = view.peers
    after = [_aged(view, peer, now, do) for peer in peers]
    if len(peers) >= _FULL_MESH:
        after = [_paced(view, peer, now) for peer in after]
    # The same tuple, if nothing has changed, spares everybody a comparison.
    return peers if all(map(_same, peers, after)) else tuple(after)


def _same(before: Peer, after: Peer) -> bool:
    return before is after


def _aged(view: View, peer: Peer, now: float, do: list[Action]) -> Peer:
    silent = now - peer.heard_at
    suspect_s, dead_s = link_times(view, peer)
    if silent <= suspect_s or not _shows_life(peer, now, dead_s):
        return peer if silent <= suspect_s or not peer.known else _died(peer, now)
    if now - peer.counted_at <= suspect_s or silent > dead_s:
        state = PeerState.INDIRECT
    else:
        state = PeerState.SUSPECT
    if state is peer.state:
        return peer
    if peer.state is PeerState.ALIVE:
        do.append(Redial(peer.id))
    changed_at = now if state is PeerState.INDIRECT else peer.heard_at
    return replace(peer, state=state, changed_at=changed_at, why="no answer")


def _shows_life(peer: Peer, now: float, dead_s: float) -> bool:
    return peer.state is not PeerState.CLONE and now - peer.counted_at <= dead_s


def _died(peer: Peer, now: float) -> Peer:
    gone = replace(peer, state=PeerState.DEAD, changed_at=peer.counted_at, why="no answer")
    return _remember_loss(gone, now)


def remember_takeover(view: View, server: ServerId, now: float) -> View:
    """R5: this server has handed over to that one."""
    return _change(view, server, lambda peer: replace(peer, led_at=now))


def _remember_loss(peer: Peer, now: float) -> Peer:
    """R5: who is lost soon after it took over is watched twice as long before the next time."""
    if peer.led_at is None:
        return peer
    again = peer.lost_lead_at is not None and now - peer.lost_lead_at < _FORGIVEN_S
    factor = peer.patience if again else 1
    if now - peer.led_at < _LOST_SOON_S:
        factor = min(2 * factor, _LONGEST)
    return replace(peer, led_at=None, lost_lead_at=now, patience=factor)


def patience_of(peer: Peer, now: float) -> int:
    """By how much a server must answer longer than usual before it may take over."""
    lost_at = peer.lost_lead_at
    return 1 if lost_at is None or now - lost_at >= _FORGIVEN_S else peer.patience


# --- Many members -----------------------------------------------------------------------


def beat_s(view: View, server: ServerId) -> float:
    """How often the link to a member beats."""
    peer = view.peer(server)
    return view.timing.hb_s if peer is None else _interval_s(view, peer)


def _interval_s(view: View, peer: Peer) -> float:
    members = len(view.peers) + 1
    if members <= _FULL_MESH or peer.fast:
        return view.timing.hb_s
    return max(view.timing.hb_s, view.timing.hb_s * members / _FULL_MESH)


def link_times(view: View, peer: Peer) -> tuple[float, float]:
    """When the silence of a link makes suspect, and when dead."""
    timing = view.timing
    if peer.fast or len(view.peers) < _FULL_MESH:
        return timing.suspect_s, timing.dead_s
    interval_s = _interval_s(view, peer)
    return max(timing.suspect_s, 3 * interval_s), max(timing.dead_s, 6 * interval_s)


def _paced(view: View, peer: Peer, now: float) -> Peer:
    fast = _is_fast(view, peer)
    if fast is peer.fast:
        return peer
    # It has not been asked at this rate yet: it gets a while to answer.
    grace_at = now - view.timing.suspect_s
    heard_at = max(peer.heard_at, grace_at) if fast and peer.known else peer.heard_at
    counted_at = max(peer.counted_at, grace_at) if fast and peer.known else peer.counted_at
    return replace(peer, fast=fast, heard_at=heard_at, counted_at=counted_at)


def _is_fast(view: View, peer: Peer) -> bool:
    return view.hub or peer.id in view.hubs


def hubs(view: View) -> tuple[bool, frozenset[ServerId]]:
    """Whether this server beats fast with all, and with whom it does in any case."""
    if len(view.peers) < _FULL_MESH:
        return False, frozenset()
    if view.role is ControlRole.PRIMARY:
        return True, frozenset()
    ranks = heapq.nsmallest(_RELAYED, [peer.rank for peer in view.known] + [view.rank])
    leader = view.leader
    settled = leader is not None and leader.state is PeerState.ALIVE
    chosen = {server for _, server in (ranks[:2] if settled else ranks)}
    if leader is not None:
        chosen.add(leader.id)
    return view.me in chosen, frozenset(chosen)
