"""What a merge left open is settled by a person with a normal commit."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from configrepo.conflicts import FOLDER
from configrepo.store import CommitId, RefUpdate
from scheduler.changes import term_ref
from scheduler.disagreements_seam import Choice, OpenDisagreement
from scheduler.views import Committed, Person, Refused
from tests.support.cut_world import CutServer, bring, cluster_of
from tests.support.small_server import ADMIN, OPERATOR, VIEWER

CLOCK = "common/clock.conf"
REST = "common/api/rest.conf"
USER = "common/user/eve.conf"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[CutServer, CutServer]]:
    """BQN 0 and 1 that were cut apart and joined again; three values wait."""
    zero, one = cluster_of(tmp_path, 0, 1)
    base: dict[str, str | None] = {REST: "api rest\n user billing password first\n"}
    zero.lead(2)
    zero.commit(base)
    zero.push_to(one)
    one.lead(3)
    zero.commit({CLOCK: "clock timezone Etc/Zero\n", REST: _rest("zero")})
    one.commit({CLOCK: "clock timezone Etc/One\n", REST: _rest("one"), USER: "user eve\n"})
    one.follow()
    zero.lead(4)
    zero.fetch(one)
    zero.healing.run()
    assert zero.push_to(one)
    yield zero, one
    for server in (zero, one):
        server.close()


def _rest(password: str) -> str:
    return f"api rest\n user billing password {password}\n"


def entry(server: CutServer, path: str) -> OpenDisagreement:
    return next(one for one in server.settling.listed().open if one.entry.path == path)


def settle(server: CutServer, path: str, choice: Choice, person: Person = OPERATOR) -> Committed:
    outcome = server.settling.settle(person, entry(server, path).id, choice, uuid.uuid4().hex)
    assert isinstance(outcome, Committed), outcome
    return outcome


def test_both_servers_list_what_waits_and_raise_an_alarm(two: tuple[CutServer, CutServer]) -> None:
    for server in two:
        listed = server.settling.listed()
        assert [one.entry.path for one in listed.open] == [REST, CLOCK, USER]
        assert [one.administrator for one in listed.open] == [False, False, True]
        assert listed.held == ()
        assert server.settling.alarms() == (
            "3 values of a merge wait to be settled: Administration → Disagreements.",
        )
    assert two[0].settling.listed().leads
    assert not two[1].settling.listed().leads


def test_what_waits_holds_no_clear_secret_and_opens_again(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, _ = two
    for path, text in zero.files().items():
        assert "password one" not in text, path
        assert "password zero" not in text, path
    found = entry(zero, REST).entry
    assert found.other is not None
    assert "sealed:1:" in found.other
    settle(zero, REST, Choice("other"))
    token = zero.files()[REST].split()[-1]
    assert token in found.other
    assert zero.vault.open(REST, found.key or "", token) == "one"


@pytest.mark.parametrize(
    ("choice", "result"),
    [
        (Choice("keep"), "clock timezone Etc/Zero\n"),
        (Choice("other"), "clock timezone Etc/One\n"),
        (Choice("edit", "clock timezone Etc/Two\n"), "clock timezone Etc/Two\n"),
    ],
)
def test_settling_is_a_commit_that_removes_the_entry(
    two: tuple[CutServer, CutServer], choice: Choice, result: str
) -> None:
    zero, _ = two
    done = settle(zero, CLOCK, choice)
    assert zero.files()[CLOCK] == result
    assert [one.entry.path for one in zero.settling.listed().open] == [REST, USER]
    revision = zero.store.revision(CommitId(done.revision))
    assert revision.author_name == OPERATOR.name
    assert CLOCK in revision.subject


def test_the_file_goes_with_its_last_entry_and_the_alarm_too(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, _ = two
    settle(zero, CLOCK, Choice("keep"))
    settle(zero, REST, Choice("keep"))
    assert zero.settling.alarms() == (
        "A value of a merge waits to be settled: Administration → Disagreements.",
    )
    settle(zero, USER, Choice("other"), ADMIN)
    assert zero.files()[USER] == "user eve\n"
    assert not [path for path in zero.files() if path.startswith(FOLDER)]
    assert zero.settling.alarms() == ()


@pytest.mark.parametrize("choice", [Choice("keep"), Choice("other")])
def test_what_needs_an_administrator_is_not_settled_by_an_operator(
    two: tuple[CutServer, CutServer], choice: Choice
) -> None:
    zero, _ = two
    head = zero.head
    outcome = zero.settling.settle(OPERATOR, entry(zero, USER).id, choice, "r1")
    assert isinstance(outcome, Refused)
    assert "administrator" in outcome.sentence
    assert isinstance(zero.settling.settle(VIEWER, entry(zero, CLOCK).id, choice, "r2"), Refused)
    assert zero.head == head


def test_the_same_form_twice_is_saved_once(two: tuple[CutServer, CutServer]) -> None:
    zero, _ = two
    name = entry(zero, CLOCK).id
    first = zero.settling.settle(OPERATOR, name, Choice("other"), "once")
    again = zero.settling.settle(OPERATOR, name, Choice("other"), "once")
    assert isinstance(first, Committed)
    assert isinstance(again, Committed)
    assert again.repeated
    assert again.revision == first.revision
    assert isinstance(zero.settling.settle(OPERATOR, name, Choice("keep"), "later"), Refused)


def test_a_value_that_cannot_be_read_or_fails_a_check_is_refused(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, _ = two
    head = zero.head
    name = entry(zero, CLOCK).id
    for text in ("nonsense here", "policy rate x"):
        outcome = zero.settling.settle(OPERATOR, name, Choice("edit", text), "r")
        assert isinstance(outcome, Refused)
        assert outcome.problems
    assert zero.head == head


def test_what_somebody_changed_since_is_shown(two: tuple[CutServer, CutServer]) -> None:
    zero, _ = two
    zero.commit({CLOCK: "clock timezone Etc/Since\n"})
    shown = entry(zero, CLOCK)
    assert shown.now == "clock timezone Etc/Since"
    assert shown.entry.applied == "clock timezone Etc/Zero"
    settle(zero, CLOCK, Choice("keep"))
    assert zero.files()[CLOCK] == "clock timezone Etc/Since\n"


def hold_one(zero: CutServer, one: CutServer) -> CommitId:
    """A line of BQN 1 that began before what it had confirmed."""
    parent = zero.store.revision(one.head).parents[0]
    files = {**one.store.files(parent), "common/ntp.conf": "ntp\n server 192.0.2.9\n"}
    signer = one.store.signer
    assert signer is not None
    trailers = {"Server": "1", "Term": "7-1"}
    head = one.store.write_commit([parent], files, signer.committer, "Aside", trailers)
    one.store.move([RefUpdate(term_ref(7, one.me), None, head)], "test")
    bring(one, zero)
    zero.healing.seen(head)
    zero.healing.run()
    return head


def test_a_held_line_is_listed_with_what_it_would_change(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    head = hold_one(zero, one)
    (held,) = zero.settling.listed().held
    assert (held.server, held.epoch, held.head, held.kept) == (1, 7, head, False)
    assert held.subjects == ("Aside",)
    assert "common/ntp.conf" in [change.path for change in held.changes]
    assert any("term 7 is held" in alarm for alarm in zero.settling.alarms())


def test_an_administrator_accepts_a_held_line_or_keeps_it(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    head = hold_one(zero, one)
    assert isinstance(zero.settling.accept(OPERATOR, head), Refused)
    assert isinstance(one.settling.accept(ADMIN, head), Refused)
    assert isinstance(zero.settling.accept(ADMIN, "0" * 40), Refused)
    assert isinstance(zero.settling.keep_held(OPERATOR, head), Refused)
    assert zero.settling.keep_held(ADMIN, head) is None
    assert zero.settling.listed().held[0].kept
    assert not any("is held" in alarm for alarm in zero.settling.alarms())
    outcome = zero.settling.accept(ADMIN, head)
    assert isinstance(outcome, Committed)
    assert zero.has(head)
    assert zero.settling.listed().held == ()
    assert zero.store.revision(zero.head).author_name == ADMIN.name
