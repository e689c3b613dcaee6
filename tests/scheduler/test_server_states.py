"""Every state of a server has its word, its detail and its cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from configrepo.model import ServerId
from scheduler.control_view import ControlRole, ControlView, PeerView
from scheduler.server_states import MEANINGS, own_state, peer_state

AT = datetime(2026, 11, 22, 14, 3, 22, tzinfo=UTC)
ALIVE = PeerView(ServerId(1), "alive", "BQN 1 has answered", role="secondary", schema=2)
LEADS = ControlView(ServerId(0), ControlRole.PRIMARY, 3, AT, "BQN 0 has led since 14:03:22, term 3")


@pytest.mark.parametrize(
    ("changes", "word", "detail"),
    [
        ({}, "ready", ""),
        ({"role": "joining"}, "joining", ""),
        ({"schema": 1}, "incompatible", ""),
        ({"schema": 0}, "ready", ""),
        ({"state": "suspect"}, "suspect", ""),
        ({"state": "dead", "last_contact": AT}, "unreachable", "since 2026-11-22 14:03:22 UTC"),
        ({"state": "unknown"}, "unreachable", ""),
        ({"state": "indirect", "via": ServerId(2)}, "indirect", "via BQN 2"),
        ({"state": "conflict"}, "conflict", ""),
        ({"state": "clone"}, "clone", ""),
        ({"state": "incompatible"}, "incompatible", ""),
    ],
)
def test_another_server_is_in_a_state_with_a_meaning(
    changes: dict[str, object], word: str, detail: str
) -> None:
    state = peer_state(replace(ALIVE, **changes), schema=2)  # type: ignore[arg-type]
    assert (state.word, state.detail) == (word, detail)
    assert state.sentence
    assert state.word in MEANINGS


def test_a_server_that_was_not_seen_yet_is_starting() -> None:
    assert peer_state(None).word == "starting"


def test_this_server_says_when_it_is_alone_listens_or_cannot_read_the_cluster() -> None:
    assert own_state(LEADS).word == "ready"
    alone = own_state(replace(LEADS, alone_since=AT))
    assert (alone.word, alone.detail) == ("alone since", "2026-11-22 14:03:22 UTC")
    listens = replace(LEADS, role=ControlRole.JOINING, sentence="BQN 0 listens")
    assert (own_state(listens).word, own_state(listens).sentence) == ("joining", "BQN 0 listens.")
    stranger = PeerView(ServerId(1), "incompatible", "BQN 1 runs another release")
    assert own_state(replace(listens, peers=(stranger,))).word == "incompatible"
    assert own_state(LEADS, "the configuration is newer").sentence == "The configuration is newer."
    ended = replace(LEADS, running=False, sentence="The control process ended.")
    assert own_state(ended).word == "starting"
    assert own_state(ended).sentence == "The control process ended."
    assert {"ready", "alone since", "joining", "incompatible", "starting"} <= set(MEANINGS)
