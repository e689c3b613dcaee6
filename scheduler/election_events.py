"""From views of the control room to events of the election, each with its cause.

Rules:

1. Who leads is a server with its term. Another one is a *takeover* if the former leader is
   gone, a *switchover* if it still answers (it handed over), and a *new term* if it is the
   same server with a higher number.
2. Nobody led from the last contact with the former leader until the next one leads.
3. After a start the first leader that is seen is only an event if it differs from the last
   one that was written down; how long nobody led is not known then.
4. A leader whose term is older than one that was accepted is a *refused claim*, told once.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred, ControlRole, ControlView
from scheduler.elections_seam import ElectionEvent, Kind

GONE = frozenset({"dead", "left", "conflict", "removed", "unknown"})
_ANSWERS = frozenset({"alive", "suspect"})


@dataclass(frozen=True, slots=True)
class Memory:
    """What was seen last.

    `leader` is the last one that is known, `lost_at` since when it is gone; `fresh` says
    that no leader was seen since the start; `leading` that this server led.
    """

    leader: Accepted | None = None
    lost_at: datetime | None = None
    refused: Accepted | None = None
    leading: bool = False
    fresh: bool = True


def cause_to_lead(view: ControlView) -> str:
    """Why this server leads, in words that follow "because"."""
    before = [peer for peer in view.peers if peer.id < view.id]
    gone = [peer for peer in before if peer.state in GONE]
    barred = [peer for peer in before if peer.state in _ANSWERS and peer.barred is not None]
    if barred and barred[0].barred is not None:
        return f"BQN {barred[0].id} shall not lead ({barred[0].barred.reason})"
    if gone:
        return gone[0].sentence
    if before:
        return "the servers before it do not lead"
    if view.peers:
        return "it is the first of the servers that answer"
    return "it is the first server of the cluster"


def noticed(
    memory: Memory, view: ControlView, now: datetime
) -> tuple[Memory, tuple[ElectionEvent, ...]]:
    """What a new view tells beyond what was known."""
    if not view.running or view.role is ControlRole.ALONE:
        return memory, ()
    leader = leader_of(view)
    events = [*_stepped_down(memory, view, now), *_refused(memory, view, now)]
    memory = replace(
        memory,
        leading=view.role is ControlRole.PRIMARY,
        refused=_refused_term(view) or memory.refused,
    )
    if leader is None:
        return replace(memory, lost_at=_lost_at(memory, view, now)), tuple(events)
    if leader != memory.leader:
        events.append(_new_leader(memory, leader, view, now))
    return replace(memory, leader=leader, lost_at=None, fresh=False), tuple(events)


def leader_of(view: ControlView) -> Accepted | None:
    """Who leads, with the term."""
    if view.role is ControlRole.PRIMARY:
        return Accepted(view.epoch, view.id)
    return None if view.following is None else Accepted(view.epoch, view.following)


def _lost_at(memory: Memory, view: ControlView, now: datetime) -> datetime | None:
    if memory.leader is None or memory.fresh:
        return None
    if memory.lost_at is not None:
        return memory.lost_at
    former = view.peer(memory.leader.id)
    contact = None if former is None else former.last_contact
    return now if contact is None else min(contact, now)


def _new_leader(
    memory: Memory, leader: Accepted, view: ControlView, now: datetime
) -> ElectionEvent:
    former = memory.leader
    if former is not None and former.id == leader.id:
        sentence = (
            f"BQN {leader.id} goes on leading in term {leader.epoch}, after term {former.epoch}."
        )
        leaderless = _leaderless(memory, view, now, planned=memory.lost_at is None)
        return ElectionEvent(now, "new term", leader.id, leader.epoch, sentence, leaderless)
    planned = former is not None and _still_answers(former.id, view)
    if memory.fresh and former is not None and former.id == view.id:
        sentence = (
            f"BQN {leader.id} leads in term {leader.epoch}: it took over while BQN {view.id} "
            f"did not run."
        )
        return ElectionEvent(now, "takeover", leader.id, leader.epoch, sentence)
    why = _why(former, planned, leader, view)
    sentence = f"BQN {leader.id} leads in term {leader.epoch}, because {why}."
    kind: Kind = "switchover" if planned else "takeover"
    return ElectionEvent(
        now, kind, leader.id, leader.epoch, sentence, _leaderless(memory, view, now, planned)
    )


def _leaderless(memory: Memory, view: ControlView, now: datetime, planned: bool) -> float | None:
    if memory.leader is None or memory.fresh:
        return None
    if planned and memory.lost_at is None:
        return 0.0
    since = _lost_at(memory, view, now)
    return None if since is None else max(0.0, round((now - since).total_seconds(), 1))


def _still_answers(server: ServerId, view: ControlView) -> bool:
    if server == view.id:
        return True
    peer = view.peer(server)
    return peer is not None and peer.state in _ANSWERS


def _why(former: Accepted | None, planned: bool, leader: Accepted, view: ControlView) -> str:
    if former is None:
        return cause_to_lead(view) if leader.id == view.id else "it led when this server joined"
    peer = view.peer(former.id)
    if planned:
        barred = _barred(former.id, view)
        reason = "" if barred is None else f", which shall not lead ({barred.reason})"
        return f"it took over from BQN {former.id}{reason}"
    return f"BQN {former.id} is gone" if peer is None else peer.sentence


def _barred(server: ServerId, view: ControlView) -> Barred | None:
    peer = view.peer(server)
    return view.barred if server == view.id else peer.barred if peer else None


def _stepped_down(memory: Memory, view: ControlView, now: datetime) -> list[ElectionEvent]:
    if not memory.leading or view.role is ControlRole.PRIMARY or memory.leader is None:
        return []
    sentence = f"BQN {view.id} leads no longer: {view.sentence}."
    return [ElectionEvent(now, "step-down", view.id, memory.leader.epoch, sentence)]


def _refused_term(view: ControlView) -> Accepted | None:
    """The term of a leader that this server does not follow, because a newer was accepted."""
    if view.role is not ControlRole.SECONDARY or view.following is not None:
        return None
    leaders = [p for p in view.peers if p.role == "primary" and p.state in _ANSWERS]
    if not leaders or view.accepted is None:
        return None
    first = leaders[0]
    older = (first.epoch, -first.id) < (view.accepted.epoch, -view.accepted.id)
    return Accepted(first.epoch, first.id) if older else None


def _refused(memory: Memory, view: ControlView, now: datetime) -> list[ElectionEvent]:
    refused = _refused_term(view)
    if refused is None or refused == memory.refused or view.accepted is None:
        return []
    sentence = (
        f"BQN {refused.id} claims to lead in term {refused.epoch}, but term "
        f"{view.accepted.epoch} of BQN {view.accepted.id} was accepted before: not followed."
    )
    return [ElectionEvent(now, "refused claim", refused.id, refused.epoch, sentence)]
