"""Two real servers: the doctor over their own RPC and SSH, the history, and what if."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from configrepo.model import ServerId
from configrepo.store import CommitId
from scheduler.assembly import Assembly
from scheduler.changes import term_ref
from scheduler.views import Committed
from tests.support.joined_servers import OPERATOR, joined_pair

pytestmark = pytest.mark.system

ZERO, ONE = ServerId(0), ServerId(1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Assembly, Assembly]]:
    with joined_pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


def wait(held: Callable[[], bool]) -> None:
    until = monotonic() + 60
    while not held():
        assert monotonic() < until
        threading.Event().wait(0.05)


@pytest.mark.parametrize("asked", [0, 1])
def test_the_doctor_finds_both_directions_ok_from_either_server(
    pair: tuple[Assembly, Assembly], asked: int
) -> None:
    doctor = pair[asked].desk.doctor
    assert doctor.start(OPERATOR) is None
    wait(lambda: doctor.view().stage == "done")
    diagnosis = doctor.view().diagnosis
    assert (diagnosis.ok, diagnosis.lines) == (2, ())


def test_an_address_without_a_cluster_is_tried_both_ways(pair: tuple[Assembly, Assembly]) -> None:
    one, other = pair
    found = one.desk.doctor.check_address(
        OPERATOR, "127.0.0.1", other.control_port, other.settings.ssh.port
    )
    assert [(reach.source, reach.what, reach.cause) for reach in found] == [
        ("BQN 0", "control port", "ok"),
        ("BQN 0", "SSH", "ok"),
        ("BQN 1", "control port", "ok"),
        ("BQN 1", "SSH", "ok"),
    ]


def test_the_founding_is_in_both_histories_and_in_the_audit(
    pair: tuple[Assembly, Assembly],
) -> None:
    for server in pair:
        wait(lambda server=server: bool(server.desk.elections.events()))  # type: ignore[misc]
        first = server.desk.elections.events()[-1]
        assert (first.kind, first.server, first.term) == ("takeover", ZERO, 1)
        wait(lambda server=server: _audited(server))  # type: ignore[misc]
    revision = pair[0].store.revision(pair[0].changes.head())
    assert revision.trailers["Cause"] == "the cluster is founded"


def _audited(server: Assembly) -> bool:
    return any(entry.action == "election: takeover" for entry in server.audit.newest(50))


def test_what_if_says_who_leads_and_that_nothing_is_lost(pair: tuple[Assembly, Assembly]) -> None:
    for server in pair:
        wait(lambda server=server: all(d.lost == 0 for d in server.desk.elections.what_if()))  # type: ignore[misc]
        leads = {death.server: death.leads for death in server.desk.elections.what_if()}
        assert leads == {ZERO: ONE, ONE: ZERO}


def test_the_next_primary_begins_its_term_with_the_cause(pair: tuple[Assembly, Assembly]) -> None:
    one, other = pair
    one.stopping.set()
    one.stop()
    wait(lambda: other.store.ref(term_ref(2, ONE)) is not None)
    begun = other.store.ref(term_ref(2, ONE))
    assert begun is not None
    trailers = other.store.revision(begun).trailers
    assert trailers["Predecessor"] == term_ref(1, ZERO)
    assert trailers["Cause"].startswith("BQN 0 was stopped at")
    newest = other.desk.elections.events()[0]
    assert (newest.kind, newest.server, newest.term) == ("takeover", ONE, 2)
    assert newest.leaderless_s is not None
    assert other.applier.running().commit is not None
    text = other.store.files(begun)["common/ntp.conf"] + " server 192.0.2.200\n"
    other.desk.edit(OPERATOR, "common/ntp.conf", text)
    outcome = other.desk.commit(OPERATOR, "Go on alone", uuid.uuid4().hex, {})
    assert isinstance(outcome, Committed)
    assert "Predecessor" not in other.store.revision(CommitId(outcome.revision)).trailers
    first = next(d for d in other.desk.elections.what_if() if d.server == ONE)
    assert first.leads is None


def test_the_doctor_names_who_is_gone(pair: tuple[Assembly, Assembly]) -> None:
    doctor = pair[1].desk.doctor
    assert doctor.start(OPERATOR) is None
    wait(lambda: doctor.view().stage == "done")
    causes = {(line.what, line.cause) for line in doctor.view().diagnosis.lines}
    assert causes == {("doctor", "refused"), ("control port", "refused"), ("SSH", "refused")}
