"""Who leads: all rules that decide it, as a function. No socket, clock or disk is here.

`step(view, event, now)` takes what is known and what happened and gives what is known
now and what is to be done. The rules (R2 and R11 are carried out by `election_known`, the
others here; `election_calm` only spares time):

R1  A started server counts its start up on the disk before it says anything, and only
    listens for `boot`.
R2  A member is *known* from its first sign of life until it was silent for `dead`, said
    good-bye, or its connection ended and new ones were refused; then only a beacon with a
    greater (boot, seq) brings it back. A sign of life is a round trip, or a signed beacon
    that another member passes on, if its number is new: it counts from when it was made.
    Own pauses are not the silence of others: they are added to the instants. A primary
    that was paused longer than `dead - heartbeat`, or whose program does not react, no
    longer trusts that it leads: it listens as after R1. Any other one that was paused that
    long also listens before it claims.
R3  Who knows a lower id never claims; it follows the lowest known primary.
R4  The lowest known server, with no known primary, is candidate for `claim`; then it
    fetches the heads of the others that it does not have (at most `catch_up`) and claims.
R5  The lowest known server that knows a higher primary follows it for `preempt`, then
    asks it to hand over. That one stops accepting commits, finishes, answers with its
    head and steps down; the lower one fetches that head and claims. Without an answer
    within `handover` it claims alone. Who was lost within 10 minutes of a take-over must
    answer twice as long before the next one (at most 20 times, forgiven after an hour).
R6  A claim takes an epoch above every epoch ever seen, writes it to the disk, and only
    then leads. An (epoch, id) is never used twice: who took the place of lost servers
    goes 100,000 further once for each, as nobody may know what those have claimed. A claim
    that was overtaken while it was being written is dropped; its epoch stays used.
R7  A primary that knows a lower primary steps down at once.
R8  A primary that sees a higher epoch than its own claims again, or it would be fenced
    for ever.
R9  A primary is followed only in a term (epoch, -id) not below the accepted one, and the
    accepted term is on the disk before it is followed. Who refuses a term for another one
    of the same epoch calls for a higher epoch, or it could be refused for ever.
R10 (its fast-forward part) A primary fetches every head of another that it does not have.
R11 A member of which two run with one key does not count, whatever is heard of it; who is
    told that it is such a one listens as after R1. A greater boot settles it.
R12 Claims by R8 take a token of 5, fetches by R10 one of another 5; one comes back per
    `dead`.
R13 A primary that reaches nobody stays primary. If a witness address is set and does not
    answer, nobody begins to claim or asks for a handover.
R14 A server can be barred from leading (maintenance, …), on the disk before it counts.
    Leaders are chosen among the others, and if there is none, among all: in every rule
    "lower" means first by (barred, id). A barred primary is not watched but asked to hand
    over after `claim`.

Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from configrepo.model import ServerId
from scheduler.control_view import Accepted, ControlRole
from scheduler.election_calm import calm_heartbeat
from scheduler.election_known import (
    aged,
    hubs,
    patience_of,
    perceive,
    remember_takeover,
    says_new,
    shifted,
)
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
    RefuseHandover,
    Stalled,
    StopCommits,
    Tick,
    Witness,
)
from scheduler.election_values import (
    Accepting,
    Asking,
    CatchingUp,
    Claiming,
    Durable,
    Handing,
    Peer,
    PeerState,
    Said,
    View,
    adjusted,
)
from scheduler.presets import Timing

_BURST = 5.0
_OWN_HEADS = 256
_UNSEEN = 100_000


def start(me: ServerId, timing: Timing, durable: Durable, now: float) -> View:
    """The view of a server that has just started, before it knows of any member."""
    return View(
        me=me,
        timing=timing,
        durable=durable,
        role=ControlRole.ALONE,
        peers=(),
        tick_at=now,
        role_at=now,
        listening_at=now,
        maxep=durable.maxep,
        tokens=_BURST,
        fetches=_BURST,
    )


def step(view: View, event: Event, now: float) -> tuple[View, tuple[Action, ...]]:
    """Apply one event and the passing of time.

    Args:
        view: what was known.
        event: what happened.
        now: this server's monotonic clock; never goes back.

    Returns:
        What is known now, and what is to be done, in this order.
    """
    if (quiet := calm_heartbeat(view, event, now)) is not None:
        return quiet, ()
    do: list[Action] = []
    before = _after_own_pause(view, now)
    after = _take(before, event, now, do)
    ticked = now - view.looked_at < view.timing.tick_s
    if isinstance(event, Heard) and ticked and not says_new(before, after):
        return after, ()  # a heartbeat like the last one: the next tick will do
    after = _look(replace(after, looked_at=now), now, do)
    after = _act(after, now, do)
    if _shown(after) != _shown(view):
        do.append(Announce())
    return after, tuple(do)


def _shown(view: View) -> tuple[object, ...]:
    return (view.role, view.epoch, view.following, view.head, view.maxep, view.durable.barred)


def _become(view: View, role: ControlRole, now: float) -> View:
    return view if view.role is role else replace(view, role=role, role_at=now)


def _listen(view: View, now: float, why: Said) -> View:
    """R1, R2: neither lead nor claim before the others were heard."""
    if view.role is ControlRole.ALONE:
        return view
    calm = replace(
        view,
        listening_at=now,
        calm_at=None,
        pending=view.pending if isinstance(view.pending, Accepting) else None,
        following=None,
        interrupted=why,
    )
    return _become(calm, ControlRole.JOINING, now)


# --- Time -----------------------------------------------------------------------------


def _after_own_pause(view: View, now: float) -> View:
    """R2: what this server missed while it did not run is not the others' silence."""
    gap, timing = now - view.tick_at, view.timing
    if gap <= timing.stall_s:
        return replace(view, tick_at=now)
    shift = gap - timing.tick_s
    pending = view.pending
    if isinstance(pending, Asking | CatchingUp):
        pending = replace(pending, until=pending.until + shift)
    view = replace(
        view,
        tick_at=now,
        peers=shifted(view, shift),
        listening_at=view.listening_at + shift,
        calm_at=None if view.calm_at is None else view.calm_at + shift,
        pending=pending,
    )
    if gap <= timing.step_down_s:
        return view
    if view.role is ControlRole.PRIMARY or isinstance(pending, Claiming):
        said = f"BQN {view.me} was paused for {gap:.0f} s until {{0}} and listens before it acts"
        return _listen(view, now, Said(said, (now,)))
    pending = pending if isinstance(pending, Accepting) else None
    return replace(view, listening_at=now, calm_at=None, pending=pending)


