"""Each rule of the election by itself."""

from __future__ import annotations

import pytest

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred, ControlRole
from scheduler.election_moves import (
    Announce,
    AskHandover,
    Bar,
    CatchUp,
    CaughtUp,
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
)
from scheduler.election_values import Beacon, Claiming, Durable, PeerState
from scheduler.presets import LAN
from tests.support.one_server import JOINING, PRIMARY, SECONDARY, Server, of

_HEADS = ("a" * 40, "b" * 40)


def test_a_server_without_others_is_alone_and_never_claims() -> None:
    server = Server(0)
    assert not of(Persist, server.wait(60))
    assert server.view.role is ControlRole.ALONE


def test_r1_a_started_server_only_listens_for_boot() -> None:
    server = Server(0, 1)
    assert not of(Persist, server.wait(LAN.boot_s - 0.1))
    assert server.view.role is JOINING


def test_r2_silence_makes_suspect_with_a_second_connection_and_then_dead() -> None:
    server = Server(0, 1)
    server.hear(1)
    done = server.wait(LAN.suspect_s + 0.2)
    assert of(Redial, done) == [Redial(ServerId(1))]
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
    assert not of(Persist, server.done)
    done = server.wait(LAN.claim_s + 0.1, (2, SECONDARY, 0))
    assert of(Persist, done) == [Persist(Durable(1, 1, Accepted(1, ServerId(1))))]


def test_r4_heads_of_others_are_fetched_first_but_not_for_ever() -> None:
    server = Server(0, 1)
    server.feed(HeadMoved(_HEADS[0]))
    server.hear(1, head=_HEADS[1])
    server.wait(LAN.boot_s)
    while not (asked := of(CatchUp, server.done)):
        server.wait(0.1)
        server.hear(1, head=_HEADS[1])
    assert asked == [CatchUp(ServerId(1), _HEADS[1])]
    assert not of(Persist, server.done)
    late = Server(0, 1)
    late.view, late.now, late.done = server.view, server.now, []
    assert of(Persist, server.feed(CaughtUp(_HEADS[1])))
    assert of(Persist, late.wait(LAN.catch_up_s + 0.2))


def test_r5_a_higher_primary_is_followed_then_asked_and_then_succeeded() -> None:
    server = Server(0, 1)
    server.hear(1, PRIMARY, 4)
    server.persisted()
    assert server.view.following == 1
    assert not of(AskHandover, server.wait(LAN.preempt_s - 0.2, (1, PRIMARY, 4)))
    assert "takes over at" in server.text
    while not of(AskHandover, server.done):
        server.wait(0.1, (1, PRIMARY, 4))
    server.feed(HandoverGranted(ServerId(1), 4, _HEADS[0]))
    assert of(CatchUp, server.done) == [CatchUp(ServerId(1), _HEADS[0])]
    server.hear(1, SECONDARY, 4)
    server.feed(CaughtUp(_HEADS[0]))
    server.persisted()
    assert (server.view.role, server.view.epoch) == (PRIMARY, 5)


def test_r5_a_refused_handover_is_asked_again_later() -> None:
    server = Server(0, 1)
    server.hear(1, PRIMARY, 4)
    server.persisted()
    while not of(AskHandover, server.done):
        server.wait(0.1, (1, PRIMARY, 4))
    server.feed(HandoverRefused(ServerId(1), "not now"))
    assert len(of(AskHandover, server.wait(LAN.dead_s - 0.2, (1, PRIMARY, 4)))) == 0
    assert len(of(AskHandover, server.wait(0.5, (1, PRIMARY, 4)))) == 1


def test_r5_the_acting_primary_finishes_before_it_answers() -> None:
    server = Server(1, 0)
    server.lead()
    server.hear(0)
    assert of(StopCommits, server.feed(HandoverAsked(ServerId(0)))) == [StopCommits(ServerId(0))]
    assert not of(StopCommits, server.feed(HandoverAsked(ServerId(0))))
    assert server.view.role is PRIMARY
    done = server.feed(HandoverDone(_HEADS[0]))
    assert of(GrantHandover, done) == [GrantHandover(ServerId(0), 1, _HEADS[0])]
    assert server.view.role is SECONDARY
    assert not of(GrantHandover, server.feed(HandoverDone(_HEADS[0])))


