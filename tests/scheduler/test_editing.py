"""Candidates, loading, history and rollback on a real store; nothing unread is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from configrepo.errors import NotFound
from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.control_view import ControlView
from scheduler.editing import Editing
from scheduler.submission import Submission
from scheduler.views import Committed, Comparison, Edited, Person, Refused
from scheduler.wire import ChangeRequest
from tests.support.small_server import ADMIN, EXAMPLES, OPERATOR, SmallServer
from tests.support.standing import alone

NTP = "common/ntp.conf"
ZERO = ServerId(0)


class Room:
    """One server with its editing room; `meanwhile` happens while a commit is asked for."""

    def __init__(self, folder: Path) -> None:
        self.server = server = SmallServer(folder, 0)
        self.meanwhile: Callable[[], object] = _nothing
        submission = Submission(
            ZERO, server.store, server.changes, self.view, server.roster.active, _nobody
        )
        self.editing = Editing(
            ZERO,
            self.server.store,
            self.server.drafts,
            self.server.changes,
            submission,
            self.server.vault.seal_document,
            members=lambda: (ZERO,),
            running=lambda: {ZERO: self.server.changes.head()},
        )

    def view(self) -> ControlView:
        self.meanwhile()
        return alone()

    def commit(self, person: Person, request_id: str) -> Committed:
        outcome = self.editing.commit(person, "Change", request_id, {})
        assert isinstance(outcome, Committed), outcome
        return outcome

    def edited(self, text: str, path: str | None = NTP) -> Edited:
        outcome = self.editing.edit(OPERATOR, path, text)
        assert isinstance(outcome, Edited), outcome
        return outcome


def _nothing() -> None:
    return


def _nobody(
    member: Member, route: str, body: Mapping[str, Any], timeout_s: float
) -> dict[str, Any]:
    raise AssertionError(f"a server alone asks nobody: {member.id} {route} {body} {timeout_s}")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.server.close()


def test_a_candidate_is_seen_compared_and_committed_by_its_person_only(room: Room) -> None:
    room.edited("ntp\n server 192.0.2.7\n")
    block = next(b for b in room.editing.configuration(OPERATOR).blocks if b.path == NTP)
    assert block.edited
    assert "192.0.2.7" in block.text
    assert room.editing.candidate(ADMIN) is None
    compared = room.editing.compare(OPERATOR)
    assert isinstance(compared, Comparison)
    assert [change.path for change in compared.changes] == [NTP]
    room.commit(OPERATOR, "r1")
    assert room.editing.candidate(OPERATOR) is None
    assert room.server.files()[NTP] == "ntp\n server 192.0.2.7\n"
    assert room.commit(OPERATOR, "r1").repeated


def test_the_list_of_blocks_is_made_anew_only_where_a_commit_changed_it(room: Room) -> None:
    before = {b.path: b for b in room.editing.configuration(OPERATOR).blocks}
    room.edited("ntp\n server 192.0.2.7\n")
    room.edited("", "common/dos.conf")
    seen = room.editing.configuration(OPERATOR)
    assert (seen.removed, "common/dos.conf" in before) == (("common/dos.conf",), True)
    assert [b.path for b in seen.blocks] == sorted(before.keys() - {"common/dos.conf"})
    room.commit(OPERATOR, "r1")
    after = {b.path: b for b in room.editing.configuration(OPERATOR).blocks}
    assert after.keys() == before.keys() - {"common/dos.conf"}
    assert after[NTP].text == "ntp\n server 192.0.2.7\n"
    assert not after[NTP].edited
    assert all(after[path] is before[path] for path in after if path != NTP)


def test_a_text_that_cannot_be_read_changes_nothing_and_names_its_places(room: Room) -> None:
    outcome = room.editing.edit(OPERATOR, NTP, "ntp\n server\n server not-an-address extra\n")
    assert isinstance(outcome, Refused)
    assert [problem.line for problem in outcome.problems] == [2, 3]
    assert room.editing.candidate(OPERATOR) is None


def test_a_block_cannot_turn_into_another_one(room: Room) -> None:
    outcome = room.editing.edit(OPERATOR, NTP, "dos\n minimum-rate 1\n")
    assert isinstance(outcome, Refused)
    assert "belongs to common/dos.conf" in outcome.sentence


def test_what_the_program_writes_itself_cannot_be_edited(room: Room) -> None:
    outcome = room.editing.edit(ADMIN, "cluster/servers/0.conf", "server 0\n")
    assert isinstance(outcome, Refused)


def test_a_new_block_is_placed_by_its_opener_and_joins_its_kind(room: Room) -> None:
    assert room.edited("profile time night\n days mon-sun\n", None).paths == (
        "common/profile/time/night.conf",
    )
    added = room.edited("wire 3 access en2s0f0 internet en2s0f1\n", None)
    assert added.paths == ("servers/0/wire.conf",)
    text = next(
        b.text for b in room.editing.configuration(OPERATOR).blocks if b.path.endswith("wire.conf")
    )
    assert [line.split()[1] for line in text.splitlines()] == ["1", "2", "3"]
    again = room.editing.edit(OPERATOR, None, "profile time night\n days mon\n")
    assert isinstance(again, Refused)
    assert "already" in again.sentence


def test_emptying_a_block_removes_it_and_undoing_an_edit_leaves_no_candidate(room: Room) -> None:
    path = "common/profile/vlan/wholesale.conf"
    before = room.server.files()[path]
    room.edited("", path)
    assert room.editing.configuration(OPERATOR).removed == (path,)
    room.edited(before, path)
    assert room.editing.candidate(OPERATOR) is None


def test_a_secret_is_sealed_before_it_is_kept(room: Room) -> None:
    room.editing.edit(ADMIN, None, "api rest\n user x password top-secret-word\n")
    kept = b"".join(path.read_bytes() for path in room.server.state.drafts.iterdir())
    assert b"top-secret-word" not in kept
    assert b"sealed:1:" in kept


def test_a_line_that_may_carry_a_secret_is_told_when_it_comes_in_and_before_the_commit(
    room: Room,
) -> None:
    text = "portal example\n apikey hunter2hunter2\n"
    for outcome in (
        room.editing.edit(OPERATOR, None, text),
        room.editing.load(OPERATOR, text.encode(), ZERO),
    ):
        assert isinstance(outcome, Edited), outcome
        told = [problem.message for problem in outcome.warnings]
        assert any("may carry a secret" in message for message in told)
        assert "hunter2" not in "".join(told)
    compared = room.editing.compare(OPERATOR)
    assert compared is not None
    [hint] = [p for p in compared.problems if "may carry a secret" in p.message]
    assert hint.path == "servers/0/undefined.conf"


def test_a_saved_file_is_loaded_as_a_candidate_and_saved_again_the_same(room: Room) -> None:
    saved = room.editing.saved_text(ZERO, None)
    outcome = room.editing.load(OPERATOR, saved.encode(), ZERO)
    assert isinstance(outcome, Edited)
    assert outcome.paths == ()
    assert room.editing.candidate(OPERATOR) is None
    other = (EXAMPLES / "bqn2-v1.conf").read_bytes()
    loaded = room.editing.load(OPERATOR, other, ZERO)
    assert isinstance(loaded, Edited)
    assert "common/clock.conf" in loaded.paths
    room.commit(OPERATOR, "r1")
    assert "hostname bqn2" in room.editing.saved_text(ZERO, None)


def test_a_file_with_errors_loads_nothing(room: Room) -> None:
    outcome = room.editing.load(OPERATOR, b"ntp\n server\nclock timezone\n", ZERO)
    assert isinstance(outcome, Refused)
    assert len(outcome.problems) == 2


def test_discarding_one_path_keeps_the_others(room: Room) -> None:
    room.edited("ntp\n server 192.0.2.7\n")
    room.edited("profile time night\n days mon-sun\n", None)
    room.editing.discard(OPERATOR, NTP)
    kept = room.editing.candidate(OPERATOR)
    assert kept is not None
    assert kept.paths == ("common/profile/time/night.conf",)
    room.editing.discard(OPERATOR, None)
    assert room.editing.candidate(OPERATOR) is None


def test_a_rollback_is_compared_first_and_becomes_a_new_commit(room: Room) -> None:
    old = room.server.changes.head()
    room.edited("ntp\n server 192.0.2.7\n")
    head = room.commit(OPERATOR, "r1").revision
    compared = room.editing.compare_rollback(old)
    assert (compared.head, [change.path for change in compared.changes]) == (head, [NTP])
    made = room.editing.rollback(OPERATOR, old, "Back", "r2", head)
    assert isinstance(made, Committed)
    assert room.server.files() == room.server.store.files(old)
    newest = room.editing.history(1, 0, None)[0]
    assert (newest.id, newest.parents, newest.running_on) == (made.revision, (head,), (0,))


def test_a_rollback_never_undoes_what_was_not_seen(room: Room) -> None:
    old = room.server.changes.head()
    room.edited("ntp\n server 192.0.2.7\n")
    seen = room.commit(OPERATOR, "r1").revision
    room.edited("ntp\n server 192.0.2.8\n")
    room.commit(OPERATOR, "r2")
    outcome = room.editing.rollback(OPERATOR, old, "Back", "r3", seen)
    assert isinstance(outcome, Refused)
    assert "committed meanwhile" in outcome.sentence


def test_the_history_of_one_object_and_unknown_revisions(room: Room) -> None:
    room.edited("ntp\n server 192.0.2.7\n")
    made = room.commit(OPERATOR, "r1").revision
    subjects = [revision.subject for revision in room.editing.history(10, 0, NTP)]
    assert subjects[0] == "Change"
    detail = room.editing.revision(made)
    assert [(c.path, c.after) for c in detail.changes] == [(NTP, "ntp\n server 192.0.2.7\n")]
    for unknown in ("0" * 40, "HEAD", "--help", "a" * 39):
        with pytest.raises(NotFound):
            room.editing.revision(unknown)


def test_edits_in_two_windows_at_once_are_both_kept(room: Room) -> None:
    together = threading.Barrier(4)

    def edit(number: int) -> Edited | Refused:
        together.wait(60)
        text = f"policy rate p{number}\n acm on\n"
        return room.editing.edit(OPERATOR, None, text)

    with ThreadPoolExecutor(4) as windows:
        for first in range(0, 40, 4):
            done = list(windows.map(edit, range(first, first + 4)))
            assert all(isinstance(one, Edited) for one in done), done
    candidate = room.editing.candidate(OPERATOR)
    assert candidate is not None
    assert len(candidate.paths) == 40


def test_what_is_edited_while_the_rest_is_being_committed_stays_a_candidate(room: Room) -> None:
    room.edited("ntp\n server 192.0.2.7\n")
    room.edited("", "common/dos.conf")
    ntp = "ntp\n server 192.0.2.8\n"
    room.meanwhile = lambda: room.edited(ntp)
    committed = room.commit(OPERATOR, "r1")
    assert room.server.files()[NTP] == "ntp\n server 192.0.2.7\n"
    left = room.editing.compare(OPERATOR)
    assert left is not None
    assert [(change.path, change.after) for change in left.changes] == [(NTP, ntp)]
    assert left.base == committed.revision
    assert not left.disagreements
    room.meanwhile = _nothing
    room.commit(OPERATOR, "r2")
    assert room.server.files()[NTP] == ntp
    assert room.editing.candidate(OPERATOR) is None


def test_what_somebody_else_committed_meanwhile_is_not_overwritten_by_what_stays(
    room: Room,
) -> None:
    """The second window was opened before that: it does not know the other's change."""
    theirs, mine = "ntp\n server 192.0.2.7\n", "ntp\n server 192.0.2.8\n"
    room.edited("", "common/dos.conf")

    def both() -> None:
        room.meanwhile = _nothing
        change = ChangeRequest(room.server.changes.head(), {NTP: theirs}, "Theirs", "other")
        assert isinstance(room.server.changes.commit(change, ADMIN), Committed)
        room.edited(mine)

    room.meanwhile = both
    room.commit(OPERATOR, "r1")
    assert room.server.files()[NTP] == theirs
    room.commit(OPERATOR, "r2")
    assert room.server.files()[NTP] == f"{theirs} server 192.0.2.8\n"