def _look(view: View, now: float, do: list[Action]) -> View:
    """R2, R13: who is known now, and whether anybody is."""
    hub, those = hubs(view)
    view = adjusted(view, hub=hub, hubs=those)
    view = adjusted(view, peers=aged(view, now, do))
    lonely = view.role is ControlRole.PRIMARY and not view.known
    return adjusted(view, alone_at=(view.alone_at or now) if lonely else None)


# --- Events -----------------------------------------------------------------------------


def _take(view: View, event: Event, now: float, do: list[Action]) -> View:
    match event:
        case Heard() | Lost() | Left() | Disputed():
            return perceive(view, event, now)
        case Tick():
            return _earn(view)
        case Members():
            return _set_members(view, event, now, do)
        case HeadMoved() | CaughtUp():
            return _own(view, event)
        case Bar() | Persisted() | Witness():
            return _note(view, event, now, do)
        case Stalled(why=why):
            return _listen(view, now, Said(why))
    return _hand_over(view, event, now, do)


def _note(view: View, event: Bar | Persisted | Witness, now: float, do: list[Action]) -> View:
    match event:
        case Bar(barred=barred):
            return _persist(view, do, barred=barred)
        case Persisted(durable=durable):
            return _persisted(view, durable, now)
        case Witness(answers=answers):
            return replace(view, witness=answers)


def _earn(view: View) -> View:
    """R12."""
    earned = view.timing.tick_s / view.timing.dead_s
    tokens, fetches = min(_BURST, view.tokens + earned), min(_BURST, view.fetches + earned)
    return adjusted(view, tokens=tokens, fetches=fetches)


def _own(view: View, event: HeadMoved | CaughtUp) -> View:
    """R10: remember which heads this server's line contains."""
    head = event.head
    view = replace(view, head=head) if isinstance(event, HeadMoved) else view
    if head is None or head in view.own_heads:
        return view
    return replace(view, own_heads=(*view.own_heads, head)[-_OWN_HEADS:])


def _set_members(view: View, event: Members, now: float, do: list[Action]) -> View:
    peers = tuple(
        view.peer(server) or Peer(server, changed_at=now)
        for server in sorted(event.others)
        if server != view.me
    )
    was_alone = view.role is ControlRole.ALONE
    view = replace(view, peers=peers, former=event.former)
    if not peers:
        view = replace(view, epoch=0, following=None, pending=None, calm_at=None)
        return _become(view, ControlRole.ALONE, now)
    if was_alone:
        view = replace(_become(view, ControlRole.JOINING, now), listening_at=now)
    if event.founding and view.role is ControlRole.JOINING:
        return _claim(replace(view, listening_at=now - view.timing.boot_s), None, do)
    return view


