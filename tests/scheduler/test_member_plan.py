from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from configrepo.cluster_settings import cluster_settings
from configrepo.layout import read_files
from configrepo.members import Ineligible, Member, SeenFrom, member_file, members_of
from configrepo.model import ServerId
from scheduler.changes import lay_over
from scheduler.member_flags import alarms_of, barred, in_order
from scheduler.member_plan import (
    Plan,
    Situation,
    plan,
    successor,
    with_sealing_key,
)
from scheduler.operations_seam import (
    ChangeAddress,
    ChangeId,
    Operation,
    PauseAutomation,
    Remove,
    ResumeAutomation,
    SwitchBack,
    Switchover,
)
from scheduler.operations_wire import operation_from_json, operation_to_json
from scheduler.views import Refused

NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA" + "A" * 42
ZERO, ONE, TWO = ServerId(0), ServerId(1), ServerId(2)


def member(number: int) -> Member:
    name, address = f"bqn{number}", f"10.0.0.{number + 1}"
    return Member(ServerId(number), name, address, 22, 63500 + number, "QUJD", KEY, KEY)


def tree(*records: Member) -> dict[str, str]:
    files = {
        "common/snmp.conf": "snmp\n community sealed:1:0123456789ab:AAAA\n",
        "servers/2/hostname.conf": "hostname bqn2\n",
    }
    return files | dict(member_file(one) for one in (records or map(member, range(3))))


def situation(leader: int | None = 0, alive: tuple[int, ...] = (0, 1, 2)) -> Situation:
    known = None if leader is None else ServerId(leader)
    return Situation(known, frozenset(map(ServerId, alive)), NOW)


def planned(files: dict[str, str], operation: Operation, where: Situation | None = None) -> Plan:
    found = plan(files, operation, where or situation())
    assert isinstance(found, Plan), found
    assert read_files(lay_over(files, found.changes)) == ()
    return found


def refused(files: dict[str, str], operation: Operation, where: Situation | None = None) -> str:
    found = plan(files, operation, where or situation())
    assert isinstance(found, Refused), found
    return found.sentence


def after(files: dict[str, str], found: Plan) -> dict[int, Member]:
    return {int(one.id): one for one in members_of(lay_over(files, found.changes))}


# --- remove -------------------------------------------------------------------------


def test_a_removed_server_stays_as_a_record_and_loses_its_own_part() -> None:
    files = tree(
        member(0), replace(member(1), seen_from=(SeenFrom(TWO, "203.0.113.1"),)), member(2)
    )
    found = planned(files, Remove(TWO))
    records = after(files, found)
    assert (records[2].state, records[2].removed) == ("removed", "2026-11-22T15:00:00Z")
    assert records[1].seen_from == ()
    assert "servers/2/hostname.conf" not in lay_over(files, found.changes)
    assert found.rotates
    assert found.secrets == (("common/snmp.conf", "community"),)
    assert "answers now" in " ".join(found.effects)


def test_a_dead_server_is_removed_with_the_word_that_it_is_told_later() -> None:
    found = planned(tree(), Remove(TWO), situation(alive=(0, 1)))
    assert "When it comes back it is refused and told" in " ".join(found.effects)


def test_the_leader_the_last_one_and_a_stranger_are_not_removed() -> None:
    assert "Switch over to another server first" in refused(tree(), Remove(ZERO))
    assert "is the last member" in refused(tree(member(0)), Remove(ZERO), situation(None))
    assert "not a member" in refused(tree(), Remove(ServerId(9)))
    gone = replace(member(2), state="removed")
    assert "not a member" in refused(tree(member(0), member(1), gone), Remove(TWO))


# --- id -----------------------------------------------------------------------------


