"""One sentence for every state of the election: log line, status and assertion at once.

Pure.
"""

from __future__ import annotations

from scheduler.control_view import ControlRole
from scheduler.election_values import (
    Accepting,
    Asking,
    CatchingUp,
    Claiming,
    Handing,
    Peer,
    PeerState,
    Pending,
    Said,
    View,
)

_NAMED = 2
_MISSING = (PeerState.DEAD, PeerState.LEFT, PeerState.CLONE)


def sentence(view: View) -> Said:
    """Why things are as they are."""
    if view.role is ControlRole.ALONE:
        return Said(f"BQN {view.me} is alone: it belongs to no cluster")
    return _joined((*_trouble(view), _leadership(view), *_barred(view)))


def _barred(view: View) -> tuple[Said, ...]:
    barred = view.durable.barred
    reason = "" if barred is None else barred.reason.replace("{", "(").replace("}", ")")
    return (Said(f"BQN {view.me} shall not lead while another can ({reason})"),) if barred else ()


def _joined(parts: tuple[Said, ...]) -> Said:
    """Put parts together and number their instants through."""
    texts: list[str] = []
    instants: tuple[float, ...] = ()
    for part in parts:
        shifted = [f"{{{len(instants) + number}}}" for number in range(len(part.at))]
        texts.append(part.text.format(*shifted))
        instants += part.at
    return Said("; ".join(texts), instants)


def _trouble(view: View) -> tuple[Said, ...]:
    """The members that are missing, the lowest first."""
    missing = [p for p in view.peers if p.state in _MISSING]
    named = tuple(peer_sentence(peer) for peer in missing[:_NAMED])
    more = len(missing) - len(named)
    return (*named, Said(f"nor do {more} more")) if more else named


def peer_sentence(peer: Peer) -> Said:
    """What is known of one member."""
    name = f"BQN {peer.id}"
    match peer.state:
        case PeerState.ALIVE:
            return Said(f"{name} has answered since {{0}}", (peer.changed_at,))
        case PeerState.SUSPECT:
            return Said(f"{name} has not answered since {{0}}", (peer.changed_at,))
        case PeerState.DEAD:
            return Said(f"{name} does not answer since {{0}} ({peer.why})", (peer.changed_at,))
        case PeerState.INDIRECT:
            return Said(
                f"{name} is reached only through BQN {peer.via} since {{0}}", (peer.changed_at,)
            )
        case PeerState.CLONE:
            return Said(f"{name} does not count since {{0}}: {peer.why}", (peer.changed_at,))
        case PeerState.LEFT:
            return Said(f"{name} was stopped at {{0}}", (peer.changed_at,))
    return Said(f"{name} has not answered yet ({peer.why})" if peer.why else f"{name} is not known")


def _leadership(view: View) -> Said:
    if view.pending is not None:
        return _under_way(f"BQN {view.me}", view.pending)
    match view.role:
        case ControlRole.PRIMARY:
            return _leads(view)
        case ControlRole.CANDIDATE:
            me = f"BQN {view.me}"
            if view.witness is False:
                return Said(f"no server leads; {me} does not, as the witness does not answer")
            return Said(f"no server leads, {me} is the lowest that answers and will lead")
        case ControlRole.JOINING:
            return _listens(view)
    return _follows(view)


def _under_way(me: str, pending: Pending) -> Said:
    match pending:
        case Handing(requester=requester):
            return Said(f"{me} hands over to BQN {requester}")
        case Asking(primary=primary):
            return Said(f"{me} has asked BQN {primary} to hand over")
        case Claiming(epoch=epoch):
            return Said(f"{me} is about to lead, term {epoch}")
        case Accepting(accepted=term):
            return Said(f"{me} is about to follow BQN {term.id}, term {term.epoch}")
        case CatchingUp():
            return Said(f"{me} fetches what the others have before it leads")


def _leads(view: View) -> Said:
    led = f"BQN {view.me} has led since {{0}}, term {view.epoch}"
    if view.alone_at is None:
        return Said(led, (view.role_at,))
    return Said(f"{led}, alone since {{1}}", (view.role_at, view.alone_at))


def _listens(view: View) -> Said:
    if view.interrupted is not None:
        return view.interrupted
    return Said(f"BQN {view.me} listens since {{0}} before it acts", (view.listening_at,))


def _follows(view: View) -> Said:
    if view.refused is not None and view.durable.accepted is not None:
        return Said(
            f"BQN {view.refused.id} leads in term {view.refused.epoch}, but term "
            f"{view.durable.accepted.epoch} was accepted before: waiting for its next term"
        )
    if view.following is not None:
        led = f"BQN {view.following} has led since {{0}}, term {view.epoch}"
        if view.calm_at is not None:
            takes = f"{led}; BQN {view.me} takes over at {{1}}"
            leader = view.leader
            soon = leader is not None and leader.rank[0]
            wait_s = view.timing.claim_s if soon else view.timing.preempt_s
            return Said(takes, (view.following_at, view.calm_at + wait_s))
        return Said(led, (view.following_at,))
    if view.lower is not None and view.leader is None:
        return Said(f"no server leads yet, BQN {view.lower.id} is the lowest that answers")
    return Said(f"BQN {view.me} is about to follow")
