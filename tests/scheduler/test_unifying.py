"""The vendor's example, unified: proposed, asked, acknowledged, committed with two parents."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from configrepo.layout import document_of
from configrepo.members import Member, members_of
from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate
from configrepo.unify import Answer, Edit, RowId, Take
from configrepo.writer import canonical_text
from scheduler.changes import CLUSTER, Standing, line_of
from scheduler.unifying import Unifying
from scheduler.views import CommitOutcome, Committed, Comparison, Refused, Unification
from scheduler.wire import ChangeRequest
from tests.support.small_server import ADMIN, OPERATOR, SmallServer

NTP = "common/ntp.conf"
CLOCK = RowId("common/clock.conf|")
HOURS = RowId("common/profile/time/peak-time.conf|hours")
DOWN = RowId("common/policy/rate/rate-20Mbps.conf|downlink rate")
UP = RowId("common/policy/rate/rate-20Mbps.conf|uplink rate")


class Table:
    """BQN 0 with other servers that were let in one after the other."""

    def __init__(self, folder: Path) -> None:
        self.servers = [SmallServer(folder, number) for number in range(3)]
        self.zero = self.servers[0]
        self.joiner: Member | None = None
        self.unifying = Unifying(
            self.zero.me,
            self.zero.store,
            self.zero.changes,
            self.zero.drafts,
            self.zero.vault.reseal,
            self.zero.vault.seal_document,
            admitted=lambda: self.joiner,
            own_record=self.zero.record,
            standing=lambda: Standing(CLUSTER, 1),
            expected=lambda: (None, self.replaces),
            acknowledged=self._waited,
            new_key=self._new_key,
        )
        self.replaces = False
        self.meanwhile: Callable[[], None] = lambda: None
        self.waited: list[tuple[CommitOutcome, tuple[ServerId, ...]]] = []

    def _waited(self, outcome: CommitOutcome, also: Collection[ServerId]) -> CommitOutcome:
        self.waited.append((outcome, tuple(also)))
        return outcome

    def _new_key(self, _: ServerId) -> str:
        self.meanwhile()  # all members are asked, which takes seconds
        return self.zero.vault.keyring.current_key_id

    def let_in(self, number: int) -> None:
        """What a join does: the keys are known, and the line is fetched."""
        other = self.servers[number]
        self.zero.vault.keep(self.zero.vault.keyring.merged_with(other.vault.keyring))
        line = line_of(other.me)
        git = ["git", "-C", str(self.zero.store.path), "-c", "protocol.file.allow=always"]
        subprocess.run([*git, "fetch", "-q", str(other.store.path), line], check=True)
        head = other.store.ref(line)
        assert head is not None
        self.zero.store.move((RefUpdate(line, None, head),), "test")
        self.joiner = other.record()

    def now(self) -> Unification:
        found = self.unifying.current()
        assert found is not None
        return found

    def commit(self, request_id: str) -> Committed:
        outcome = self.unifying.commit(ADMIN, "Unify", request_id)
        assert isinstance(outcome, Committed), outcome
        self.zero.standing = Standing(CLUSTER, 1)
        return outcome


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table(tmp_path)
    yield made
    for server in made.servers:
        server.close()


def test_two_persons_answer_different_rows_and_nothing_is_lost(table: Table) -> None:
    unify_one(table)
    table.let_in(2)
    table.unifying.answer({HOURS: Take("joiner")}, frozenset({CLOCK}))
    second = table.unifying.answer({DOWN: Take("cluster")}, frozenset())
    assert isinstance(second, Unification)
    assert second.answers == {HOURS: Take("joiner"), DOWN: Take("cluster")}
    assert second.acknowledged == {CLOCK}
    third = table.unifying.answer({HOURS: None, CLOCK: Take("cluster")}, frozenset())
    assert isinstance(third, Unification)
    assert third.answers == {CLOCK: Take("cluster"), DOWN: Take("cluster")}
    assert third.acknowledged == frozenset()


def unify_one(table: Table) -> Committed:
    table.let_in(1)
    acknowledged = frozenset(row.id for row in table.now().proposal.rows)
    table.unifying.answer({}, acknowledged)
    made = table.commit("one")
    table.joiner = None
    return made


def test_the_vendors_pair_has_no_question_and_makes_a_merge_of_two_parents(table: Table) -> None:
    table.let_in(1)
    seen = table.now()
    assert {row.group for row in seen.proposal.rows} <= {"addition", "kept", "same"}
    assert seen.open_rows == ()
    assert {path.split("/")[1] for path in seen.proposal.server_specific} == {"1"}
    heads = (table.zero.changes.head(), table.zero.store.ref(line_of(ServerId(1))))
    made = table.commit("one")
    assert table.zero.store.revision(CommitId(made.revision)).parents == heads
    files = table.zero.store.files(CommitId(made.revision))
    assert [member.id for member in members_of(files)] == [0, 1]
    assert files["cluster/allowed_signers"].count("ssh-ed25519") == 2
    assert "216.229.0.50" in files[NTP]
    assert "*.nperf.com" in files["common/profile/dpi/speed-tests.conf"]
    assert "hostname bqn1" in canonical_text(document_of(files, "1"))
    rest = files["common/api/rest.conf"]
    assert "example-Rest-pw1" not in rest
    token = rest.split("password ")[1].split()[0]
    assert table.zero.vault.open("common/api/rest.conf", "user billing", token) == (
        "example-Rest-pw1"
    )


def test_the_merge_is_waited_for_like_every_commit_also_on_the_joiner(table: Table) -> None:
    made = unify_one(table)
    assert table.waited == [(made, (ServerId(1),))]


def test_the_third_server_is_asked_and_acknowledged(table: Table) -> None:
    unify_one(table)
    table.let_in(2)
    seen = table.now()
    asked = {row.id for row in seen.proposal.rows if row.group == "disagreement"}
    told = {row.path for row in seen.proposal.rows if row.group == "changes-running"}
    assert asked == {HOURS, DOWN, UP}
    assert told == {"common/clock.conf", "common/dos.conf"}
    refused = table.unifying.commit(ADMIN, "Unify", "two")
    assert isinstance(refused, Refused)
    assert "5 rows are still open" in refused.sentence

    acknowledged = frozenset(r.id for r in seen.proposal.rows if r.group == "changes-running")
    answers = {HOURS: Take("joiner"), DOWN: Take("cluster")}
    half = table.unifying.answer({**answers, UP: Edit("uplink rate many")}, acknowledged)
    assert isinstance(half, Unification)
    assert list(half.problems) == [UP]
    table.unifying.answer({**answers, UP: Edit("uplink rate 4500")}, acknowledged)
    compared = table.unifying.compare()
    assert isinstance(compared, Comparison)
    assert set(compared.servers) == {0, 1, 2}
    files = table.zero.store.files(CommitId(table.commit("two").revision))
    assert "hours 18:00-24:00" in files["common/profile/time/peak-time.conf"]
    rate = files["common/policy/rate/rate-20Mbps.conf"]
    assert "downlink rate 20000" in rate
    assert "uplink rate 4500" in rate
    assert files["common/clock.conf"] == "clock timezone Atlantic/Canary\n"


def test_the_clusters_value_can_be_kept_instead_of_acknowledged(table: Table) -> None:
    unify_one(table)
    table.let_in(2)
    answers: dict[RowId, Take | Edit] = {
        row.id: Take("cluster")
        for row in table.now().proposal.rows
        if row.group in ("disagreement", "changes-running")
    }
    table.unifying.answer(answers, frozenset())
    assert table.now().open_rows == ()
    files = table.zero.store.files(CommitId(table.commit("two").revision))
    assert files["common/clock.conf"] == "clock timezone Europe/Madrid\n"


def test_answers_survive_a_reload_and_are_asked_again_when_the_row_changed(table: Table) -> None:
    unify_one(table)
    table.let_in(2)
    table.unifying.answer({HOURS: Take("joiner"), DOWN: Take("joiner")}, frozenset())
    assert set(table.now().answers) == {HOURS, DOWN}
    path = "common/profile/time/peak-time.conf"
    text = table.zero.files()[path].replace("19:00", "17:00")
    change = ChangeRequest(table.zero.changes.head(), {path: text}, "meanwhile", "m")
    assert isinstance(table.zero.changes.commit(change, OPERATOR), Committed)
    assert set(table.now().answers) == {DOWN}
    assert HOURS in table.now().open_rows


def test_what_is_saved_while_the_members_get_a_new_key_is_not_overwritten(table: Table) -> None:
    unify_one(table)
    table.let_in(2)
    acknowledged = frozenset(row.id for row in table.now().proposal.rows)
    answers: dict[RowId, Answer] = {row: Take("cluster") for row in table.now().open_rows}
    table.unifying.answer(answers, acknowledged)
    text = table.zero.files()[NTP] + " server 192.0.2.77\n"

    def save() -> None:
        change = ChangeRequest(table.zero.changes.head(), {NTP: text}, "NTP", "meanwhile")
        assert isinstance(table.zero.changes.commit(change, ADMIN), Committed)

    table.replaces, table.meanwhile = True, save
    outcome = table.unifying.commit(ADMIN, "Replace", "two")
    assert isinstance(outcome, Refused)
    assert "192.0.2.77" in table.zero.files()[NTP]


def test_the_same_request_commits_once(table: Table) -> None:
    table.let_in(1)
    one = table.commit("one")
    two = table.unifying.commit(ADMIN, "Unify", "one")
    assert isinstance(two, Committed)
    assert (two.revision, two.repeated) == (one.revision, True)


def test_a_secret_that_was_typed_is_sealed_before_it_is_kept(table: Table) -> None:
    table.let_in(1)
    rest = RowId("common/api/rest.conf|")
    typed = "api rest\nenable\nuser billing password new-Rest-pw2"
    table.unifying.answer({rest: Edit(typed)}, frozenset())
    kept = b"".join(path.read_bytes() for path in table.zero.state.drafts.iterdir())
    assert b"new-Rest-pw2" not in kept
    files = table.zero.store.files(CommitId(table.commit("one").revision))
    token = files["common/api/rest.conf"].split("password ")[1].split()[0]
    assert table.zero.vault.open("common/api/rest.conf", "user billing", token) == "new-Rest-pw2"
