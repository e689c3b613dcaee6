from __future__ import annotations

from dataclasses import replace

import pytest

from configrepo.members import Member, fingerprint
from configrepo.model import ServerId
from scheduler.control_view import ControlView, PeerView
from scheduler.departing import goes_alone, standing_of
from tests.support.standing import leading

KEY = "ssh-ed25519 AAAA"


def member(number: int, certificate: str = "QUJD") -> Member:
    address = f"10.0.0.{number}"
    return Member(ServerId(number), "", address, 22, 63500 + number, certificate, KEY, KEY)


MINE = fingerprint(member(2).certificate)


def test_a_cluster_says_of_a_server_what_its_records_say() -> None:
    other = member(0, "REVG")
    removed = replace(member(2), state="removed")
    assert standing_of((other, member(2)), ServerId(2), MINE) == "member"
    assert standing_of((other, removed), ServerId(2), MINE) == "removed"
    assert standing_of((other, removed, member(7)), ServerId(2), MINE) == "renamed"
    assert standing_of((other, member(2, "R0hJ")), ServerId(2), MINE) == "replaced"
    assert standing_of((other,), ServerId(2), MINE) == "unknown"


def seeing(*states: str) -> ControlView:
    peers = tuple(PeerView(ServerId(n), state, "") for n, state in enumerate(states))
    return replace(leading(2, 1), peers=peers)


@pytest.mark.parametrize(
    ("said", "states", "alone"),
    [
        (("removed",), ("dead",), True),
        (("removed", "replaced"), ("unknown", "left"), True),
        (("removed", "unknown"), ("dead", "dead"), True),
        (("removed", "member"), ("dead", "dead"), False),
        (("removed",), ("dead", "alive"), False),
        (("removed",), ("suspect",), False),
        (("unknown",), ("dead",), False),
        (("removed", "renamed"), ("dead", "dead"), False),
        (("nonsense",), ("dead",), False),
        ((), ("dead",), False),
    ],
)
def test_a_server_goes_alone_only_if_nobody_that_it_reaches_says_otherwise(
    said: tuple[str, ...], states: tuple[str, ...], *, alone: bool
) -> None:
    answers = {ServerId(number): word for number, word in enumerate(said)}
    assert goes_alone(answers, seeing(*states)) is alone
