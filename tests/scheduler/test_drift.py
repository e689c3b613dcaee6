"""Changes from outside on real stores: seen, told sealed, restored, adopted, kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.applying import Applier, ApplyCommands
from scheduler.drift import Drift, DriftSeams
from scheduler.drift_seam import DriftView, Restoring, drift_from_json, drift_to_json
from scheduler.editing import Editing
from scheduler.errors import RemoteRefused, Unreachable
from scheduler.running_text import RunningText
from scheduler.submission import Submission
from scheduler.views import Committed, Edited, Refused
from tests.support.small_server import ADMIN, OPERATOR, VIEWER, SmallServer
from tests.support.standing import alone

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NTP = "common/ntp.conf"
TIME = ("203.0.113.10", "192.0.2.77")
ROUTE = ("10.200.0.0/16", "10.9.0.0/16")


class Box:
    """BQN 0 with everything that drift needs; `elsewhere` is BQN 1, which asks it over JSON."""

    def __init__(self, folder: Path) -> None:
        self.server = server = SmallServer(folder, 0)
        self.asked = 0
        self.noted: list[str] = []
        self.silent = False
        self.start()
        submission = Submission(
            server.me, server.store, server.changes, alone, server.roster.active, self.call
        )
        self.editing = Editing(
            server.me,
            server.store,
            server.drafts,
            server.changes,
            submission,
            server.vault.seal_document,
            members=lambda: (server.me,),
            running=dict,
        )
        self.elsewhere = Drift(ServerId(1), self.applier, replace(self.seams(), drifted=self.who))

    def start(self) -> None:
        """Start, or start again with what is on the disk."""
        server = self.server
        self.applier = Applier(
            server.state.path,
            server.me,
            server.store,
            RunningText(server.store, server.vault, server.me),
            ApplyCommands(),
            now=lambda: NOON,
        )
        self.drift = Drift(server.me, self.applier, self.seams())

    def seams(self) -> DriftSeams:
        server = self.server
        return DriftSeams(
            files=lambda commit: server.vault.reseal(server.store.files(commit)),
            newest=server.files,
            propose=lambda *asked: self.editing.propose(*asked),
            ask=self.ask,
            drifted=self.who,
            member=lambda server_id: server.record() if server_id == server.me else None,
            call=self.call,
            note=lambda _person, action, _result: self.noted.append(action),
        )

    def ask(self) -> None:
        self.asked += 1
        self.applier.apply(self.server.changes.head(), asked=True)

    def who(self) -> tuple[ServerId, ...]:
        return (self.server.me,)

    def call(
        self, member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        assert (member.id, route) == (self.server.me, "/drift")
        if self.silent:
            raise Unreachable(f"it did not answer within {timeout_s:g} s")
        answer = self.drift.answer(ServerId(1), json.loads(json.dumps(body)))
        found: dict[str, Any] = json.loads(json.dumps(answer))
        return found

    @property
    def conf(self) -> Path:
        return self.server.state.path / "running.conf"

    def change(self, old: str, new: str) -> None:
        text = self.conf.read_text()
        assert old in text
        self.conf.write_text(text.replace(old, new))
        self.applier.check()

    def view(self) -> DriftView:
        view = self.drift.look()
        assert view is not None
        return view


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    made.applier.apply(made.server.changes.head())
    yield made
    made.server.close()


def test_nothing_is_told_while_what_was_applied_runs(box: Box) -> None:
    assert box.drift.look() is None
    assert box.drift.drifts() == ()
    assert isinstance(box.drift.restore(OPERATOR, ServerId(0)), Refused)
    assert isinstance(box.drift.adopt(OPERATOR, ServerId(0)), Refused)


def test_a_change_is_seen_at_the_next_look_and_also_after_a_restart(box: Box) -> None:
    box.conf.write_text(box.conf.read_text().replace(*TIME))
    box.start()
    assert box.applier.check().result == "drifted"
    view = box.view()
    assert view.seen_at == NOON
    assert view.changed_at is not None
    assert "owns running.conf" in view.changed_by
    assert [change.path for change in view.changes] == [NTP]
    box.start()
    assert box.view().seen_at == NOON


def test_the_difference_is_told_per_block_and_sealed(box: Box) -> None:
    box.change("contact noc@isp.example", "community 0pen-sesame")
    view = box.view()
    assert [change.title for change in view.changes] == ["snmp"]
    assert "sealed:1:" in (view.changes[0].after or "")
    assert "0pen-sesame" not in json.dumps(drift_to_json(view))


def test_restoring_from_another_server_takes_the_role_from_the_own_users(box: Box) -> None:
    box.change(*ROUTE)
    for liar in (replace(ADMIN, name="audit", local=False), replace(ADMIN, name="x", local=False)):
        assert isinstance(box.elsewhere.restore(liar, ServerId(0)), Refused)
    assert box.asked == 0
    local = replace(VIEWER, local=True)
    assert isinstance(box.elsewhere.restore(local, ServerId(0)), Restoring)
    assert box.asked == 1
    assert box.drift.look() is None
    assert box.applier.running().result == "applied"
    assert (box.server.state.path / "outside.conf").exists()
    assert box.noted.count("restore the configuration of BQN 0") == 4


def test_what_was_overwritten_is_shown_sealed_on_every_server(box: Box) -> None:
    assert box.drift.overwritten(ServerId(0)) is None
    assert box.elsewhere.overwritten(ServerId(0)) is None
    box.change(*TIME)
    box.drift.restore(OPERATOR, ServerId(0))
    here = box.drift.overwritten(ServerId(0))
    assert here is not None
    assert (here.at is not None, here.unread) == (True, "")
    [change] = here.changes
    assert change.path == NTP
    assert TIME[1] in (change.after or "")
    assert TIME[0] in (change.before or "")
    assert box.elsewhere.overwritten(ServerId(0)) == here


def test_what_was_overwritten_and_is_no_configuration_is_not_shown(box: Box) -> None:
    box.conf.write_text('interface "\n')
    box.applier.check()
    box.drift.restore(OPERATOR, ServerId(0))
    kept = box.elsewhere.overwritten(ServerId(0))
    assert kept is not None
    assert "outside.conf cannot be read" in kept.unread
    box.silent = True
    silent = box.elsewhere.overwritten(ServerId(0))
    assert silent is not None
    assert "BQN 0 does not say it: it did not answer within 5 s" in silent.unread


def test_a_viewer_restores_nothing(box: Box) -> None:
    box.change(*ROUTE)
    assert isinstance(box.drift.restore(VIEWER, ServerId(0)), Refused)
    assert box.asked == 0


def both(box: Box) -> None:
    box.change(*TIME)
    box.change(*ROUTE)


def test_adopting_makes_a_candidate_whose_commit_runs_without_an_apply(box: Box) -> None:
    both(box)
    outcome = box.elsewhere.adopt(OPERATOR, ServerId(0))
    assert isinstance(outcome, Edited)
    assert set(outcome.paths) == {NTP, "servers/0/route.conf"}
    done = box.editing.commit(OPERATOR, "Adopt", "r1", {})
    assert isinstance(done, Committed)
    before = box.conf.stat().st_mtime_ns
    running = box.applier.apply(box.server.changes.head())
    assert (running.result, running.commit) == ("applied", done.revision)
    assert box.conf.stat().st_mtime_ns == before


def test_only_what_is_the_servers_own_is_kept_and_the_rest_is_put_back(box: Box) -> None:
    both(box)
    outcome = box.drift.keep(OPERATOR, ServerId(0))
    assert isinstance(outcome, Edited)
    assert outcome.paths == ("servers/0/route.conf",)
    box.editing.commit(OPERATOR, "Keep", "r1", {})
    assert box.applier.apply(box.server.changes.head()).result == "applied"
    text = box.conf.read_text()
    assert "10.9.0.0/16" in text
    assert "192.0.2.77" not in text
    assert "192.0.2.77" in (box.server.state.path / "outside.conf").read_text()


def test_a_common_change_cannot_be_kept_as_the_servers_own(box: Box) -> None:
    box.change(*TIME)
    outcome = box.drift.keep(OPERATOR, ServerId(0))
    assert isinstance(outcome, Refused)
    assert "common to all servers" in outcome.sentence


def test_an_own_candidate_is_never_overwritten(box: Box) -> None:
    both(box)
    box.editing.edit(ADMIN, NTP, "ntp\n server 192.0.2.5\n")
    assert isinstance(box.drift.adopt(ADMIN, ServerId(0)), Refused)
    candidate = box.editing.candidate(ADMIN)
    assert candidate is not None
    assert candidate.paths == (NTP,)


def test_what_is_no_configuration_is_told_with_its_line_and_cannot_be_adopted(box: Box) -> None:
    box.conf.write_text("ntp\n server\n")
    box.applier.check()
    assert "line 2" in box.view().unread
    assert isinstance(box.drift.adopt(OPERATOR, ServerId(0)), Refused)
    box.conf.unlink()
    box.applier.check()
    assert "running.conf" in box.view().unread


def test_a_server_that_does_not_answer_is_named_with_the_cause(box: Box) -> None:
    both(box)
    box.silent = True
    (view,) = box.elsewhere.drifts()
    assert "does not say what it runs: it did not answer" in view.unread
    assert isinstance(box.elsewhere.restore(OPERATOR, ServerId(0)), Refused)
    assert isinstance(box.elsewhere.adopt(OPERATOR, ServerId(0)), Refused)
    assert isinstance(box.elsewhere.adopt(OPERATOR, ServerId(9)), Refused)


def test_a_view_travels_unchanged_and_a_lying_one_is_refused(box: Box) -> None:
    both(box)
    view = box.view()
    stored = json.loads(json.dumps(drift_to_json(view)))
    assert drift_from_json(stored) == view
    change = stored["changes"][0]
    for wrong in (
        {**stored, "server": "x"},
        {**stored, "changes": [{**change, "path": "cluster/servers/0.conf"}]},
        {**stored, "changes": [{**change, "path": "servers/7/route.conf"}]},
        {**stored, "changes": [{**change, "path": "common/../x"}]},
        {**stored, "changes": [{**change, "after": 5}]},
        {**stored, "seen_at": "yesterday"},
    ):
        with pytest.raises(RemoteRefused):
            drift_from_json(wrong)
