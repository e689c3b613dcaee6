"""Joining without a code: what both show, what both confirm, and everything that is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from configrepo.members import fingerprint
from configrepo.model import ServerId
from scheduler import meeting
from scheduler.errors import JoinRefused, RemoteRefused, WrongIdentity
from scheduler.inviting import new_secret
from scheduler.join_tries import EACH
from scheduler.joincode import VALID_S, JoinCode, host_key_digest, prove
from scheduler.views import Invitation, JoinProgress, Meeting
from tests.support.join_world import FORM, World, control_key
from tests.support.small_server import SmallServer

BY_HAND = replace(FORM, by_hand=True)
THERE = "192.0.2.11"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def place(world: World) -> JoinCode:
    """Where the person at BQN 1 says that BQN 0 is."""
    known = replace(world.code(), cluster_id="", control_fingerprint="", ssh_fingerprint="")
    return replace(known, secret=new_secret())


def open_there(world: World) -> None:
    world.inviting.open(BY_HAND, world.code(), (), frozenset({THERE}))


def seen(world: World) -> Invitation:
    view = world.inviting.view()
    assert view is not None
    return view


def meet(world: World) -> tuple[Meeting, Meeting]:
    """Both servers are told of each other; what BQN 0 and BQN 1 show."""
    open_there(world)
    world.joining.meet(place(world), world.one.record(THERE))
    progress = world.ended()
    assert progress.stage == "comparing", progress.sentence
    there, here = seen(world).meeting, progress.meeting
    assert there is not None
    assert here is not None
    return there, here


def asks(world: World, server: SmallServer, to: str | None = None, **record: Any) -> dict[str, Any]:
    """The request of a server, made for the certificate `to` (that of BQN 0)."""
    own = replace(server.record(THERE), **record)
    fingerprint = world.zero.identity.fingerprint if to is None else to
    code = replace(place(world), control_fingerprint=fingerprint)
    return meeting.request(code, own, 1, control_key(server))


def answered(world: World, body: Mapping[str, Any]) -> dict[str, Any]:
    return world.inviting.meet(world.zero.record("192.0.2.10"), body, world.source)


def test_both_show_the_keys_of_both_and_the_same_number(world: World) -> None:
    there, here = meet(world)
    zero, one = world.zero.record(), world.one.record()
    assert (there.own, there.other) == (here.other, here.own)
    assert there.own.certificate == fingerprint(zero.certificate)
    assert there.other.certificate == fingerprint(one.certificate)
    assert there.own.ssh != there.other.ssh
    assert there.number == here.number
    assert [len(group) for group in here.number.split()] == [5] * 6
    assert seen(world).code == ""


def confirmed_both(world: World, first: str) -> JoinProgress:
    there, here = meet(world)
    if first == "BQN 0":
        world.inviting.accept(there.compared)
        assert not seen(world).confirmed_there
        world.joining.confirm(here.compared)
        return world.ended()
    world.joining.confirm(here.compared)
    assert world.progressed.acquire(timeout=20)
    assert world.joining.progress.stage == "waiting"
    assert world.joining.progress.meeting == here
    assert seen(world).confirmed_there
    world.inviting.accept(there.compared)
    world.turn.release()
    return world.ended()


@pytest.mark.parametrize("first", ["BQN 0", "BQN 1"])
def test_when_both_have_confirmed_the_keys_go_over_whoever_was_first(
    world: World, first: str
) -> None:
    assert confirmed_both(world, first).stage == "accepted"
    assert world.inviting.admitted == world.one.record(THERE)
    agreed = world.joining.agreed
    assert agreed is not None
    assert agreed.inviter == world.zero.record("192.0.2.10")
    assert agreed.cluster_id == "ab" * 16
    assert set(world.rings[0].keys) == set(world.rings[1].keys)


def test_nothing_goes_over_before_both_have_confirmed(world: World) -> None:
    rings = dict(world.rings)
    asked: list[str] = []
    world.wire = lambda route, answer: asked.append(route) or answer  # type: ignore[func-returns-value]
    there, here = meet(world)
    assert asked == ["/join/meet"]
    world.inviting.accept(there.compared)
    assert asked == ["/join/meet"]
    world.inviting.withdraw()
    there, here = meet(world)
    world.joining.confirm(here.compared)
    assert world.progressed.acquire(timeout=20)
    assert "/join/enter" not in asked
    assert world.rings == rings
    assert (world.inviting.admitted, world.joining.agreed) == (None, None)


def test_a_swap_between_showing_and_confirming_is_refused_on_both(world: World) -> None:
    there, here = meet(world)
    world.inviting.withdraw()
    again_there, _ = meet(world)
    assert again_there.number != there.number
    for old in (there.compared, here.compared, ""):
        with pytest.raises(JoinRefused, match="not what you saw"):
            world.inviting.accept(old)
        with pytest.raises(JoinRefused, match="not what you saw"):
            world.joining.confirm(old)
    assert seen(world).stage == "knocking"
    assert world.joining.progress.stage == "comparing"


def test_another_certificate_after_the_confirmation_is_found(world: World) -> None:
    there, here = meet(world)
    world.inviting.accept(there.compared)

    def swapped(_: str, answer: dict[str, Any]) -> dict[str, Any]:
        raise WrongIdentity("192.0.2.10:63500 has the fingerprint 00…, not 11…")

    world.wire = swapped
    world.joining.confirm(here.compared)
    assert world.ended().stage == "failed"
    assert "No key and no configuration was sent" in world.joining.progress.sentence
    assert world.joining.agreed is None


def test_who_stands_between_the_servers_is_refused_and_counted(world: World) -> None:
    open_there(world)
    world.source = THERE
    passed_on = asks(world, world.one, to="22" * 32)
    with pytest.raises(RemoteRefused, match="4 tries left"):
        answered(world, passed_on)
    assert seen(world).wrong == ((THERE, 1),)
    assert (seen(world).stage, seen(world).meeting) == ("waiting", None)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"secret": "00" * 16},
        {"secret": "00"},
        {"secret": "?"},
        {"secret": None},
        {"signature": None},
        {"signature": "AAAA"},
        {"proof": "\ud800"},
        {"schema": 9},
    ],
)
def test_a_request_that_was_changed_on_the_way_is_refused(
    world: World, spoilt: dict[str, Any]
) -> None:
    open_there(world)
    with pytest.raises(RemoteRefused, match="4 tries left"):
        answered(world, {**asks(world, world.one), **spoilt})
    assert seen(world).meeting is None


def test_a_certificate_whose_key_one_does_not_have_cannot_be_shown(world: World) -> None:
    open_there(world)
    own = asks(world, world.zero, id=ServerId(1), certificate=world.one.record().certificate)
    with pytest.raises(RemoteRefused, match="4 tries left"):
        answered(world, own)


def test_who_comes_first_from_that_address_only_has_his_own_fingerprint_shown(
    world: World,
) -> None:
    open_there(world)
    answered(world, asks(world, world.zero, id=ServerId(1)))
    shown = seen(world).meeting
    assert shown is not None
    assert shown.other.certificate == fingerprint(world.zero.record().certificate)
    world.joining.meet(place(world), world.one.record(THERE))
    assert world.ended().stage == "failed"
    assert "not the server that is shown" in world.joining.progress.sentence
    assert seen(world).meeting == shown


def test_five_wrong_requests_shut_out_their_address(world: World) -> None:
    open_there(world)
    for left in (4, 3, 2, 1):
        with pytest.raises(RemoteRefused, match=f"{left} tries left"):
            answered(world, asks(world, world.one, to="22" * 32))
    for body in (asks(world, world.one, to="22" * 32), asks(world, world.one)):
        with pytest.raises(RemoteRefused, match="too many wrong messages"):
            answered(world, body)
    assert seen(world).wrong == ((THERE, EACH),)


def test_only_the_address_that_was_given_is_met_and_others_learn_nothing(world: World) -> None:
    told = []
    open_there(world)
    world.source = "203.0.113.9"
    for form in (BY_HAND, FORM):
        world.inviting.open(form, world.code(), (), frozenset({THERE} if form is BY_HAND else ()))
        with pytest.raises(RemoteRefused) as refused:
            answered(world, asks(world, world.one))
        told.append(str(refused.value))
    world.inviting.withdraw()
    with pytest.raises(RemoteRefused) as refused:
        answered(world, asks(world, world.one))
    assert set(told) == {str(refused.value)}
    assert "203.0.113.9" in told[0]


def test_after_fifteen_minutes_nothing_is_confirmed_on_either_side(world: World) -> None:
    there, here = meet(world)
    world.now += VALID_S
    assert seen(world).stage == "expired"
    with pytest.raises(JoinRefused, match="15 minutes"):
        world.inviting.accept(there.compared)
    with pytest.raises(JoinRefused, match="15 minutes"):
        world.joining.confirm(here.compared)
    with pytest.raises(RemoteRefused, match="15 minutes"):
        answered(world, asks(world, world.one))


def test_who_confirms_later_than_the_other_server_waits_is_told(world: World) -> None:
    open_there(world)
    world.now += VALID_S - 100
    world.joining.meet(place(world), world.one.record(THERE))
    here, there = world.ended().meeting, seen(world).meeting
    assert here is not None
    assert there is not None
    world.inviting.accept(there.compared)
    world.now += 100
    assert seen(world).stage == "expired"
    world.joining.confirm(here.compared)
    assert world.ended().stage == "failed"
    assert "the time to confirm (15 minutes) is over" in world.joining.progress.sentence
    assert (world.inviting.admitted, world.joining.agreed) == (None, None)


def test_a_meeting_is_used_once(world: World) -> None:
    there, here = meet(world)
    replayed = asks(world, world.one)
    world.inviting.accept(there.compared)
    with pytest.raises(RemoteRefused, match="confirmed there already"):
        answered(world, replayed)
    world.joining.confirm(here.compared)
    with pytest.raises(JoinRefused, match="no server waits"):
        world.joining.confirm(here.compared)
    assert world.ended().stage == "accepted"


def test_a_message_of_a_former_meeting_is_worth_nothing(world: World) -> None:
    code = replace(world.code(), secret=new_secret())
    meet(world)
    with pytest.raises(RemoteRefused, match="not the server that is shown"):
        world.call(code, "/join/knock", {"record": asdict(world.one.record(THERE))})


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"id": 7}, "another server answers"),
        ({"id": False}, "another server answers"),
        ({}, "another server answers"),
        ({"id": 0, "cluster": "ab" * 16, "ssh": "x"}, "not understood"),
        ({"id": 0, "cluster": "AB" * 16, "ssh": "11" * 32}, "not understood"),
        ({"id": 0, "cluster": None, "ssh": "11" * 32}, "not understood"),
    ],
)
def test_another_server_at_the_address_is_told(
    world: World, said: dict[str, Any], sentence: str
) -> None:
    open_there(world)
    world.wire = lambda _route, _answer: said
    world.joining.meet(place(world), world.one.record(THERE))
    assert world.ended().stage == "failed"
    assert sentence in world.joining.progress.sentence


def test_an_ssh_host_key_that_is_not_the_one_that_was_compared_ends_the_join(world: World) -> None:
    open_there(world)
    other = host_key_digest(world.one.record().ssh_host_key)

    def lied(route: str, answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "ssh": other} if route == "/join/meet" else answer

    world.wire = lied
    world.joining.meet(place(world), world.one.record(THERE))
    here = world.ended().meeting
    there = seen(world).meeting
    assert here is not None
    assert there is not None
    assert here.number != there.number
    world.inviting.accept(there.compared)
    world.joining.confirm(here.compared)
    assert world.ended().stage == "failed"
    assert "SSH host key" in world.joining.progress.sentence


def test_only_the_certificate_that_was_compared_becomes_the_pin(world: World) -> None:
    open_there(world)
    where = place(world)
    other = world.one.record().certificate

    def lied(route: str, answer: dict[str, Any]) -> dict[str, Any]:
        if "record" not in answer:
            return answer
        said = {"stage": "accepted", "record": {**answer["record"], "certificate": other}}
        return {**said, "proof": prove(where.secret, "knock-answer", said)}

    world.wire = lied
    world.joining.meet(where, world.one.record(THERE))
    here, there = world.ended().meeting, seen(world).meeting
    assert here is not None
    assert there is not None
    world.inviting.accept(there.compared)
    world.joining.confirm(here.compared)
    assert world.ended().stage == "failed"
    assert "the certificate of BQN 0 is not the one" in world.joining.progress.sentence
    assert (world.inviting.admitted, world.joining.agreed) == (None, None)


def test_the_other_person_has_the_rest_of_the_time_to_confirm(world: World) -> None:
    there, here = meet(world)
    world.inviting.accept(there.compared)
    world.now += VALID_S - 1
    world.joining.confirm(here.compared)
    assert world.ended().stage == "accepted"


def test_who_gives_up_confirms_nothing_any_more(world: World) -> None:
    _, here = meet(world)
    world.joining.give_up()
    with pytest.raises(JoinRefused, match="no server waits"):
        world.joining.confirm(here.compared)


def test_the_server_that_was_met_may_come_again_until_it_is_confirmed(world: World) -> None:
    first, _ = meet(world)
    world.joining.meet(place(world), world.one.record(THERE))
    assert world.ended().stage == "comparing"
    second = seen(world).meeting
    assert second is not None
    assert second.other == first.other
    assert second.number != first.number
    knock = seen(world).knock
    assert knock is not None
    # The way back is checked for the first request only.
    assert [reach.source for reach in knock.reaches] == ["BQN 0"]