def _persisted(view: View, durable: Durable, now: float) -> View:
    """R6, R9: what was written may be acted on, if nothing has overtaken it."""
    pending = view.pending
    writing = None if view.writing == durable else view.writing
    view = replace(view, durable=durable, writing=writing, maxep=max(view.maxep, durable.maxep))
    match pending:
        case Accepting(accepted=accepted) if durable.accepted == accepted:
            return replace(view, pending=None)
        case Claiming(epoch=epoch, over=over) if durable.accepted == Accepted(epoch, view.me):
            view = replace(view, pending=None, calm_at=None)
            if view.role is not ControlRole.PRIMARY and _overtaken(view, over):
                return view
            view = replace(view, epoch=epoch, following=None, asked=(), interrupted=None)
            return _become(view, ControlRole.PRIMARY, now)
    return view


def _overtaken(view: View, over: ServerId | None) -> bool:
    """R3, R4: a lower id answers, or another leads than the one that was asked."""
    leader = view.leader
    return view.lower is not None or (leader is not None and leader.id != over)


def _hand_over(view: View, event: Event, now: float, do: list[Action]) -> View:
    """R5, both sides."""
    match event:
        case HandoverAsked(requester=requester):
            return _asked(view, requester, now, do)
        case HandoverDone(head=head):
            if not isinstance(view.pending, Handing):
                return view
            do.append(GrantHandover(view.pending.requester, view.epoch, head))
            view = remember_takeover(view, view.pending.requester, now)
            view = replace(_own(view, HeadMoved(head)), pending=None, calm_at=None)
            return _become(view, ControlRole.SECONDARY, now)
        case HandoverGranted(server=server, epoch=epoch, head=head) if _was_asked(view, server):
            view = replace(view, maxep=max(view.maxep, epoch), pending=None)
            return _catch_up(view, server, now, do, head)
        case HandoverRefused(server=server) if _was_asked(view, server):
            again = now - _patience_s(view) + view.timing.dead_s
            return replace(view, pending=None, calm_at=again)
    return view


def _was_asked(view: View, server: ServerId) -> bool:
    return isinstance(view.pending, Asking) and view.pending.primary == server


def _asked(view: View, requester: ServerId, now: float, do: list[Action]) -> View:
    peer = view.peer(requester)
    if view.role is not ControlRole.PRIMARY or peer is None or not peer.known:
        do.append(RefuseHandover(requester, f"BQN {view.me} does not lead"))
        return view
    wait_s = view.timing.preempt_s * patience_of(peer, now)
    if wait_s > view.timing.preempt_s and now - peer.changed_at < wait_s and not view.rank[0]:
        why = f"BQN {requester} was lost soon after it took over: it must answer for {wait_s:.0f} s"
        do.append(RefuseHandover(requester, why))
        return view
    if peer.rank > view.rank:
        do.append(RefuseHandover(requester, f"BQN {view.me} leads before BQN {requester}"))
        return view
    if isinstance(view.pending, Handing):
        return replace(view, pending=Handing(requester))
    do.append(StopCommits(requester))
    return replace(view, pending=Handing(requester))


# --- What follows from what is known ------------------------------------------------------


def _act(view: View, now: float, do: list[Action]) -> View:
    if view.role is ControlRole.ALONE:
        return view
    if view.role is ControlRole.PRIMARY:
        return _lead(view, now, do)
    view = _follow(view, now, do)
    if isinstance(view.pending, Asking | CatchingUp | Claiming):
        return _wait(view, now, do)
    booted = now - view.listening_at >= view.timing.boot_s
    if view.lower is None and booted and view.pending is None:
        return _prepare(view, now, do)
    return _settle(view, booted, now)


def _lead(view: View, now: float, do: list[Action]) -> View:
    leader = view.leader
    if leader is not None and leader.rank < view.rank:  # R7
        view = replace(view, pending=None, calm_at=None)
        return _follow(_become(view, ControlRole.SECONDARY, now), now, do)
    if view.maxep > view.epoch and view.pending is None and view.tokens >= 1:  # R8, R12
        return _claim(replace(view, tokens=view.tokens - 1), None, do)
    return _fetch(view, now, do)


def _fetch(view: View, now: float, do: list[Action]) -> View:
    """R10: ask for each head that is missing, and again if that took too long."""
    asked = {
        head: at
        for head, at in view.asked
        if head in view.unfetched and now - at < view.timing.catch_up_s
    }
    missing = sorted(view.unfetched - set(asked))[: int(view.fetches)]  # R12
    for head in missing:
        do.append(CatchUp(_source(view, head), head))
        asked[head] = now
    fetches = view.fetches - len(missing)
    return adjusted(view, asked=tuple(sorted(asked.items())), fetches=fetches)


