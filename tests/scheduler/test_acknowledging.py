from __future__ import annotations

import pytest

from configrepo.model import ServerId
from configrepo.revision import CommitId
from scheduler.acknowledging import Acknowledging, Level, told, wanted_of
from scheduler.views import CommitOutcome, Committed, Disagreed, Refused

DONE = Committed("a" * 40, ServerId(0), "Saved on BQN 0.")


class World:
    """Three members; `there` of the two others confirm."""

    def __init__(self, there: int = 2, alive: int = 2, others: int = 2) -> None:
        self.there, self.alive, self.others = there, alive, others
        self.waited: list[tuple[str, int, float]] = []

    def wait(self, commit: CommitId, servers: int, limit_s: float) -> int:
        self.waited.append((commit, servers, limit_s))
        return self.there

    def acknowledge(
        self, level: Level, outcome: CommitOutcome = DONE, also: tuple[ServerId, ...] = ()
    ) -> CommitOutcome:
        ids = [ServerId(number) for number in range(1, self.others + 1)]
        part = Acknowledging(level, 5.0, lambda: ids, lambda: ids[: self.alive], self.wait)
        return part(outcome, also)


@pytest.mark.parametrize(
    ("level", "reachable", "wanted"),
    [
        (Level.LOCAL, 5, 0),
        (Level.ONE, 5, 1),
        (Level.ONE, 0, 0),
        (Level.ALL, 5, 5),
        (Level.ALL, 0, 0),
    ],
)
def test_a_setting_says_for_how_many_servers_people_wait(
    level: Level, reachable: int, wanted: int
) -> None:
    assert wanted_of(level, reachable) == wanted


def test_a_commit_tells_on_how_many_servers_it_is() -> None:
    world = World()
    outcome = world.acknowledge(Level.ALL)
    assert isinstance(outcome, Committed)
    assert (outcome.servers, outcome.members, outcome.warning) == (3, 3, "")
    assert outcome.sentence == "Saved on BQN 0 and on all other servers."
    assert world.waited == [("a" * 40, 2, 5.0)]


@pytest.mark.parametrize("level", [Level.ONE, Level.ALL])
def test_a_commit_that_nobody_confirmed_is_marked_as_only_here(level: Level) -> None:
    outcome = World(there=0).acknowledge(level)
    assert isinstance(outcome, Committed)
    assert outcome.warning.startswith("Only on this server (BQN 0)")
    assert outcome.sentence == "Saved on BQN 0."


def test_a_joiner_is_waited_for_although_nobody_follows_it_yet() -> None:
    world = World(there=1, alive=0, others=1)
    outcome = world.acknowledge(Level.ONE, also=(ServerId(1), ServerId(9)))
    assert world.waited == [("a" * 40, 1, 5.0)]
    assert isinstance(outcome, Committed)
    assert outcome.sentence == "Saved on BQN 0 and on all other servers."


def test_nobody_is_waited_for_where_nobody_answers_but_it_shows() -> None:
    world = World(there=0, alive=0)
    outcome = world.acknowledge(Level.ONE)
    assert isinstance(outcome, Committed)
    assert world.waited == [("a" * 40, 0, 0.0)]
    assert "Only on this server" in outcome.warning


def test_all_but_one_is_not_all() -> None:
    partly = told(DONE, Level.ALL, 3, 2)
    assert partly.warning == "Not on all servers yet: 1 of 3 have not confirmed it."
    assert partly.sentence == "Saved on BQN 0 and on 2 of 3 other servers so far."
    assert told(DONE, Level.ONE, 3, 2).warning == ""
    assert told(DONE, Level.LOCAL, 3, 0).warning == ""


@pytest.mark.parametrize("outcome", [Refused("no"), Disagreed(())])
def test_what_is_no_commit_is_handed_through(outcome: CommitOutcome) -> None:
    world = World()
    assert world.acknowledge(Level.ALL, outcome) is outcome
    assert world.waited == []


def test_a_server_alone_waits_for_nobody() -> None:
    world = World(others=0)
    assert world.acknowledge(Level.ALL) is DONE
