"""Two real servers that meet without a join code, and those who try to come between."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from configrepo.model import SCHEMA
from scheduler import meeting
from scheduler.assembly import Assembly
from scheduler.beacon_signing import private_key
from scheduler.errors import RemoteRefused
from scheduler.inviting import new_secret
from scheduler.join_tries import EACH
from scheduler.joincode import JoinCode
from scheduler.rpc_client import call_join
from scheduler.views import AddForm, Invitation, JoinProgress, Meeting, Refused, Unification
from tests.support.joined_servers import OPERATOR, strangers, unified, wait_until
from tests.support.tcp_relay import TcpRelay


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Assembly, Assembly]]:
    with strangers(tmp_path_factory.mktemp("strangers")) as both:
        yield both


@pytest.fixture(autouse=True)
def begun_anew(pair: tuple[Assembly, Assembly]) -> None:
    zero, one = pair
    zero.desk.withdraw(OPERATOR)
    one.desk.give_up_joining(OPERATOR)


def form_of(other: Assembly, control_port: int | None = None, own: str = "127.0.0.1") -> AddForm:
    """What the person at one server says of the other one."""
    port = control_port or other.control_port
    return AddForm(other.me, "127.0.0.1", own, other.settings.ssh.port, port, by_hand=True)


def waits(zero: Assembly, one: Assembly) -> None:
    assert isinstance(zero.desk.invite(OPERATOR, form_of(one)), Invitation)


def looks(one: Assembly, form: AddForm, stage: str) -> JoinProgress:
    one.desk.join(OPERATOR, "", form, "127.0.0.1", one.settings.ssh.port)
    return reached(one, stage)


def reached(one: Assembly, stage: str) -> JoinProgress:
    ends = {stage, "failed"}
    wait_until(f"the joining is {stage}", lambda: one.desk.join_progress().stage in ends)
    progress = one.desk.join_progress()
    assert progress.stage == stage, progress.sentence
    return progress


def shown(server: Assembly) -> Meeting:
    invitation = server.desk.invitation()
    found = invitation.meeting if invitation else server.desk.join_progress().meeting
    assert found is not None
    return found


def keys_known(server: Assembly) -> set[str]:
    return set(server.vault.keyring.keys)


def request_for(zero: Assembly, one: Assembly, to: str) -> dict[str, object]:
    """What BQN 1 would send to a server with the certificate `to`."""
    code = JoinCode("", zero.me, "127.0.0.1", zero.control_port, 22, to, "", new_secret())
    key = private_key(one.identity.control_pem.read_bytes())
    own = replace(one.membership.own_record(), address="127.0.0.1")
    return meeting.request(code, own, SCHEMA, key)


def send(zero: Assembly, body: dict[str, object]) -> None:
    call_join("127.0.0.1", zero.control_port, zero.identity.fingerprint, meeting.ROUTE, body)


def test_a_certificate_that_changes_after_it_was_compared_is_refused_in_words(
    pair: tuple[Assembly, Assembly],
) -> None:
    zero, one = pair
    rings = keys_known(zero), keys_known(one)
    waits(zero, one)
    with closing(TcpRelay(zero.control_port)) as relay:
        looks(one, form_of(zero, relay.port), "comparing")
        assert isinstance(zero.desk.accept(OPERATOR, shown(zero).compared), Invitation)
        relay.target = one.control_port
        one.desk.confirm(OPERATOR, shown(one).compared)
        progress = reached(one, "failed")
    assert "certificate" in progress.sentence or "identity" in progress.sentence
    assert "Nothing was changed" in progress.sentence
    assert (keys_known(zero), keys_known(one)) == rings
    assert (zero.inviting.admitted, one.joining.agreed) == (None, None)


def test_a_request_that_was_made_for_another_certificate_is_refused_five_times(
    pair: tuple[Assembly, Assembly],
) -> None:
    zero, one = pair
    waits(zero, one)
    for left in range(EACH - 1, -1, -1):
        said = f"{left} tries left" if left else "too many wrong messages"
        with pytest.raises(RemoteRefused, match=said):
            send(zero, request_for(zero, one, one.identity.fingerprint))
    with pytest.raises(RemoteRefused, match="too many wrong messages"):
        send(zero, request_for(zero, one, zero.identity.fingerprint))
    invitation = zero.desk.invitation()
    assert invitation is not None
    assert (invitation.meeting, invitation.wrong) == (None, (("127.0.0.1", EACH),))


def test_nobody_is_met_whom_no_person_here_has_named(pair: tuple[Assembly, Assembly]) -> None:
    zero, one = pair
    away = replace(form_of(one), other_address="127.0.0.99")
    for form in (None, away, replace(form_of(one), by_hand=False)):
        if form is not None:
            assert isinstance(zero.desk.invite(OPERATOR, form), Invitation)
        with pytest.raises(RemoteRefused, match=r"no server at 127\.0\.0\.1 is waited for"):
            send(zero, request_for(zero, one, zero.identity.fingerprint))


def test_a_name_without_an_address_is_told(pair: tuple[Assembly, Assembly]) -> None:
    zero, one = pair
    told = zero.desk.invite(OPERATOR, replace(form_of(one), other_address="a..b"))
    assert isinstance(told, Refused)
    assert "No address is known for a..b" in told.sentence


def test_the_wrong_id_is_told_on_both_sides(pair: tuple[Assembly, Assembly]) -> None:
    zero, one = pair
    waits(zero, one)
    wrong = replace(form_of(zero), other_id=type(zero.me)(7))
    one.desk.join(OPERATOR, "", wrong, "127.0.0.1", one.settings.ssh.port)
    assert "BQN 7" in reached(one, "failed").sentence
    one.desk.join(OPERATOR, "", form_of(one), "127.0.0.1", one.settings.ssh.port)
    zero.desk.invite(OPERATOR, replace(form_of(one), other_id=type(zero.me)(5)))
    one.desk.join(OPERATOR, "", form_of(zero), "127.0.0.1", one.settings.ssh.port)
    assert "BQN 5 was invited" in reached(one, "failed").sentence


def test_two_servers_come_together_when_both_persons_have_confirmed(
    pair: tuple[Assembly, Assembly],
) -> None:
    zero, one = pair
    waits(zero, one)
    looks(one, form_of(zero), "comparing")
    here, there = shown(one), shown(zero)
    assert here.number == there.number
    assert (here.own, here.other) == (there.other, there.own)
    assert isinstance(one.desk.confirm(OPERATOR, there.compared), Refused)
    one.desk.confirm(OPERATOR, here.compared)
    reached(one, "waiting")
    rings = keys_known(zero), keys_known(one)
    assert rings[0].isdisjoint(rings[1])
    wait_until("BQN 0 knows", lambda: bool(zero.inviting.view().confirmed_there))  # type: ignore[union-attr]
    assert isinstance(zero.desk.accept(OPERATOR, here.compared), Refused)
    accepted = zero.desk.accept(OPERATOR, there.compared)
    assert isinstance(accepted, Unification), accepted
    reached(one, "accepted")
    assert keys_known(zero) == keys_known(one) == rings[0] | rings[1]
    unified(zero, one, accepted)
    assert isinstance(zero.desk.invite(OPERATOR, form_of(one)), Refused)
    again = one.desk.join(OPERATOR, "", form_of(zero), "127.0.0.1", one.settings.ssh.port)
    assert "in a cluster already" in again.sentence
    pins = {member.id: member.certificate for member in zero.roster.active()}
    assert pins[one.me] == one.identity.certificate_b64
    actions = [entry.action for entry in one.desk.audit_log()]
    assert "confirm the server to join" in actions
    assert uuid.UUID(hex=zero.state.record().cluster_id)
