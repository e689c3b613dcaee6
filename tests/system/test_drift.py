"""Two real servers: a change from outside is seen on the other one, also after a restart."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from configrepo.model import ServerId
from scheduler.drift_seam import DriftView, Restoring
from scheduler.views import Committed, Edited
from tests.support.wired_servers import ADMIN, WiredServer, until, wired_pair

ONE = ServerId(1)
NTP = "common/ntp.conf"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WiredServer, WiredServer]]:
    with wired_pair(tmp_path_factory.mktemp("d")) as pair:
        until("both are in sync", lambda: pair[0].server.desk.overview().status == "complete")
        yield pair


def sync_of_one(zero: WiredServer) -> str:
    """What BQN 0 says of BQN 1."""
    seen = zero.server.desk.overview().server(ONE)
    assert seen is not None
    return seen.sync


def changed(one: WiredServer, old: str, new: str) -> None:
    """Somebody edits what runs on BQN 1."""
    conf = one.state / "running.conf"
    text = conf.read_text()
    assert old in text
    conf.write_text(text.replace(old, new))


def shown(zero: WiredServer) -> DriftView:
    """What BQN 0 shows of it."""
    [view] = zero.server.desk.drift.drifts()
    assert view.server == ONE
    assert view.seen_at is not None
    assert view.changed_by.endswith("which owns running.conf")
    return view


def test_a_change_is_shown_on_the_other_server_and_put_back_from_there(
    pair: tuple[WiredServer, WiredServer],
) -> None:
    zero, one = pair
    changed(one, "216.229.0.50", "192.0.2.66")
    until("the change is seen", lambda: sync_of_one(zero) == "drifted")
    assert zero.server.desk.overview().status == "1 of 2"
    [change] = shown(zero).changes
    assert (change.path, "192.0.2.66" in (change.after or "")) == (NTP, True)
    assert isinstance(zero.server.desk.drift.restore(ADMIN, ONE), Restoring)
    until("it is put back", lambda: sync_of_one(zero) == "in sync")
    kept = zero.server.desk.drift.overwritten(ONE)
    assert kept is not None
    assert [change.path for change in kept.changes] == [NTP]


def test_a_change_made_while_a_server_was_off_is_seen_after_its_start_and_adopted(
    pair: tuple[WiredServer, WiredServer],
) -> None:
    zero, one = pair
    one.stop()
    until("it is away", lambda: sync_of_one(zero) not in ("in sync", "unknown"))
    changed(one, "216.229.0.50", "192.0.2.77")
    one.start()
    said: list[str] = []

    def seen() -> bool:
        said.append(sync_of_one(zero))
        return said[-1] == "drifted"

    until("the change is seen", seen)
    assert "in sync" not in said
    assert isinstance(zero.server.desk.drift.adopt(ADMIN, ONE), Edited)
    outcome = zero.server.desk.commit(ADMIN, "Adopt", uuid.uuid4().hex, {})
    assert isinstance(outcome, Committed), outcome
    until("both run it", lambda: zero.server.desk.overview().status == "complete")
    for server in pair:
        assert "192.0.2.77" in (server.state / "running.conf").read_text()
