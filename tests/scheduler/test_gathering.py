"""Facts for the overview: what is compared, and what was only said once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.control_view import ControlRole, ControlView, PeerView
from scheduler.expected import ExpectedHashes
from scheduler.gathering import Gathering
from scheduler.observing import Observer
from scheduler.overview import STALE_S, Report, overview_of, report_to_json
from scheduler.submission import Submission
from scheduler.views import Committed
from scheduler.wire import ChangeRequest
from tests.support.manual_clock import ManualClock
from tests.support.small_server import OPERATOR, SmallServer
from tests.support.standing import alone

ZERO, ONE = ServerId(0), ServerId(1)
ELSEWHERE = "e" * 40
SAID = Report(ONE, "bqn1", "R5", "", None, None, "h", "applied", "applied", None, False)


class World:
    """BQN 0 gathers; what BQN 1 says and carries is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.server = SmallServer(folder, 0)
        self.clock = ManualClock()
        self.said = SAID
        self.head: str | None = None
        self.following: ServerId | None = ONE
        one = replace(self.server.record(), id=ONE, name="bqn1")
        self.observer = Observer(ZERO, lambda: (one,), self._call, self.clock)
        changes = self.server.changes
        self.own = replace(SAID, id=ZERO, head=changes.head(), running=changes.head())
        self.gathering = Gathering(
            ZERO,
            self.server.store,
            ExpectedHashes(
                self.server.store, lambda: self.server.vault.keyring, self.server.vault.reseal
            ),
            self.server.roster,
            changes,
            Submission(ZERO, self.server.store, changes, alone, lambda: (), self._call),
            self.observer,
            control=self._control,
            own_report=lambda: self.own,
            own_record=self.server.record,
            push_errors=dict,
            alarms=tuple,
        )

    def _call(
        self, member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        return report_to_json(self.said)

    def _control(self) -> ControlView:
        peer = PeerView(ONE, "alive", "it answers", role="primary", head=self.head)
        return replace(alone(), role=ControlRole.SECONDARY, following=self.following, peers=(peer,))

    def commit(self) -> None:
        changes = {"common/ntp.conf": "ntp\n server 192.0.2.7\n"}
        request = ChangeRequest(self.server.changes.head(), changes, "Change", "r1")
        assert isinstance(self.server.changes.commit(request, OPERATOR), Committed)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.observer.close()
    made.server.close()


def test_a_server_that_lacks_the_newest_commit_is_not_in_sync_with_the_one_it_has(
    world: World,
) -> None:
    expected = world.gathering.facts().expected[ZERO]
    world.own = replace(world.own, hash=expected)
    world.head = world.server.changes.head()
    assert overview_of(world.gathering.facts()).servers[0].sync == "in sync"
    world.head = ELSEWHERE
    seen = overview_of(world.gathering.facts()).servers[0]
    assert seen.sync == "behind"
    assert "BQN 1, the primary, has a newer commit that has not arrived here" in seen.sync_sentence
    world.following = None
    assert world.gathering.facts().newer == ""


def test_an_older_head_of_the_primary_is_no_newer_commit(world: World) -> None:
    world.head = world.server.changes.head()
    world.commit()
    assert world.gathering.facts().newer == ""


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ({}, True),
        ({"result": "waiting"}, True),
        ({"result": "failed"}, False),
        ({"result": "drifted"}, False),
        ({"result": "applying"}, False),
        ({"hash": None}, False),
    ],
)
def test_a_commit_runs_where_a_fresh_report_proves_it(
    world: World, changes: dict[str, str | None], runs: bool
) -> None:
    world.said = replace(SAID, running=ELSEWHERE, **changes)  # type: ignore[arg-type]
    world.observer.observe()
    running = world.gathering.running_on()
    assert (running.get(ONE) == ELSEWHERE) is runs
    assert running[ZERO] == world.server.changes.head()
    world.clock.advance(STALE_S)
    assert ONE not in world.gathering.running_on()
    assert world.gathering.last_ran()[ONE] == ELSEWHERE
