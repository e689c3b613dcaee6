"""A term begins with a signed commit that says why: once, and never in front of a merge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate
from scheduler.changes import CLUSTER, Standing, line_of, term_ref
from scheduler.control_view import ControlView, PeerView
from scheduler.term_start import begin_term
from scheduler.views import Committed
from scheduler.wire import ChangeRequest
from tests.support.small_server import OPERATOR, SmallServer
from tests.support.standing import following, leading

NTP = "common/ntp.conf"
CAUSE = "BQN 0 does not answer since 03:00:10 (no answer at all)."


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SmallServer]:
    """BQN 1 with a cluster whose newest commit is of nobody's term."""
    small = SmallServer(tmp_path, 1)
    head = small.changes.head()
    small.store.move((RefUpdate(CLUSTER, None, head),), "founded")
    lead(small, 2)
    yield small
    small.close()


def lead(small: SmallServer, term: int) -> None:
    small.standing = Standing(CLUSTER, term, cause=CAUSE)


def commit(small: SmallServer, request_id: str) -> CommitId:
    text = small.files()[NTP] + f" server 192.0.2.{len(request_id)}\n"
    request = ChangeRequest(small.changes.head(), {NTP: text}, "Change it", request_id)
    outcome = small.changes.commit(request, OPERATOR)
    assert isinstance(outcome, Committed), outcome
    return CommitId(outcome.revision)


def begun(small: SmallServer, view: ControlView | None = None) -> str:
    return begin_term(view or leading(1, 2), small.store, small.changes)


def test_a_term_begins_with_a_commit_that_changes_nothing_and_says_why(
    server: SmallServer,
) -> None:
    before = server.changes.head()
    assert "term 2 begins with" in begun(server)
    head = server.changes.head()
    revision = server.store.revision(head)
    assert revision.parents == (before,)
    assert server.store.files(head) == server.store.files(before)
    assert server.store.ref(term_ref(2, ServerId(1))) == head
    assert revision.subject == (
        "Begin term 2: BQN 1 leads because BQN 0 does not answer since 03:00:10 (no answer at all)"
    )
    assert revision.trailers == {
        "Server": "1",
        "Term": "2-1",
        "Predecessor": "none",
        "Cause": "BQN 0 does not answer since 03:00:10 (no answer at all)",
    }
    assert server.store.signed_by(head) is not None
    assert server.commits == [head]


def test_it_begins_once_and_the_next_term_names_it(server: SmallServer) -> None:
    begun(server)
    first = server.changes.head()
    assert begun(server) == "the term has begun"
    assert server.changes.head() == first
    lead(server, 5)
    begun(server, leading(1, 5))
    revision = server.store.revision(server.changes.head())
    assert revision.trailers["Predecessor"] == term_ref(2, ServerId(1))


def test_a_change_that_comes_first_begins_the_term_itself(server: SmallServer) -> None:
    first = commit(server, "r1")
    assert server.store.revision(first).trailers["Predecessor"] == "none"
    assert begun(server) == "the term has begun"
    second = commit(server, "r22")
    assert "Predecessor" not in server.store.revision(second).trailers


@pytest.mark.parametrize("state", ["alive", "suspect"])
def test_what_another_server_has_comes_first(server: SmallServer, state: str) -> None:
    before = server.changes.head()
    foreign = PeerView(ServerId(0), state, "it answers", head="f" * 40)
    said = begun(server, replace(leading(1, 2), peers=(foreign,)))
    assert said == "BQN 0 has commits that come first"
    assert server.changes.head() == before
    known = replace(foreign, head=before)
    assert "begins with" in begun(server, replace(leading(1, 2), peers=(known,)))


def test_who_does_not_answer_is_not_waited_for(server: SmallServer) -> None:
    gone = PeerView(ServerId(0), "dead", "it is gone", head="f" * 40)
    assert "begins with" in begun(server, replace(leading(1, 2), peers=(gone,)))


def test_only_a_primary_that_may_commit_begins_a_term(server: SmallServer) -> None:
    before = server.changes.head()
    assert begun(server, following(1, 0, 2)) == "this server does not lead"
    assert begun(server, replace(leading(1, 2), running=False)) == "this server does not lead"
    server.changes.hold("BQN 0 is taking over")
    assert begun(server) == "the term has begun"
    server.changes.release()
    server.standing = Standing(CLUSTER, None, "it follows")
    begun(server)
    assert server.changes.head() == before


def test_a_server_alone_has_no_term(tmp_path: Path) -> None:
    alone = SmallServer(tmp_path, 0)
    alone.standing = Standing(line_of(alone.me), None)
    assert begun(alone, leading(0, 1)) == "there is no cluster yet"
    alone.close()


def test_a_cause_of_any_kind_fits_into_a_trailer(server: SmallServer) -> None:
    server.standing = Standing(CLUSTER, 2, cause="two\nlines " + "x" * 1000)
    begun(server)
    cause = server.store.revision(server.changes.head()).trailers["Cause"]
    assert cause.startswith("two lines xxx")
    assert len(cause) == 300
