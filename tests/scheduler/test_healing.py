"""Two primaries, two lines: nothing is lost, nothing overwritten, the rest is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from configrepo.admission import CLUSTER
from configrepo.conflicts import FOLDER
from configrepo.members import member_file
from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate
from scheduler.changes import term_ref
from scheduler.heal_plan import BURST
from scheduler.merged_heads import merged_heads, problems_of
from tests.support.cut_world import DEAD_S, CutServer, bring, cluster_of

NTP = "common/ntp.conf"
CLOCK = "common/clock.conf"
POLICY = "common/policy/rate/new.conf"


def ntp(number: int) -> dict[str, str | None]:
    return {NTP: f"ntp\n server 192.0.2.{number}\n"}


def clock(zone: str) -> dict[str, str | None]:
    return {CLOCK: f"clock timezone {zone}\n"}


def policy(rate: int, name: str = "new") -> dict[str, str | None]:
    path = f"common/policy/rate/{name}.conf"
    return {path: f"policy rate {name}\n downlink rate {rate}\n"}


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[CutServer]]:
    """BQN 0, 1 and 2 with the same newest commit; in the end no ref has ever gone back."""
    servers = cluster_of(tmp_path, 0, 1, 2)
    try:
        yield servers
        assert all(server.grew_only() for server in servers)
    finally:
        for server in servers:
            server.close()


@pytest.fixture
def two(three: list[CutServer]) -> tuple[CutServer, CutServer]:
    """The first two of them."""
    return three[0], three[1]


def cut_apart(zero: CutServer, one: CutServer) -> None:
    """Both lead, each in a term of its own."""
    zero.lead(2)
    one.lead(3)


def heal(zero: CutServer, one: CutServer) -> None:
    """The higher id steps down, the lower one leads on, joins, and sends."""
    one.follow()
    zero.lead(4)
    zero.fetch(one)
    zero.healing.run()
    assert zero.push_to(one)


def test_commits_of_both_sides_are_joined_and_heads_are_equal(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    cut_apart(zero, one)
    mine = [zero.commit(policy(1, "left")), zero.commit(clock("Etc/UTC"))]
    theirs = [one.commit(policy(2, "right")), one.commit(policy(3, "right"))]
    heal(zero, one)
    assert zero.head == one.head
    assert all(zero.has(commit) for commit in (*mine, *theirs))
    files = zero.files()
    assert files == one.files()
    assert "downlink rate 1" in files["common/policy/rate/left.conf"]
    assert "downlink rate 3" in files["common/policy/rate/right.conf"]
    assert files[CLOCK] == "clock timezone Etc/UTC\n"
    assert zero.open() == ()
    merge = zero.store.revision(zero.head)
    assert set(merge.parents) == {mine[-1], theirs[-1]}
    assert merge.trailers["Merge-Of"] == "terms/000000000003-001"
    assert merge.trailers["Open-Conflicts"] == "0"
    assert merge.trailers["Term"] == "4-0"
    assert one.store.ref(term_ref(3, ServerId(1))) == theirs[-1]
    assert zero.store.ref(term_ref(3, ServerId(1))) == theirs[-1]
    assert zero.store.fsck() is None


def test_what_both_changed_has_the_value_of_the_lower_id_and_the_other_one_waits(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    before = zero.files()[CLOCK].strip()
    cut_apart(zero, one)
    zero.commit(clock("Etc/Zero"))
    one.commit(clock("Etc/One"))
    heal(zero, one)
    assert zero.files()[CLOCK] == "clock timezone Etc/Zero\n"
    (found,) = zero.open()
    assert (found.entry.path, found.entry.key, found.entry.reason) == (CLOCK, None, "disagreement")
    assert found.entry.base == before
    assert found.entry.applied == "clock timezone Etc/Zero"
    assert found.entry.other == "clock timezone Etc/One"
    assert found.entry.applied_by.author == "local administrator of BQN 0"
    assert found.entry.other_by.author == "local administrator of BQN 1"
    assert found.entry.other_by.server == 1
    assert found.entry.other_by.time.endswith("Z")
    assert zero.store.revision(zero.head).trailers["Open-Conflicts"] == "1"
    assert [path for path in zero.files() if path.startswith(FOLDER)] == [found.file]


def test_a_second_run_and_a_second_healing_change_nothing(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    cut_apart(zero, one)
    zero.commit(clock("Etc/Zero"))
    one.commit(clock("Etc/One"))
    heal(zero, one)
    head = zero.head
    assert zero.healing.run() == "nothing is held"
    zero.fetch(one)
    zero.restart()
    assert zero.healing.run() == "nothing is held"
    assert zero.head == head


def test_two_servers_that_merge_the_same_heads_give_the_same_tree(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    cut_apart(zero, one)
    zero.commit({**clock("Etc/Zero"), **policy(1)})
    one.commit({**clock("Etc/One"), **policy(2), **ntp(7)})
    a, b = zero.head, one.head
    zero.fetch(one)
    one.fetch(zero)
    assert merged_heads(zero.store, a, b, zero.vault.reseal) == merged_heads(
        one.store, b, a, one.vault.reseal
    )
    zero.healing.run()
    one.healing.run()
    assert zero.head != one.head
    assert zero.files() == one.files()
    assert len(zero.open()) == len(one.open()) == 2


def test_merges_in_both_directions_are_joined_without_a_new_question(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    cut_apart(zero, one)
    zero.commit(clock("Etc/Zero"))
    one.commit(clock("Etc/One"))
    zero.fetch(one)
    one.fetch(zero)
    zero.healing.run()
    one.healing.run()
    zero.commit(policy(5))
    one.commit(policy(6, "other"))
    heal(zero, one)
    assert zero.head == one.head
    assert len(zero.open()) == 1
    assert zero.files()[CLOCK] == "clock timezone Etc/Zero\n"
    assert {POLICY, "common/policy/rate/other.conf"} <= zero.files().keys()


def test_a_commit_that_was_not_sent_before_a_crash_is_not_lost(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    zero.lead(2)
    sent = zero.commit(ntp(1))
    zero.push_to(one)
    unsent = zero.commit({**clock("Etc/Zero"), **policy(1)})
    zero.follow()  # it crashed; BQN 1 takes over
    one.lead(3)
    theirs = one.commit({**clock("Etc/One"), **policy(9, "later")})
    zero.restart()  # it returns, and BQN 1 still leads: its push is refused, so it fetches
    assert not one.push_to(zero)
    one.fetch(zero)
    one.healing.run()
    assert one.push_to(zero)
    assert zero.head == one.head
    assert all(one.has(commit) for commit in (sent, unsent, theirs))
    assert one.files()[CLOCK] == "clock timezone Etc/Zero\n"
    assert [found.entry.other for found in one.open()] == ["clock timezone Etc/One"]
    assert {POLICY, "common/policy/rate/later.conf"} <= one.files().keys()


def test_a_lower_id_that_returns_with_an_unsent_commit_may_join_the_lines_itself(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    zero.lead(2)
    unsent = zero.commit(policy(1))
    zero.follow()
    one.lead(3)
    theirs = one.commit(policy(2, "later"))
    heal(zero, one)
    assert zero.has(unsent)
    assert one.has(theirs)


def test_a_term_that_is_ahead_of_the_cluster_after_a_crash_is_taken_over(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, _ = two
    zero.lead(2)
    before = zero.head
    commit = zero.commit(ntp(1))
    # The crash came between the two renames of the refs.
    (zero.store.path / CLUSTER).write_text(before + "\n")
    with (zero.store.path / "logs" / CLUSTER).open() as file:
        lines = file.readlines()
    (zero.store.path / "logs" / CLUSTER).write_text("".join(lines[:-1]))
    assert zero.head == before
    assert "was ahead and is taken over" in zero.healing.run()
    assert zero.head == commit


def test_a_server_that_does_not_lead_joins_nothing(two: tuple[CutServer, CutServer]) -> None:
    zero, one = two
    cut_apart(zero, one)
    zero.commit(ntp(1))
    theirs = one.commit(ntp(2))
    zero.follow()
    head = zero.head
    zero.fetch(one)
    zero.healing.run()
    assert zero.head == head
    assert zero.store.ref(term_ref(3, ServerId(1))) == theirs


def test_while_the_lead_is_handed_over_nothing_is_joined(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    cut_apart(zero, one)
    zero.commit(ntp(1))
    one.commit(ntp(2))
    one.follow()
    zero.fetch(one)
    head = zero.changes.hold("BQN 0 hands over")
    zero.healing.run()
    assert zero.head == head
    zero.changes.release()
    zero.healing.run()
    assert zero.has(one.head)


def liar(zero: CutServer, one: CutServer) -> CommitId:
    """BQN 1 confirmed a newer commit, and then shows a line that began before it."""
    old = one.head
    zero.lead(2)
    zero.commit(ntp(1))
    zero.push_to(one)
    files = {**one.store.files(old), CLOCK: "clock timezone Etc/Liar\n"}
    trailers = {"Server": "1", "Term": "9-1"}
    signer = one.store.signer
    assert signer is not None
    forged = one.store.write_commit([old], files, signer.committer, "Mine", trailers)
    one.store.move([RefUpdate(term_ref(9, one.me), None, forged)], "test")
    bring(one, zero)
    zero.healing.seen(forged)
    return forged


def test_a_line_that_began_before_what_its_server_confirmed_is_held(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    forged = liar(zero, one)
    head = zero.head
    zero.healing.run()
    zero.restart()
    zero.healing.run()
    assert zero.head == head
    (held,) = zero.healing.held()
    assert held.line.head == forged
    assert "had confirmed newer commits" in held.sentence


def test_a_member_that_was_removed_is_not_joined_by_itself(
    two: tuple[CutServer, CutServer],
) -> None:
    zero, one = two
    cut_apart(zero, one)
    path, text = member_file(one.record())
    zero.commit({path: text.replace("state active", "state removed")})
    one.commit(clock("Etc/One"))
    zero.fetch(one)
    zero.healing.run()
    assert not zero.has(one.head)
    assert "not a member" in zero.healing.held()[0].sentence


def test_a_secret_without_a_key_here_holds_the_line_and_hinders_nothing_else(
    tmp_path: Path, two: tuple[CutServer, CutServer]
) -> None:
    zero, one = two
    stranger = CutServer(tmp_path / "other", 2)
    cut_apart(zero, one)
    zero.commit(ntp(1))
    one.vault.keep(stranger.vault.keyring)
    stranger.close()
    one.commit({"common/api/rest.conf": "api rest\n user billing password s3cret\n"})
    zero.fetch(one)
    zero.healing.run()
    (held,) = zero.healing.held()
    assert "cannot be merged" in held.sentence
    assert "s3cret" not in held.sentence
    zero.commit(clock("Etc/UTC"))


def test_users_and_members_of_the_other_side_wait(two: tuple[CutServer, CutServer]) -> None:
    zero, one = two
    cut_apart(zero, one)
    zero.commit(policy(1))
    one.commit({"common/user/eve.conf": "user eve\n role administrator\n", **policy(2, "b")})
    heal(zero, one)
    assert "common/user/eve.conf" not in one.files()
    assert "common/policy/rate/b.conf" in one.files()
    (found,) = one.open()
    assert (found.entry.reason, found.entry.other) == ("guarded", "user eve\nrole administrator")


def test_merges_take_a_token_each(two: tuple[CutServer, CutServer]) -> None:
    zero, one = two
    cut_apart(zero, one)
    merges = 0
    for number in range(BURST + 3):
        zero.commit(policy(number, "a"))
        one.commit(policy(number, "b"))
        zero.fetch(one)
        zero.healing.run()
        merges += zero.has(one.head)
    assert merges == BURST
    zero.time += DEAD_S
    zero.healing.run()
    assert zero.has(one.head)


def test_three_lines_are_joined_one_after_the_other(three: list[CutServer]) -> None:
    servers = three
    commits = []
    for server in servers:
        server.lead(2 + server.me)
        commits.append(server.commit({**clock(f"Etc/Z{server.me}"), **policy(1, f"p{server.me}")}))
    zero = servers[0]
    for server in servers[1:]:
        server.follow()
        zero.fetch(server)
    zero.lead(9)
    zero.healing.run()
    for server in servers[1:]:
        assert zero.push_to(server)
        assert server.head == zero.head
    assert all(zero.has(commit) for commit in commits)
    assert zero.files()[CLOCK] == "clock timezone Etc/Z0\n"
    assert sorted(found.entry.other or "" for found in zero.open()) == [
        "clock timezone Etc/Z1",
        "clock timezone Etc/Z2",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_no_schedule_of_cuts_loses_a_commit(three: list[CutServer], seed: int) -> None:
    weather_over(three, Random(seed))


def test_no_schedule_of_cuts_loses_a_commit_of_five_servers(tmp_path: Path) -> None:
    servers = cluster_of(tmp_path, 0, 1, 2, 3, 7)
    try:
        weather_over(servers, Random(11), rounds=3)
        assert all(server.grew_only() for server in servers)
    finally:
        for server in servers:
            server.close()


def weather_over(servers: list[CutServer], random: Random, rounds: int = 5) -> None:
    weather = Weather(random)
    for _ in range(rounds):
        weather.blow(servers)
    weather.meet(servers)
    weather.send(servers, 1.0)
    final = servers[0]
    assert {server.head for server in servers} == {final.head}
    assert all(final.has(commit) for commit in weather.acknowledged)
    assert not [p for p in problems_of(final.files()) if p.severity == "error"]


class Weather:
    """Cuts servers apart at random and lets them meet again; they commit all the time."""

    def __init__(self, random: Random) -> None:
        self.acknowledged: list[CommitId] = []
        self._random = random
        self._epoch = 1

    def blow(self, servers: list[CutServer]) -> None:
        """Cut the servers in two groups; each of them goes on."""
        shuffled = self._random.sample(servers, len(servers))
        at = self._random.randrange(len(servers))
        for group in filter(None, (shuffled[:at], shuffled[at:])):
            self.meet(group)
            self._commit(group)

    def meet(self, group: list[CutServer]) -> None:
        """The lowest id of those that reach each other leads, joins, and sends."""
        for server in group:
            server.follow()
        leader = min(group, key=lambda server: server.me)
        self._epoch += 1
        leader.lead(self._epoch)
        leader.time += 100.0
        for _ in group:
            for other in group:
                if other is not leader and not leader.push_to(other):
                    leader.fetch(other)
                    leader.healing.run()
        assert {server.head for server in group} == {leader.head}
        assert leader.healing.held() == ()

    def send(self, group: list[CutServer], chance: float) -> None:
        """Send the newest commit to some of the others."""
        leader = min(group, key=lambda server: server.me)
        for other in group:
            if other is not leader and self._random.random() < chance:
                assert leader.push_to(other)

    def _commit(self, group: list[CutServer]) -> None:
        leader = min(group, key=lambda server: server.me)
        for _ in range(self._random.randint(0, 2)):
            zone = clock(f"Etc/Z{self._random.randint(0, 2**20)}")
            change = self._random.choice([zone, policy(self._random.randint(1, 2**20))])
            self.acknowledged.append(leader.commit(change))
            self.send(group, 0.5)