def test_a_new_id_takes_the_own_part_along_and_leaves_the_old_record() -> None:
    seen = replace(member(1), seen_from=(SeenFrom(TWO, "203.0.113.1"),))
    files = tree(member(0), seen, replace(member(2), ineligible=Ineligible("fan")))
    found = planned(files, ChangeId(TWO, ServerId(7)))
    records = after(files, found)
    assert (records[7].state, records[7].control_port) == ("active", 63507)
    assert records[7].ineligible == Ineligible("fan")
    assert (records[2].state, records[2].ineligible) == ("removed", None)
    assert records[1].seen_from == (SeenFrom(ServerId(7), "203.0.113.1"),)
    laid = lay_over(files, found.changes)
    assert laid["servers/7/hostname.conf"] == "hostname bqn2\n"
    assert "servers/2/hostname.conf" not in laid
    assert not found.rotates


def test_a_control_port_of_its_own_stays_and_a_lowest_id_is_announced() -> None:
    files = tree(member(1), replace(member(2), control_port=4000))
    found = planned(files, ChangeId(TWO, ZERO), situation(1, (1,)))
    assert after(files, found)[0].control_port == 4000
    words = " ".join(found.effects)
    assert "takes over the lead" in words
    assert "it changes when it comes back" in words


@pytest.mark.parametrize(
    ("new_id", "words"),
    [(256, "from 0 to 255"), (2, "already is"), (1, "taken by bqn1"), (3, "belonged to bqn3")],
)
def test_an_id_is_a_number_that_nobody_ever_had(new_id: int, words: str) -> None:
    files = tree(*map(member, range(3)), replace(member(3), state="removed"))
    assert words in refused(files, ChangeId(TWO, ServerId(new_id)))


def test_the_leader_keeps_its_id() -> None:
    assert "leads the cluster now" in refused(tree(), ChangeId(ZERO, ServerId(9)))


# --- address ------------------------------------------------------------------------


