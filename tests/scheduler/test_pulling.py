"""Fetching under the rules of a push, between real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from configrepo.errors import TooMuchAtOnce
from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate, Store
from configrepo.store.transfer import LARGEST_PACK
from scheduler.authorized_keys import Verb
from scheduler.errors import RemoteRefused
from scheduler.pulling import Puller
from scheduler.push_plan import EXCHANGED, own_runs
from scheduler.ssh import SshTarget
from tests.support.replicas import CLUSTER, ROOT, Replica

TERM = "refs/terms/000000000001-000"
RUNNING, NOTES = own_runs(ServerId(1))


class Pair:
    """Server 0 leads; server 1 follows it. Either may fetch from the other."""

    def __init__(self, folder: Path) -> None:
        self.zero, self.one = Replica(folder, 0), Replica(folder, 1)
        self.zero.listen(self.one)
        self.one.listen(self.zero)
        self.zero.follow(None, 1, self.one)
        self.one.follow(self.zero)
        self.pulled: list[tuple[int, tuple[str, ...]]] = []

    def puller(
        self, me: Replica, other: Replica, most_bytes: int = LARGEST_PACK
    ) -> Callable[[Sequence[str]], tuple[str, ...]]:
        def fetch(
            target: SshTarget,
            wanted: Sequence[str],
            judge: Callable[[Store, Mapping[str, CommitId]], str | None],
        ) -> dict[str, CommitId]:
            stream = me.pool.open_command(target, Verb.UPLOAD)
            try:
                return me.store.fetch(stream, wanted, judge, most_bytes)
            finally:
                stream.close()

        puller = Puller(
            me.store,
            fetch,
            me.receiver.judge,
            me.receiver.refusal_of_fetched,
            lambda: {other.id},
            lambda peer, refs: self.pulled.append((peer, refs)),
        )
        return lambda wanted: puller.pull(other.target(), wanted)

    def lead(self, text: str) -> CommitId:
        """The primary commits in its term."""
        commit = self.zero.commit(text)
        term = f"refs/terms/{self.zero.term:012d}-000"
        self.zero.store.move([RefUpdate(term, self.zero.store.ref(term), commit)], "test")
        return commit

    def lead_for_long(self) -> list[str]:
        """The primary commits in four terms; returns the names of their lines."""
        for term in range(1, 5):
            self.zero.term = term
            for number in range(6):
                self.lead(f"192.168.{term}.{number + 1}")
        return [f"refs/terms/{term:012d}-000" for term in range(1, 5)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.zero.close()
    pair.one.close()


def test_a_server_that_cannot_be_pushed_to_fetches_what_it_lacks(pair: Pair) -> None:
    commit = pair.lead("192.168.56.20")
    pull = pair.puller(pair.one, pair.zero)
    assert pull(EXCHANGED) == (CLUSTER, TERM)
    assert pair.one.store.ref(CLUSTER) == commit
    assert pair.one.receiver.accepted == (1, 0)
    assert pair.pulled == [(0, (CLUSTER, TERM))]
    assert pull(EXCHANGED) == ()
    assert pair.one.store.fsck() is None


def test_after_a_long_absence_the_lines_are_fetched_one_by_one(pair: Pair) -> None:
    terms = pair.lead_for_long()
    # The six commits of a term are 2,400 to 3,500 bytes, all 24 together 9,400.
    assert pair.puller(pair.one, pair.zero, 6_000)(EXCHANGED) == (*terms, CLUSTER)
    assert [refs for _, refs in pair.pulled] == [(line,) for line in (*terms, CLUSTER)]
    assert pair.one.store.refs() == pair.zero.store.refs()
    assert pair.one.store.fsck() is None


def test_a_line_that_is_too_much_by_itself_is_told_and_nothing_of_it_is_kept(pair: Pair) -> None:
    pair.lead_for_long()
    with pytest.raises(TooMuchAtOnce, match="more than 1000 bytes at a time"):
        pair.puller(pair.one, pair.zero, 1_000)(EXCHANGED)
    assert pair.one.store.refs() == {}


def test_only_the_followed_primary_may_give_the_cluster_and_not_in_an_old_term(pair: Pair) -> None:
    pull = pair.puller(pair.one, pair.zero)
    pair.one.situation = replace(pair.one.situation, epoch=5)
    pair.lead("192.168.56.20")
    pull(EXCHANGED)
    pair.one.situation = replace(pair.one.situation, epoch=4)
    second = pair.lead("192.168.56.21")
    with pytest.raises(Exception, match="older than term 5"):
        pull(EXCHANGED)
    pair.one.situation = replace(pair.one.situation, following=None)
    with pytest.raises(Exception, match="follows no primary"):
        pull([CLUSTER])
    assert pair.one.store.ref(CLUSTER) != second


def test_a_forged_commit_is_not_fetched(pair: Pair) -> None:
    forged = pair.zero.store.write_commit(
        [ROOT], pair.zero.store.files(ROOT), pair.zero.person, "x", {"Server": "1", "Term": "1-1"}
    )
    pair.zero.store.move([RefUpdate(CLUSTER, None, forged)], "test")
    with pytest.raises(Exception, match="not signed with a key of server 1"):
        pair.puller(pair.one, pair.zero)([CLUSTER])
    assert not pair.one.store.has(forged)


def test_what_did_not_grow_stays_where_it_is(pair: Pair) -> None:
    pair.lead("192.168.56.20")
    own = pair.one.commit("192.168.56.99")
    assert pair.puller(pair.one, pair.zero)(EXCHANGED) == (TERM,)
    assert pair.one.store.ref(CLUSTER) == own


def test_the_primary_collects_what_a_server_ran_and_it_may_go_back(pair: Pair) -> None:
    first, second = pair.lead("192.168.56.20"), pair.lead("192.168.56.21")
    pair.puller(pair.one, pair.zero)(EXCHANGED)
    pull = pair.puller(pair.zero, pair.one)
    for commit in (first, second, first):
        old = pair.one.store.ref(RUNNING)
        pair.one.store.move([RefUpdate(RUNNING, old, commit)], "test")
        pair.one.store.write_note(NOTES, commit, "applied\n", {"Server": "1"})
        assert pull((RUNNING, NOTES)) == (RUNNING, NOTES)
        assert pair.zero.store.ref(RUNNING) == commit
    assert pair.zero.store.note(NOTES, second) == "applied\n"


def test_notes_that_another_server_wrote_are_refused(pair: Pair) -> None:
    commit = pair.lead("192.168.56.20")
    pair.puller(pair.one, pair.zero)(EXCHANGED)
    pair.one.store.write_note(NOTES, commit, "applied\n", {"Server": "0"})
    with pytest.raises(Exception, match="not signed with a key of server 0"):
        pair.puller(pair.zero, pair.one)((NOTES,))
    assert pair.zero.store.ref(NOTES) is None


def test_a_refusal_of_what_is_here_already_is_told_too(pair: Pair) -> None:
    pair.lead("192.168.56.20")
    pair.one.store.fetch(pair.one.pool.open_command(pair.zero.target(), Verb.UPLOAD), EXCHANGED)
    pair.one.situation = replace(pair.one.situation, following=None)
    with pytest.raises(RemoteRefused, match="follows no primary"):
        pair.puller(pair.one, pair.zero)(EXCHANGED)


def test_nothing_that_was_not_judged_is_kept_even_if_no_ref_moves(pair: Pair) -> None:
    """A line of a stranger would come along; a later commit could be built upon it."""
    pair.lead("192.168.56.20")
    stranger = pair.zero.store.write_commit(
        [ROOT], pair.zero.store.files(ROOT), pair.zero.person, "x", {"Server": "7", "Term": "9-7"}
    )
    pair.zero.store.move([RefUpdate("refs/terms/000000000009-007", None, stranger)], "test")
    with pytest.raises(Exception, match="not signed with a key of server 7"):
        pair.puller(pair.one, pair.zero)(EXCHANGED)
    assert not pair.one.store.has(stranger)
