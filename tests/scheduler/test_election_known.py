"""Who is known: life signs through others, losses, clones, and many members."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configrepo.model import ServerId
from scheduler.control_view import ControlRole
from scheduler.election_known import beat_s, link_times, patience_of, relays
from scheduler.election_moves import (
    CatchUp,
    Disputed,
    HandoverAsked,
    HandoverDone,
    Heard,
    Lost,
    RefuseHandover,
    Tick,
    Witness,
)
from scheduler.election_sentences import sentence
from scheduler.election_values import Peer, PeerState, Relay
from scheduler.presets import LAN
from tests.support.one_server import PRIMARY, SECONDARY, Server

ALIVE, INDIRECT, DEAD = PeerState.ALIVE, PeerState.INDIRECT, PeerState.DEAD


def test_a_server_that_another_one_passes_on_is_known_indirectly() -> None:
    here = Server(2, 0, 1, writes=True)
    here.hear(1, passed=(Relay(here.beacon(0, PRIMARY, 1), 0.3),))
    here.feed(Tick())
    assert here.state(0) is INDIRECT
    assert here.view.following == 0
    here.wait(0.1)
    peer = here.peer(0)
    assert peer.via == 1


def test_a_repeated_beacon_never_makes_its_server_younger() -> None:
    here = Server(2, 0, 1, writes=True)
    old = here.beacon(0)
    for _ in range(40):
        here.now += LAN.tick_s
        here.hear(1, passed=(Relay(old, 0.0),))
        here.feed(Tick())
    assert here.state(0) is DEAD


def test_an_older_number_and_an_old_age_do_not_count() -> None:
    here = Server(2, 0, 1, writes=True)
    here.hear(1, passed=(Relay(here.beacon(0, seq=5), LAN.dead_s + 0.1),))
    here.feed(Tick())
    assert here.state(0) is PeerState.UNKNOWN
    here.hear(1, passed=(Relay(here.beacon(0, seq=4), 0.0),))
    here.feed(Tick())
    assert here.state(0) is PeerState.UNKNOWN


def test_what_somebody_says_whom_one_cannot_answer_does_not_count() -> None:
    here = Server(2, 0, 1, writes=True)
    here.feed(Heard(here.beacon(1), False, (Relay(here.beacon(0), 0.0),)), Tick())
    assert here.state(0) is PeerState.UNKNOWN


def test_a_server_that_was_lost_counts_again_only_with_a_later_beacon() -> None:
    here = Server(2, 0, 1, writes=True)
    here.hear(0)
    here.now += 0.5
    here.feed(Lost(ServerId(0), "connection refused"))
    here.hear(1, passed=(Relay(here.beacon(0), 0.6),))
    here.feed(Tick())
    assert here.state(0) is DEAD
    here.now += 0.5
    here.hear(1, passed=(Relay(here.beacon(0), 0.1),))
    here.feed(Tick())
    assert here.state(0) is INDIRECT
    here.feed(Lost(ServerId(0), "connection refused"))
    assert here.state(0) is INDIRECT


def test_the_three_lowest_and_the_primary_are_passed_on_with_their_age() -> None:
    here = Server(9, *range(8), writes=True)
    for server in range(8):
        here.hear(server, role=PRIMARY if server == 6 else SECONDARY, epoch=1)
    here.feed(Tick())
    assert here.view.following == 6
    here.now += 0.2
    passed = {relay.beacon.id: relay.age_s for relay in relays(here.view, here.now)}
    assert set(passed) == {0, 1, 2, 6}
    assert passed[ServerId(0)] == pytest.approx(0.2)


def test_r11_a_cloned_server_does_not_count_until_that_is_settled() -> None:
    here = Server(1, 0, writes=True)
    here.hear(0)
    here.feed(Disputed(ServerId(0), "two servers run with its key"))
    here.hear(0)
    here.feed(Lost(ServerId(0), "connection refused"), Tick())
    assert here.state(0) is PeerState.CLONE
    assert "two servers run with its key" in sentence(here.view).text
    assert here.view.lower is None
    here.feed(Disputed(ServerId(0), None))
    here.hear(0)
    assert here.state(0) is ALIVE
    here.feed(Disputed(ServerId(0), None))
    assert here.state(0) is ALIVE


def test_r13_a_primary_that_reaches_nobody_says_since_when() -> None:
    here = Server(0, 1, writes=True)
    here.wait(LAN.boot_s + LAN.claim_s + 0.3, 1)
    assert here.view.role is PRIMARY
    assert here.view.alone_at is None
    here.wait(LAN.dead_s + 0.3)
    assert here.view.role is PRIMARY
    assert "alone since" in sentence(here.view).text


def test_r13_without_its_witness_nobody_begins_to_lead_but_a_primary_goes_on() -> None:
    here = Server(0, 1, writes=True)
    here.feed(Witness(answers=False))
    here.wait(LAN.boot_s + 3)
    assert here.view.role is ControlRole.CANDIDATE
    assert "witness" in sentence(here.view).text
    here.feed(Witness(answers=True))
    here.wait(0.3)
    assert here.view.role is PRIMARY
    here.feed(Witness(answers=False))
    here.wait(3)
    assert here.view.role is PRIMARY


def test_r5_who_was_lost_soon_after_it_took_over_must_answer_longer() -> None:
    here = Server(1, 0, writes=True)
    here.wait(LAN.boot_s + LAN.claim_s + 0.3)
    for factor in (1, 2, 4):
        here.hear(0)
        peer = here.peer(0)
        assert patience_of(peer, here.now) == factor
        if factor > 1:
            assert any(
                isinstance(action, RefuseHandover)
                for action in here.feed(HandoverAsked(ServerId(0)))
            )
        here.wait(LAN.preempt_s * factor + 0.2, 0)
        here.feed(HandoverAsked(ServerId(0)), HandoverDone(None))
        assert here.view.role is SECONDARY
        here.feed(Lost(ServerId(0), "connection refused"))
        here.wait(LAN.claim_s + 0.5)
        assert here.view.role is PRIMARY
    forgiven = here.now + 3600
    peer = here.peer(0)
    assert patience_of(peer, forgiven) == 1


def test_r12_a_flood_of_heads_is_fetched_a_few_at_a_time() -> None:
    here = Server(0, *range(1, 11), writes=True)
    here.wait(LAN.boot_s + LAN.claim_s + 0.3, 1)
    done: list[object] = []
    for server in range(1, 11):
        beacon = replace(here.beacon(server), head=f"{server:040x}")
        done += here.feed(Heard(beacon, round_trip=True), Tick())
    assert len([action for action in done if isinstance(action, CatchUp)]) == 5


def test_up_to_sixteen_servers_every_link_beats_at_the_full_rate() -> None:
    here = Server(5, *(n for n in range(16) if n != 5), writes=True)
    here.hear(7)
    here.feed(Tick())
    assert beat_s(here.view, ServerId(7)) == LAN.hb_s


def test_of_many_servers_only_the_links_of_the_first_ones_beat_at_the_full_rate() -> None:
    here = Server(200, *range(200), writes=True)
    here.hear(0, role=PRIMARY, epoch=1)
    for server in (1, 2, 7):
        here.hear(server)
    here.now += 0.1
    here.feed(Tick())
    here.feed(Tick())
    slow_s = LAN.hb_s * 201 / 16
    assert [beat_s(here.view, ServerId(n)) == LAN.hb_s for n in (0, 1, 2, 7)] == [
        True,
        True,
        False,
        False,
    ]
    assert beat_s(here.view, ServerId(7)) == pytest.approx(slow_s)
    peer = here.view.peer(ServerId(7)) or Peer(ServerId(7))
    assert link_times(here.view, peer) == pytest.approx((3 * slow_s, 6 * slow_s))


def test_when_the_primary_of_many_is_missing_the_links_to_the_three_lowest_speed_up() -> None:
    here = Server(200, *range(200), writes=True)
    here.hear(0, role=PRIMARY, epoch=1)
    for server in (1, 2, 3):
        here.hear(server)
    here.wait(LAN.suspect_s + 0.3, 1, 2, 3)
    assert [beat_s(here.view, ServerId(n)) == LAN.hb_s for n in (1, 2, 3)] == [True, True, False]