def test_an_address_is_changed_for_all_or_for_one_viewer() -> None:
    seen = (SeenFrom(ONE, "203.0.113.9", 2222),)
    found = planned(tree(), ChangeAddress(TWO, "198.51.100.2", 22, 63502, seen))
    record = after(tree(), found)[2]
    assert (record.address, record.seen_from) == ("198.51.100.2", seen)
    assert "BQN 1 alone dials it at 203.0.113.9, SSH port 2222" in " ".join(found.effects)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ChangeAddress(TWO, "10.0.0.3", 22, 63502), "Nothing would change"),
        (ChangeAddress(TWO, "10.0.0.9", 0, 63502), "from 1 to 65535"),
        (ChangeAddress(TWO, " ", 22, 63502), "missing"),
        (ChangeAddress(TWO, "x", 22, 63502, (SeenFrom(TWO, "y"),)), "BQN 2 is none"),
        (ChangeAddress(TWO, "x", 22, 63502, (SeenFrom(ONE, "y"),) * 2), "same server"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused(change: ChangeAddress, words: str) -> None:
    assert words in refused(tree(), change)


# --- who leads, what runs by itself ---------------------------------------------------


def test_all_before_the_chosen_one_are_excluded_and_let_in_again() -> None:
    found = planned(tree(), Switchover(TWO, "fan", "2026-11-23T06:00:00Z"))
    records = after(tree(), found)
    flag = Ineligible("fan", "2026-11-23T06:00:00Z")
    assert [records[n].ineligible for n in (0, 1, 2)] == [flag, flag, None]
    flagged = lay_over(tree(), found.changes)
    back = planned(flagged, SwitchBack(), situation(2))
    assert all(record.ineligible is None for record in after(flagged, back).values())
    assert "nothing to switch back" in refused(tree(), SwitchBack())


def test_only_a_server_that_answers_is_switched_over_to() -> None:
    assert "does not answer" in refused(tree(), Switchover(TWO, "fan"), situation(alive=(0, 1)))
    assert "leads already" in refused(tree(), Switchover(ZERO, "fan"))
    assert "Write a reason" in refused(tree(), Switchover(ONE, " "))
    assert "one line" in refused(tree(), Switchover(ONE, "a\nb"))


def test_a_pause_is_told_reminds_and_ends() -> None:
    found = planned(tree(), PauseAutomation("fibre", "2026-11-22T17:00:00Z"))
    paused = lay_over(tree(), found.changes)
    assert "Reminder at" in alarms_of(paused, NOW)[0]
    assert "Reminder: resume" in alarms_of(paused, NOW.replace(hour=18))[0]
    keyed = lay_over(paused, with_sealing_key(paused, "0123456789ab"))
    ended = lay_over(keyed, planned(keyed, ResumeAutomation()).changes)
    assert cluster_settings(ended).sealing_key == "0123456789ab"
    assert alarms_of(ended, NOW) == ()
    assert "not paused" in refused(tree(), ResumeAutomation())
    assert "reminder" in refused(tree(), PauseAutomation("fibre", "soon"))


def test_a_server_is_barred_by_its_flag_until_its_time_and_by_a_pause_if_another_leads() -> None:
    flag = Ineligible("fan", "2026-11-22T16:00:00Z")
    files = tree(replace(member(0), ineligible=flag), member(1))
    until = datetime(2026, 11, 22, 16, tzinfo=UTC)
    assert barred(files, ZERO, led_by_higher=False, now=NOW) == ("fan", until.timestamp())
    assert barred(files, ZERO, led_by_higher=False, now=until) is None
    assert barred(files, ONE, led_by_higher=True, now=NOW) is None
    pause = PauseAutomation("fibre", "2026-11-22T17:00:00Z")
    paused = lay_over(tree(), planned(tree(), pause).changes)
    assert barred(paused, ZERO, led_by_higher=False, now=NOW) is None
    assert barred(paused, ZERO, led_by_higher=True, now=NOW) == (
        "automation is paused: fibre",
        None,
    )


def test_the_primary_puts_in_order_what_is_over_and_what_all_can_read() -> None:
    first = tree()
    switched = planned(first, Switchover(TWO, "fan", "2026-11-22T16:00:00Z"))
    files = lay_over(first, switched.changes)
    reads = {ZERO: 1, ONE: 1, TWO: 1}
    assert in_order(files, reads, NOW) is None
    later = in_order(files, reads, NOW.replace(hour=16))
    assert later is not None
    assert [effect.partition(" can ")[0] for effect in later.effects] == [
        "BQN 0 (bqn0)",
        "BQN 1 (bqn1)",
    ]
    done = lay_over(files, later.changes)
    assert [m.ineligible for m in members_of(done)] == [None, None, None]
    assert in_order(done, reads, NOW.replace(hour=16)) is None
    raised = in_order(done, {ZERO: 2, ONE: 2, TWO: 3}, NOW.replace(hour=16))
    assert raised is not None
    assert raised.title == "Every server reads schema 2 of the configuration: it is used now"
    now = lay_over(done, raised.changes)
    assert cluster_settings(now).format == 2
    refused = barred(now, ZERO, led_by_higher=False, now=NOW, reads=1)
    assert refused is not None
    assert refused[0].startswith("incompatible: ")
    assert barred(now, ZERO, led_by_higher=False, now=NOW, reads=2) is None


def test_who_takes_a_place_inherits_the_keys_that_signed_before() -> None:
    old, new = member(2), replace(member(2), ssh_key=KEY[:-1] + "B")
    assert successor(None, new, NOW) == new
    assert successor(old, old, NOW) == old
    first = successor(old, new, NOW)
    assert [(f.ssh_key, f.until) for f in first.former_keys] == [(KEY, "2026-11-22T15:00:00Z")]
    third = replace(member(2), ssh_key=KEY[:-1] + "C")
    assert len(successor(first, third, NOW).former_keys) == 2


@pytest.mark.parametrize(
    "operation",
    [
        Remove(ZERO),
        ChangeId(ZERO, ServerId(255)),
        ChangeAddress(ONE, "a", 1, 2, (SeenFrom(ZERO, "b", None, 3),)),
        Switchover(ONE, "r", "2026-11-23T06:00:00Z"),
        SwitchBack(),
        PauseAutomation("r", "2026-11-23T06:00:00Z"),
        ResumeAutomation(),
    ],
)
def test_every_operation_travels(operation: Operation) -> None:
    assert operation_from_json(operation_to_json(operation)) == operation