def _source(view: View, head: str) -> ServerId:
    """Who has a head; rather one that is reached directly."""
    having = [peer for peer in view.known if peer.head == head]
    return min(having, key=lambda peer: (peer.state is PeerState.INDIRECT, peer.id)).id


def _follow(view: View, now: float, do: list[Action]) -> View:
    """R3, R9: follow the lowest known primary, in a term that may be accepted."""
    leader = view.leader
    if leader is None or leader.beacon is None:
        return adjusted(view, following=None, refused=None)
    view = _become(adjusted(view, interrupted=None), ControlRole.SECONDARY, now)
    term, accepted = Accepted(leader.beacon.epoch, leader.id), view.durable.accepted
    if term == accepted:
        since = view.following_at if view.following == leader.id else now
        return adjusted(
            view, following=leader.id, following_at=since, epoch=term.epoch, refused=None
        )
    written = (view.writing or view.durable).accepted
    if written is not None and (term.epoch, -term.id) < (written.epoch, -written.id):
        # Of the same epoch it is refused until its server leads in a higher one.
        needed = written.epoch + 1 if term.epoch == written.epoch else written.epoch
        return adjusted(view, maxep=max(view.maxep, needed), following=None, refused=term)
    if view.pending is None:
        view = replace(_persist(view, do, accepted=term), pending=Accepting(term))
    return adjusted(view, following=None, refused=None)


def _settle(view: View, booted: bool, now: float) -> View:
    """Neither lead nor prepare to."""
    view = adjusted(view, calm_at=None)
    waits = view.leader is not None or (booted and view.lower is not None)
    if waits or view.role is ControlRole.CANDIDATE:
        return _become(view, ControlRole.SECONDARY, now)
    return view


def _prepare(view: View, now: float, do: list[Action]) -> View:
    """R4, R5: the lowest known server waits unopposed, then claims or asks."""
    leader = view.leader
    rival = None if leader is None else leader.id
    if view.calm_at is None or view.calm_for != rival:
        view = replace(view, calm_at=now, calm_for=rival)
    waited = now - (now if view.calm_at is None else view.calm_at)
    if rival is None:
        view = _become(view, ControlRole.CANDIDATE, now)
        if waited < view.timing.claim_s or view.witness is False:  # R13
            return view
        return _catch_up(view, None, now, do)
    if view.witness is not False and waited >= _patience_s(view):
        do.append(AskHandover(rival))
        return replace(view, pending=Asking(rival, now + view.timing.handover_s))
    return view


def _patience_s(view: View) -> float:
    """R5, R14: how long a higher primary is watched before it is asked to hand over."""
    leader = view.leader
    barred = leader is not None and leader.rank[0]
    return view.timing.claim_s if barred else view.timing.preempt_s


def _wait(view: View, now: float, do: list[Action]) -> View:
    """Something is under way: go on, give it up, or wait."""
    leader, pending = view.leader, view.pending
    over = pending.primary if isinstance(pending, Asking) else getattr(pending, "over", None)
    if _overtaken(view, over):
        return replace(view, pending=None, calm_at=None)
    match pending:
        case Asking(primary=primary) if leader is None:
            return _catch_up(view, primary, now, do)
        case Asking(primary=primary, until=until) if now >= until:
            return _catch_up(view, primary, now, do)
        case CatchingUp(heads=heads, until=until):
            if now >= until or heads <= set(view.own_heads):
                return _claim(view, over, do)
    return view


def _catch_up(
    view: View, over: ServerId | None, now: float, do: list[Action], granted: str | None = None
) -> View:
    """R4, R5: have every head of the others before leading."""
    sources = {head: _source(view, head) for head in view.unfetched}
    if granted is not None and granted not in view.own_heads and over is not None:
        sources[granted] = over
    if not sources:
        return _claim(view, over, do)
    do.extend(CatchUp(source, head) for head, source in sorted(sources.items()))
    until = now + view.timing.catch_up_s
    return replace(view, pending=CatchingUp(frozenset(sources), until, over))


def _claim(view: View, over: ServerId | None, do: list[Action]) -> View:
    """R6: write the new term down; `_persisted` acts on it."""
    epoch = max(view.maxep, view.durable.epoch) + 1
    unseen = view.former * _UNSEEN
    if view.durable.epoch < unseen:
        epoch += unseen
    view = _persist(view, do, epoch=epoch, accepted=Accepted(epoch, view.me))
    return replace(view, pending=Claiming(epoch, over))


def _persist(view: View, do: list[Action], **changes: Any) -> View:
    """Change what is or will be on the disk; what is being written is not undone."""
    durable = replace(view.writing or view.durable, **changes)
    do.append(Persist(durable))
    return replace(view, writing=durable)
