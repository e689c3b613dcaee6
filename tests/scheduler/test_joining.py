"""Both sides of a join: a code, a knock, an acceptance, keys for both, and every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.sealing import Keyring
from scheduler.errors import JoinRefused, RemoteRefused, SchedulerError, Unreachable
from scheduler.inviting import ENTERS_S, record_from_json
from scheduler.join_tries import ALL, EACH
from scheduler.joincode import VALID_S, JoinCode, prove, vouch, write_code
from scheduler.joining import Agreed
from tests.support.join_world import FILTERED, FORM, World, control_key


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_join_goes_from_the_code_to_the_keys_of_both(world: World) -> None:
    world.joining.start(world.invite(), world.one.record("192.0.2.11"))
    assert world.progressed.acquire(timeout=20)
    assert world.joining.progress.stage == "waiting"
    seen = world.inviting.view()
    assert seen is not None
    assert seen.stage == "knocking"
    assert seen.knock is not None
    assert (seen.knock.id, seen.knock.address) == (1, "192.0.2.11")
    assert seen.knock.fingerprint == world.joining.progress.fingerprint
    assert [reach.source for reach in seen.knock.reaches] == ["BQN 1", "BQN 0"]

    old = dict(world.rings)
    assert world.inviting.accept().id == 1
    world.turn.release()
    assert world.ended().stage == "accepted"
    assert world.inviting.wait_until_entered(0) is not None
    assert world.agreed[-1] == Agreed(world.zero.record("192.0.2.10"), "ab" * 16)
    # Both seal with the cluster's key now and open what either sealed before.
    assert world.rings[0].current_key_id == world.rings[1].current_key_id == old[0].current_key_id
    assert set(world.rings[1].keys) == set(world.rings[0].keys) == {*old[0].keys, *old[1].keys}


def test_what_was_agreed_survives_a_restart_of_both(world: World) -> None:
    world.joining.start(world.invite(), world.one.record("192.0.2.11"))
    assert world.progressed.acquire(timeout=20)
    world.inviting.accept()
    world.turn.release()
    world.ended()
    again = world.new_joining()
    assert again.progress.stage == "accepted"
    assert again.agreed == world.joining.agreed
    assert world.new_inviting().admitted == world.one.record("192.0.2.11")
    again.done("in")
    assert world.new_joining().progress.stage == "none"
    world.inviting.withdraw()
    assert world.new_inviting().admitted is None


def knock_of(world: World, secret: bytes, **changes: Any) -> dict[str, Any]:
    record = {**asdict(world.one.record("192.0.2.11")), **changes}
    content = {"record": record, "reaches": [], "schema": 1}
    return {**content, "proof": prove(secret, "knock", content)}


def try_wrongly(world: World, source: str, said: str) -> None:
    world.source = source
    with pytest.raises(RemoteRefused, match=said):
        world.call(world.code(), "/join/knock", knock_of(world, b"x" * 16))


def test_five_wrong_codes_shut_out_their_address_and_nobody_else(world: World) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    for left in (4, 3, 2, 1):
        try_wrongly(world, "203.0.113.9", f"{left} tries left")
    try_wrongly(world, "203.0.113.9", "too often")
    with pytest.raises(RemoteRefused, match="too often"):
        world.call(code, "/join/knock", knock_of(world, code.secret))
    seen = world.inviting.view()
    assert seen is not None
    assert (seen.stage, seen.wrong) == ("waiting", (("203.0.113.9", EACH),))
    world.source = "192.0.2.11"
    world.call(code, "/join/knock", knock_of(world, code.secret))


def test_a_whole_ipv6_network_counts_as_one_address(world: World) -> None:
    world.invite()
    for number in range(EACH):
        try_wrongly(world, f"2001:db8::{number:x}", "too often" if number == 4 else "tries left")
    try_wrongly(world, "2001:db8::ffff", "too often")
    try_wrongly(world, "2001:db8:0:1::1", "4 tries left")


def test_very_many_wrong_codes_close_the_invitation_and_the_page_says_so(world: World) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    for number in range(ALL):
        last = number == ALL - 1
        try_wrongly(world, f"203.0.113.{number // 4}", "too often" if last else "tries left")
    world.source = "192.0.2.11"
    with pytest.raises(RemoteRefused, match="too often"):
        world.call(code, "/join/knock", knock_of(world, code.secret))
    seen = world.inviting.view()
    assert seen is not None
    assert seen.stage == "closed"


def entry_of(world: World, code: JoinCode, key: Ed25519PrivateKey) -> dict[str, Any]:
    content = {"keyring": Keyring.create().to_json(), "line": ""}
    proof = prove(code.secret, "enter", content)
    return {**content, "proof": proof, "signature": vouch(key, proof)}


def test_only_the_certificate_that_was_accepted_enters_and_only_in_time(world: World) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    world.call(code, "/join/knock", knock_of(world, code.secret))
    world.inviting.accept()
    stolen = entry_of(world, code, control_key(world.zero))
    for body in (stolen, {**stolen, "signature": None}, {**stolen, "signature": "?"}):
        with pytest.raises(RemoteRefused, match="no other"):
            world.inviting.enter(body, world.source)
    assert world.inviting.admitted is None
    own = entry_of(world, code, control_key(world.one))
    first = world.inviting.enter(own, world.source)
    # The answer can get lost: the same server may ask again, for a moment.
    assert world.inviting.enter(own, world.source)["keyring"] == first["keyring"]
    world.now += ENTERS_S
    for again in (own, entry_of(world, code, control_key(world.one))):
        with pytest.raises(RemoteRefused, match="expired"):
            world.inviting.enter(again, world.source)
    with pytest.raises(RemoteRefused, match="expired"):
        world.call(code, "/join/knock", knock_of(world, code.secret))


def test_nobody_is_accepted_when_the_time_of_the_code_is_over(world: World) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    world.call(code, "/join/knock", knock_of(world, code.secret))
    world.now += VALID_S
    with pytest.raises(JoinRefused, match="expired"):
        world.inviting.accept()


def test_a_release_that_cannot_read_the_cluster_is_not_let_in(world: World) -> None:
    code = world.code()
    world.inviting = world.new_inviting(schema=2)
    world.inviting.open(FORM, code, ())
    with pytest.raises(RemoteRefused, match="schema 2"):
        world.call(code, "/join/knock", knock_of(world, code.secret))


def test_an_expired_code_is_refused_and_shown_as_expired(world: World) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    world.now += VALID_S
    seen = world.inviting.view()
    assert seen is not None
    assert (seen.stage, seen.expires_in_s) == ("expired", 0)
    with pytest.raises(RemoteRefused, match="expired"):
        world.call(code, "/join/knock", knock_of(world, code.secret))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": 0}, "both servers have the id 0"),
        ({"id": 7}, "BQN 1 was invited"),
        ({"id": 256}, "cannot be read"),
        ({"id": True}, "cannot be read"),
        ({"name": 'x"\n route 0.0.0.0/0 1.2.3.4'}, "cannot be read"),
        ({"ssh_key": "ssh-ed25519 AAAA\ncommand=x"}, "cannot be read"),
        ({"ssh_port": "22"}, "cannot be read"),
    ],
)
def test_a_wrong_record_is_refused(world: World, changes: dict[str, Any], said: str) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    with pytest.raises(RemoteRefused, match=said):
        world.call(code, "/join/knock", knock_of(world, code.secret, **changes))


def test_a_code_is_for_one_server_only(world: World) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    world.call(code, "/join/knock", knock_of(world, code.secret))
    other = knock_of(world, code.secret, ssh_key=world.zero.identity.ssh_public)
    with pytest.raises(RemoteRefused, match="another server"):
        world.call(code, "/join/knock", other)


def test_nobody_enters_who_was_not_accepted(world: World) -> None:
    code = world.code()
    world.inviting.open(FORM, code, ())
    world.call(code, "/join/knock", knock_of(world, code.secret))
    content = {"keyring": Keyring.create().to_json()}
    body = {**content, "proof": prove(code.secret, "enter", content)}
    with pytest.raises(RemoteRefused, match="not accepted"):
        world.inviting.enter(body, world.source)
    with pytest.raises(JoinRefused, match="no server"):
        world.new_inviting().accept()


def test_a_man_in_the_middle_who_changes_an_answer_is_found(world: World) -> None:
    def replaced(route: str, answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "stage": "accepted", "record": asdict(world.one.record())}

    world.wire = replaced
    world.joining.start(world.invite(), world.one.record("192.0.2.11"))
    assert world.ended().stage == "failed"
    assert "does not know the code" in world.joining.progress.sentence
    assert world.joining.agreed is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("192.0.2.10:63500 does not answer", "filtered"), "does not answer"),
        (RemoteRefused("no invitation is open"), "BQN 0 refused: no invitation is open"),
    ],
)
def test_a_dead_or_refusing_server_is_said_and_nothing_is_kept(
    world: World, error: SchedulerError, said: str
) -> None:
    def fail(_route: str, _answer: dict[str, Any]) -> dict[str, Any]:
        raise error

    world.wire = fail
    world.joining.start(world.invite(), world.one.record("192.0.2.11"))
    assert world.ended().stage == "failed"
    assert said in world.joining.progress.sentence
    assert world.new_joining().agreed is None


def test_a_closed_control_port_stops_the_join_before_anything_is_sent(world: World) -> None:
    world.reaches = (FILTERED,)
    world.joining.start(world.invite(), world.one.record("192.0.2.11"))
    assert world.ended().stage == "failed"
    assert "No answer from 192.0.2.10." in world.joining.progress.sentence
    assert world.joining.progress.reaches == (FILTERED,)
    seen = world.inviting.view()
    assert seen is not None
    assert seen.stage == "waiting"


def test_a_code_of_a_server_with_the_same_id_is_refused(world: World) -> None:
    text = write_code(replace(world.code(), id=ServerId(1)))
    with pytest.raises(JoinRefused, match="same id"):
        world.joining.start(text, world.one.record())


@pytest.mark.parametrize("stored", [None, [], {}, {"id": 1}, "x"])
def test_a_record_in_a_wrong_form_is_refused(stored: object) -> None:
    with pytest.raises(RemoteRefused, match="record"):
        record_from_json(stored)


def test_a_member_survives_the_way_over_the_wire(world: World) -> None:
    member: Member = world.one.record("192.0.2.11")
    assert record_from_json(asdict(member)) == member


def test_a_fault_of_the_program_is_no_joining_that_goes_on_for_ever(world: World) -> None:
    def broken(_route: str, _answer: dict[str, Any]) -> dict[str, Any]:
        raise LookupError("a fault")

    world.wire = broken
    world.joining.start(world.invite(), world.one.record("192.0.2.11"))
    assert world.ended().stage == "failed"
    assert "fault of this program" in world.joining.progress.sentence
