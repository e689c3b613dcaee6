"""Each rule of the election by itself, and all small worlds enumerated."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import pytest

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred, ControlRole
from scheduler.election import start, step
from scheduler.election_sentences import sentence
from scheduler.election_values import (
    Action,
    Announce,
    AskHandover,
    Asking,
    Bar,
    Beacon,
    CatchingUp,
    CatchUp,
    CaughtUp,
    Claiming,
    Durable,
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
    PeerState,
    Persist,
    Persisted,
    Redial,
    RefuseHandover,
    Stalled,
    StopCommits,
    Tick,
    View,
)
from scheduler.presets import LAN

_HEADS = ("a" * 40, "b" * 40)


class Server:
    """One server, its clock and what it was told to do."""

    def __init__(self, me: int, *others: int, durable: Durable | None = None) -> None:
        self.now = 100.0
        self.done: list[Action] = []
        self.view: View = start(ServerId(me), LAN, durable or Durable(boot=1), self.now)
        self.seq = 0
        self.feed(Members(tuple(ServerId(other) for other in others)))

    def feed(self, *events: Event) -> list[Action]:
        before = len(self.done)
        for event in events:
            self.view, actions = step(self.view, event, self.now)
            self.done += actions
        return self.done[before:]

    def hear(
        self,
        other: int,
        role: ControlRole = ControlRole.SECONDARY,
        epoch: int = 0,
        *,
        maxep: int = 0,
        head: str | None = None,
        boot: int = 1,
        barred: Barred | None = None,
    ) -> list[Action]:
        self.seq += 1
        highest = max(maxep, epoch)
        beacon = Beacon(ServerId(other), boot, self.seq, role, epoch, highest, None, head, barred)
        return self.feed(Heard(beacon, round_trip=True))

    def wait(
        self, seconds: float, *beacons: tuple[int, ControlRole, int], tick_s: float = LAN.tick_s
    ) -> list[Action]:
        """Let time pass, while others keep saying the same."""
        before = len(self.done)
        for _ in range(round(seconds / tick_s)):
            self.now += tick_s
            for other, role, epoch in beacons:
                self.hear(other, role, epoch)
            self.feed(Tick())
        return self.done[before:]

    def persisted(self) -> list[Action]:
        """The disk has done what it was told last."""
        wanted = [action for action in self.done if isinstance(action, Persist)]
        return self.feed(Persisted(wanted[-1].durable))

    def lead(self) -> None:
        """Become primary of a cluster in which nobody answers."""
        self.wait(LAN.boot_s + LAN.claim_s + 0.3)
        self.persisted()
        assert self.view.role is ControlRole.PRIMARY

    def state(self, number: int = 0) -> PeerState:
        """What is known of the other with that place in the list."""
        return self.view.peers[number].state

    @property
    def text(self) -> str:
        return sentence(self.view).text


PRIMARY, SECONDARY, JOINING = ControlRole.PRIMARY, ControlRole.SECONDARY, ControlRole.JOINING


def _of(kind: type[Action], actions: list[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def test_a_server_without_others_is_alone_and_never_claims() -> None:
    server = Server(0)
    assert not _of(Persist, server.wait(60))
    assert server.view.role is ControlRole.ALONE


def test_r1_a_started_server_only_listens_for_boot() -> None:
    server = Server(0, 1)
    assert not _of(Persist, server.wait(LAN.boot_s - 0.1))
    assert server.view.role is JOINING


def test_r2_silence_makes_suspect_with_a_second_connection_and_then_dead() -> None:
    server = Server(0, 1)
    server.hear(1)
    done = server.wait(LAN.suspect_s + 0.2)
    assert _of(Redial, done) == [Redial(ServerId(1))]
    assert server.state() is PeerState.SUSPECT
    server.wait(LAN.dead_s - LAN.suspect_s)
    assert server.state() is PeerState.DEAD


def test_r2_hearing_without_a_round_trip_keeps_nobody_alive() -> None:
    server = Server(0, 1)
    for seq in range(100):
        server.now += 0.1
        beacon = Beacon(ServerId(1), 1, seq, SECONDARY, 0, 0)
        server.feed(Heard(beacon, round_trip=False), Tick())
    assert server.state() is PeerState.UNKNOWN


def test_r2_a_lost_server_is_known_again_only_by_a_newer_beacon() -> None:
    server = Server(0, 1)
    server.hear(1)
    server.feed(Lost(ServerId(1), "connection refused"))
    assert server.state() is PeerState.DEAD
    server.feed(Heard(Beacon(ServerId(1), 1, 1, SECONDARY, 0, 0), round_trip=True))
    assert server.state() is PeerState.DEAD
    server.hear(1)
    assert server.state() is PeerState.ALIVE


def test_r2_a_server_that_said_good_bye_is_known_again_only_after_a_restart() -> None:
    server = Server(0, 1)
    server.hear(1)
    server.feed(Left(ServerId(1), boot=1))
    server.hear(1)
    assert server.state() is PeerState.LEFT
    server.hear(1, boot=2)
    assert server.state() is PeerState.ALIVE


def test_r2_an_own_pause_is_not_the_silence_of_others() -> None:
    server = Server(0, 1)
    server.hear(1)
    server.now += 60
    server.feed(Tick())
    assert server.state() is PeerState.ALIVE


@pytest.mark.parametrize(("pause", "leads"), [(2.3, True), (2.5, False), (3600, False)])
def test_r2_a_primary_that_was_paused_too_long_listens_again(pause: float, leads: bool) -> None:
    server = Server(0, 1)
    server.lead()
    server.now += pause
    server.feed(Tick())
    assert (server.view.role is PRIMARY) is leads
    if not leads:
        assert "was paused" in server.text


def test_r2_a_claim_that_a_pause_interrupted_is_dropped() -> None:
    server = Server(0, 1)
    server.wait(LAN.boot_s + LAN.claim_s + 0.3)
    assert isinstance(server.view.pending, Claiming)
    server.now += 10
    server.persisted()
    assert server.view.role is JOINING


def test_r2_a_primary_whose_program_hangs_does_not_lead() -> None:
    server = Server(0, 1)
    server.lead()
    server.feed(Stalled("the program of BQN 0 does not react"))
    assert server.view.role is JOINING
    assert server.text.startswith("BQN 1 is not known") or "does not react" in server.text


def test_r4_the_lowest_known_waits_unopposed_and_claims() -> None:
    server = Server(1, 0, 2)
    server.wait(LAN.boot_s + 0.2, (2, SECONDARY, 0))
    assert server.view.role is ControlRole.CANDIDATE
    assert not _of(Persist, server.done)
    done = server.wait(LAN.claim_s + 0.1, (2, SECONDARY, 0))
    assert _of(Persist, done) == [Persist(Durable(1, 1, Accepted(1, ServerId(1))))]


def test_r4_heads_of_others_are_fetched_first_but_not_for_ever() -> None:
    server = Server(0, 1)
    server.feed(HeadMoved(_HEADS[0]))
    server.hear(1, head=_HEADS[1])
    server.wait(LAN.boot_s)
    while not (asked := _of(CatchUp, server.done)):
        server.wait(0.1)
        server.hear(1, head=_HEADS[1])
    assert asked == [CatchUp(ServerId(1), _HEADS[1])]
    assert not _of(Persist, server.done)
    late = Server(0, 1)
    late.view, late.now, late.done = server.view, server.now, []
    assert _of(Persist, server.feed(CaughtUp(_HEADS[1])))
    assert _of(Persist, late.wait(LAN.catch_up_s + 0.2))


def test_r5_a_higher_primary_is_followed_then_asked_and_then_succeeded() -> None:
    server = Server(0, 1)
    server.hear(1, PRIMARY, 4)
    server.persisted()
    assert server.view.following == 1
    assert not _of(AskHandover, server.wait(LAN.preempt_s - 0.2, (1, PRIMARY, 4)))
    assert "takes over at" in server.text
    while not _of(AskHandover, server.done):
        server.wait(0.1, (1, PRIMARY, 4))
    server.feed(HandoverGranted(ServerId(1), 4, _HEADS[0]))
    assert _of(CatchUp, server.done) == [CatchUp(ServerId(1), _HEADS[0])]
    server.hear(1, SECONDARY, 4)
    server.feed(CaughtUp(_HEADS[0]))
    server.persisted()
    assert (server.view.role, server.view.epoch) == (PRIMARY, 5)


def test_r5_a_refused_handover_is_asked_again_later() -> None:
    server = Server(0, 1)
    server.hear(1, PRIMARY, 4)
    server.persisted()
    while not _of(AskHandover, server.done):
        server.wait(0.1, (1, PRIMARY, 4))
    server.feed(HandoverRefused(ServerId(1), "not now"))
    assert len(_of(AskHandover, server.wait(LAN.dead_s - 0.2, (1, PRIMARY, 4)))) == 0
    assert len(_of(AskHandover, server.wait(0.5, (1, PRIMARY, 4)))) == 1


def test_r5_the_acting_primary_finishes_before_it_answers() -> None:
    server = Server(1, 0)
    server.lead()
    server.hear(0)
    assert _of(StopCommits, server.feed(HandoverAsked(ServerId(0)))) == [StopCommits(ServerId(0))]
    assert not _of(StopCommits, server.feed(HandoverAsked(ServerId(0))))
    assert server.view.role is PRIMARY
    done = server.feed(HandoverDone(_HEADS[0]))
    assert _of(GrantHandover, done) == [GrantHandover(ServerId(0), 1, _HEADS[0])]
    assert server.view.role is SECONDARY
    assert not _of(GrantHandover, server.feed(HandoverDone(_HEADS[0])))


def test_r5_only_a_known_lower_id_is_handed_over_to() -> None:
    server = Server(1, 0, 2)
    assert _of(RefuseHandover, server.feed(HandoverAsked(ServerId(0))))
    server.lead()
    server.hear(2)
    assert _of(RefuseHandover, server.feed(HandoverAsked(ServerId(0))))
    assert _of(RefuseHandover, server.feed(HandoverAsked(ServerId(2))))
    assert not _of(StopCommits, server.done)


def test_r6_a_claim_is_above_every_epoch_ever_seen_and_leads_only_when_written() -> None:
    server = Server(0, 1, durable=Durable(3, 4, Accepted(6, ServerId(1))))
    server.hear(1, SECONDARY, 0, maxep=9)
    server.wait(LAN.boot_s + LAN.claim_s + 0.3, (1, SECONDARY, 0))
    assert _of(Persist, server.done)[-1] == Persist(Durable(3, 10, Accepted(10, ServerId(0))))
    assert server.view.role is not PRIMARY
    server.wait(5, (1, SECONDARY, 0))
    assert server.view.role is not PRIMARY
    server.persisted()
    assert (server.view.role, server.view.epoch) == (PRIMARY, 10)


@pytest.mark.parametrize("rival", [(0, SECONDARY), (2, PRIMARY)])
def test_r6_a_claim_that_was_overtaken_while_it_was_written_is_dropped(
    rival: tuple[int, ControlRole],
) -> None:
    server = Server(1, 0, 2)
    server.wait(LAN.boot_s + LAN.claim_s + 0.3)
    assert isinstance(server.view.pending, Claiming)
    server.hear(*rival, epoch=7)
    server.persisted()
    assert server.view.role is not PRIMARY


def test_r7_a_primary_that_knows_a_lower_primary_steps_down_at_once() -> None:
    server = Server(1, 0)
    server.lead()
    server.hear(0, PRIMARY, 7)
    assert server.view.role is SECONDARY
    server.persisted()
    assert (server.view.following, server.view.epoch) == (0, 7)


def test_r8_a_primary_that_sees_a_higher_epoch_claims_again_but_writes_no_storm() -> None:
    server = Server(0, 1)
    server.lead()
    server.hear(1, SECONDARY, maxep=5)
    server.persisted()
    assert (server.view.role, server.view.epoch) == (PRIMARY, 6)
    for epoch in range(10, 100):
        server.hear(1, SECONDARY, maxep=epoch)
        server.persisted()
    assert len(_of(Persist, server.done)) <= 7


def test_r9_a_term_is_followed_only_after_it_was_written() -> None:
    server = Server(1, 0)
    server.hear(0, PRIMARY, 3)
    assert server.view.following is None
    assert _of(Persist, server.done) == [Persist(Durable(1, 0, Accepted(3, ServerId(0))))]
    server.persisted()
    assert server.view.following == 0


@pytest.mark.parametrize(
    ("offered", "follows"),
    [((5, 0), True), ((4, 0), False), ((5, 1), True), ((5, 2), False), ((6, 3), True)],
)
def test_r9_a_term_below_the_accepted_one_is_not_followed(
    offered: tuple[int, int], follows: bool
) -> None:
    server = Server(4, 0, 1, 2, 3, durable=Durable(1, 0, Accepted(5, ServerId(1))))
    epoch, leader = offered
    server.hear(leader, PRIMARY, epoch)
    server.feed(Persisted(Durable(1, 0, Accepted(5, ServerId(1)))))
    if _of(Persist, server.done):
        server.persisted()
    assert (server.view.following == leader) is follows
    if not follows:
        assert "was accepted before" in server.text


def test_r10_a_primary_fetches_each_missing_head_once_and_again_when_it_takes_long() -> None:
    server = Server(0, 1)
    server.lead()
    assert _of(CatchUp, server.hear(1, head=_HEADS[0])) == [CatchUp(ServerId(1), _HEADS[0])]
    assert not _of(CatchUp, server.hear(1, head=_HEADS[0]))
    server.now += 0.1
    for _ in range(round(LAN.catch_up_s / 0.1) + 2):
        server.now += 0.1
        server.hear(1, head=_HEADS[0])
    assert len(_of(CatchUp, server.done)) == 2
    server.feed(CaughtUp(_HEADS[0]))
    server.now += 0.1
    assert not _of(CatchUp, server.hear(1, head=_HEADS[0]))


def test_a_founder_leads_as_soon_as_its_term_is_written() -> None:
    server = Server(3)
    server.feed(Members((ServerId(4),), founding=True))
    server.persisted()
    assert (server.view.role, server.view.epoch) == (PRIMARY, 1)


def test_a_server_whose_others_were_all_removed_is_alone() -> None:
    server = Server(0, 1)
    server.lead()
    server.feed(Members(()))
    assert server.view.role is ControlRole.ALONE
    assert server.text == "BQN 0 is alone: it belongs to no cluster"


def test_a_stranger_is_not_listened_to() -> None:
    server = Server(1, 2)
    server.hear(0, PRIMARY, 9)
    assert server.view.leader is None


def test_what_others_must_know_is_announced_at_once() -> None:
    server = Server(0, 1)
    server.lead()
    assert _of(Announce, server.feed(HeadMoved(_HEADS[0])))
    assert not _of(Announce, server.feed(HeadMoved(_HEADS[0])))


def test_r14_a_barred_server_leads_only_where_no_other_can() -> None:
    server = Server(0, 1)
    server.feed(Bar(Barred("maintenance")))
    assert server.view.durable.barred is None
    server.persisted()
    server.wait(LAN.boot_s + 1, (1, SECONDARY, 0))
    assert server.view.role is SECONDARY
    assert "maintenance" in server.text
    server.wait(LAN.dead_s + LAN.claim_s + 0.4)
    server.persisted()
    assert server.view.role is PRIMARY


def test_r14_of_barred_servers_only_the_lowest_leads() -> None:
    server = Server(0, 1)
    server.feed(Bar(Barred("maintenance")))
    server.persisted()
    for _ in range(40):
        server.wait(0.1)
        server.hear(1, barred=Barred("disk"))
    assert isinstance(server.view.pending, Claiming)


def test_r14_a_barred_primary_is_asked_at_once_and_hands_over_to_a_higher_id() -> None:
    server = Server(1, 0)
    for _ in range(40):
        server.now += 0.1
        server.hear(0, PRIMARY, 4, barred=Barred("maintenance"))
        if server.view.writing is not None:
            server.persisted()
    assert _of(AskHandover, server.done) == [AskHandover(ServerId(0))]
    primary = Server(0, 1)
    primary.lead()
    primary.hear(1)
    assert _of(RefuseHandover, primary.feed(HandoverAsked(ServerId(1))))
    primary.feed(Bar(Barred("maintenance", 1_900_000_000.0)))
    primary.persisted()
    assert _of(StopCommits, primary.feed(HandoverAsked(ServerId(1))))
    primary.feed(HandoverDone(None))
    primary.hear(1, PRIMARY, 2)
    primary.persisted()
    assert primary.view.following == 1


def test_r14_what_is_being_written_is_not_undone_by_what_is_written_next() -> None:
    server = Server(0, 1)
    server.wait(LAN.boot_s + LAN.claim_s + 0.3)
    (done,) = _of(Persist, server.feed(Bar(Barred("maintenance"))))
    assert done == Persist(Durable(1, 1, Accepted(1, ServerId(0)), Barred("maintenance")))


def test_a_term_of_the_same_epoch_that_is_refused_calls_for_a_higher_one() -> None:
    server = Server(2, 0, 1, durable=Durable(1, 0, Accepted(5, ServerId(0))))
    server.hear(1, PRIMARY, 5)
    assert server.view.following is None
    assert server.view.maxep == 6


# --- All small worlds -------------------------------------------------------------------

_FACTS = [None, (SECONDARY, 0), (JOINING, 0), (PRIMARY, 2), (PRIMARY, 9)]
_EVENTS: list[Event] = [
    Tick(),
    Lost(ServerId(0), "connection refused"),
    Lost(ServerId(2), "connection refused"),
    Left(ServerId(0), 1),
    HandoverAsked(ServerId(0)),
    HandoverAsked(ServerId(2)),
    HandoverDone(None),
    HandoverGranted(ServerId(2), 9, None),
    HandoverRefused(ServerId(2), "no"),
    Stalled("the program does not react"),
    HeadMoved(_HEADS[0]),
    CaughtUp(_HEADS[0]),
    Members((ServerId(0), ServerId(2))),
    Members(()),
]


@cache
def _worlds() -> tuple[tuple[View, float], ...]:
    """Server 1 between 0 and 2, in every combination of what those say and of its own past."""
    worlds = []
    accepted = (None, Accepted(5, ServerId(0)))
    for led, term in itertools.product((False, True), accepted):
        past = Server(1, 0, 2, durable=Durable(1, 0, term))
        if led:
            past.lead()
        for lower, higher in itertools.product(_FACTS, _FACTS):
            said = [(n, *fact) for n, fact in ((0, lower), (2, higher)) if fact is not None]
            server = Server(1)
            server.view, server.now = past.view, past.now
            for waited in (0.0, LAN.boot_s + 0.2, LAN.preempt_s - LAN.boot_s + 0.4):
                for fact in said:
                    server.hear(*fact)
                server.wait(waited, *said, tick_s=0.29)
                worlds.append((server.view, server.now))
    return tuple(worlds)


def test_in_every_small_world_no_event_breaks_a_rule() -> None:
    seen = 0
    for before, now in _worlds():
        for event in _EVENTS:
            seen += 1
            view, actions = step(before, event, now + 0.05)
            _check_rules(before, view, list(actions))
            for action in actions:
                if isinstance(action, Persist):
                    after, _ = step(view, Persisted(action.durable), now + 0.06)
                    _check_rules(view, after, [])
    assert seen > 3000


def _check_rules(before: View, after: View, actions: list[Action]) -> None:
    newly = after.role is PRIMARY and before.role is not PRIMARY
    if newly:
        assert isinstance(before.pending, Claiming)
        assert after.lower is None, "R3"
        assert after.durable.epoch == after.epoch, "R6"
    if after.role is PRIMARY and after.leader is not None:
        assert after.leader.id > after.me, "R7"
    if after.following is not None:
        assert after.durable.accepted == Accepted(after.epoch, after.following), "R9"
    for persist in actions:
        if (
            isinstance(persist, Persist)
            and persist.durable.epoch > (before.writing or before.durable).epoch
        ):
            assert persist.durable.epoch > max(before.maxep, after.maxep), "R6"
            assert after.lower is None or after.role is PRIMARY, "R3"
    said = sentence(after)
    assert said.text
    assert said.text.format(*said.at)
    assert after.epoch <= max(after.maxep, after.durable.epoch)


def test_the_same_facts_always_give_the_same_decision_whatever_the_clock_shows() -> None:
    for before, now in _worlds()[::3]:
        shifted = _shift(before, 1e6)
        for event in _EVENTS:
            view, actions = step(before, event, now + 0.05)
            other, others = step(shifted, event, now + 0.05 + 1e6)
            assert (view.role, view.following, view.epoch) == (
                other.role,
                other.following,
                other.epoch,
            )
            assert actions == others


def _shift(view: View, by: float) -> View:
    pending = view.pending
    if isinstance(pending, Asking | CatchingUp):
        pending = replace(pending, until=pending.until + by)
    return replace(
        view,
        peers=tuple(
            replace(peer, heard_at=peer.heard_at + by, changed_at=peer.changed_at + by)
            for peer in view.peers
        ),
        tick_at=view.tick_at + by,
        role_at=view.role_at + by,
        listening_at=view.listening_at + by,
        following_at=view.following_at + by,
        calm_at=None if view.calm_at is None else view.calm_at + by,
        asked=tuple((head, at + by) for head, at in view.asked),
        pending=pending,
    )