def test_r5_only_a_known_lower_id_is_handed_over_to() -> None:
    server = Server(1, 0, 2)
    assert of(RefuseHandover, server.feed(HandoverAsked(ServerId(0))))
    server.lead()
    server.hear(2)
    assert of(RefuseHandover, server.feed(HandoverAsked(ServerId(0))))
    assert of(RefuseHandover, server.feed(HandoverAsked(ServerId(2))))
    assert not of(StopCommits, server.done)


def test_r6_a_claim_is_above_every_epoch_ever_seen_and_leads_only_when_written() -> None:
    server = Server(0, 1, durable=Durable(3, 4, Accepted(6, ServerId(1))))
    server.hear(1, SECONDARY, 0, maxep=9)
    server.wait(LAN.boot_s + LAN.claim_s + 0.3, (1, SECONDARY, 0))
    assert of(Persist, server.done)[-1] == Persist(Durable(3, 10, Accepted(10, ServerId(0))))
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
    assert len(of(Persist, server.done)) <= 7


def test_r9_a_term_is_followed_only_after_it_was_written() -> None:
    server = Server(1, 0)
    server.hear(0, PRIMARY, 3)
    assert server.view.following is None
    assert of(Persist, server.done) == [Persist(Durable(1, 0, Accepted(3, ServerId(0))))]
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
    if of(Persist, server.done):
        server.persisted()
    assert (server.view.following == leader) is follows
    if not follows:
        assert "was accepted before" in server.text


def test_r10_a_primary_fetches_each_missing_head_once_and_again_when_it_takes_long() -> None:
    server = Server(0, 1)
    server.lead()
    assert of(CatchUp, server.hear(1, head=_HEADS[0])) == [CatchUp(ServerId(1), _HEADS[0])]
    assert not of(CatchUp, server.hear(1, head=_HEADS[0]))
    server.now += 0.1
    for _ in range(round(LAN.catch_up_s / 0.1) + 2):
        server.now += 0.1
        server.hear(1, head=_HEADS[0])
    assert len(of(CatchUp, server.done)) == 2
    server.feed(CaughtUp(_HEADS[0]))
    server.now += 0.1
    assert not of(CatchUp, server.hear(1, head=_HEADS[0]))


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
    assert of(Announce, server.feed(HeadMoved(_HEADS[0])))
    assert not of(Announce, server.feed(HeadMoved(_HEADS[0])))


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
    assert of(AskHandover, server.done) == [AskHandover(ServerId(0))]
    primary = Server(0, 1)
    primary.lead()
    primary.hear(1)
    assert of(RefuseHandover, primary.feed(HandoverAsked(ServerId(1))))
    primary.feed(Bar(Barred("maintenance", 1_900_000_000.0)))
    primary.persisted()
    assert of(StopCommits, primary.feed(HandoverAsked(ServerId(1))))
    primary.feed(HandoverDone(None))
    primary.hear(1, PRIMARY, 2)
    primary.persisted()
    assert primary.view.following == 1


def test_r14_what_is_being_written_is_not_undone_by_what_is_written_next() -> None:
    server = Server(0, 1)
    server.wait(LAN.boot_s + LAN.claim_s + 0.3)
    (done,) = of(Persist, server.feed(Bar(Barred("maintenance"))))
    assert done == Persist(Durable(1, 1, Accepted(1, ServerId(0)), Barred("maintenance")))


def test_a_term_of_the_same_epoch_that_is_refused_calls_for_a_higher_one() -> None:
    server = Server(2, 0, 1, durable=Durable(1, 0, Accepted(5, ServerId(0))))
    server.hear(1, PRIMARY, 5)
    assert server.view.following is None
    assert server.view.maxep == 6


def test_r6_who_took_the_place_of_a_lost_server_claims_far_above_once() -> None:
    server = Server(0, 1)
    server.feed(Members((ServerId(1),), former=1))
    server.hear(1, maxep=7)
    server.lead()
    assert server.view.epoch == 100_008
    server.hear(1, maxep=100_020)
    server.persisted()
    assert server.view.epoch == 100_021


def test_r6_the_second_one_to_take_that_place_claims_further_than_the_first() -> None:
    server = Server(0, 1)
    server.feed(Members((ServerId(1),), former=2))
    server.hear(1, maxep=7)
    server.lead()
    assert server.view.epoch == 200_008
