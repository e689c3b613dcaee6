"""The election in all small worlds: one server between two others, whatever those say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

from configrepo.model import ServerId
from scheduler.control_view import Accepted
from scheduler.election import step
from scheduler.election_moves import (
    Action,
    CaughtUp,
    Event,
    HandoverAsked,
    HandoverDone,
    HandoverGranted,
    HandoverRefused,
    HeadMoved,
    Left,
    Lost,
    Members,
    Persist,
    Persisted,
    Stalled,
    Tick,
)
from scheduler.election_sentences import sentence
from scheduler.election_values import Asking, CatchingUp, Claiming, Durable, View
from scheduler.presets import LAN
from tests.support.one_server import JOINING, PRIMARY, SECONDARY, Server

_HEADS = ("a" * 40, "b" * 40)


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
