from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.errors import DiskFull, StoreError
from configrepo.model import ServerId
from configrepo.store import CommitId, Pushed, RefUpdate
from scheduler.authorized_keys import KNOCKING, KeyHolder
from scheduler.errors import KeyRefused, RemoteRefused, Unreachable, WrongIdentity
from scheduler.push_plan import ErrorClass, PushState, own_runs
from scheduler.replication import Replicator, Seams, class_of, failure_of, refusal_of
from scheduler.ssh import SshLimits, SshPool, SshTarget
from scheduler.sshd import account, create_host_key
from tests.faults.stopping import stopped
from tests.support.replicas import CLUSTER, Replica
from tests.support.sshd import free_port, public_line

DEADLINE_S = 20.0
MADE = {"Server": "0", "Term": "1-0"}
STRANGER = public_line(Ed25519PrivateKey.generate())


class Sender:
    """Server 0 with its replicator, and the places where the others are reached."""

    def __init__(self, zero: Replica) -> None:
        self.zero = zero
        self.targets: list[SshTarget] = []
        self.leads = True
        self.writers = {ServerId(number) for number in range(3)}
        self.ahead: list[tuple[int, str]] = []
        self.join: Callable[[CommitId], None] = lambda head: None
        self.seams = Seams(
            targets=lambda: self.targets,
            leading=lambda: self.leads,
            ahead=self._ahead,
            writers=lambda: self.writers,
            judge=zero.receiver.refusal_of_fetched,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            jitter=lambda: 0.0,
        )
        self.replicator = Replicator(zero.store, zero.pool, self.seams)

    def _ahead(self, server: ServerId, refs: Mapping[str, CommitId]) -> None:
        self.ahead.extend((server, ref) for ref in refs)
        if CLUSTER in refs:
            self.join(refs[CLUSTER])

    def run_until(self, done: Callable[[PushState], bool], server: int = 1) -> PushState:
        """Run as the clock would, until a state is reached."""
        end = monotonic() + DEADLINE_S
        idle = threading.Event()
        while True:
            self.replicator.run()
            state = self.replicator.states().get(ServerId(server))
            if state is not None and done(state):
                return state
            assert monotonic() < end, state
            idle.wait(0.02)

    def settle(self, server: int = 1) -> PushState:
        """Run until everything is there."""
        head = self.zero.store.ref(CLUSTER)
        return self.run_until(lambda state: state.ok and state.head == head, server)


def merge(zero: Replica, head: CommitId) -> None:
    """Join another line as healing does: the files of this one stay."""
    mine = zero.store.ref(CLUSTER)
    assert mine is not None
    files = zero.store.files(mine)
    merged = zero.store.write_commit([mine, head], files, zero.person, "Merge", MADE)
    zero.store.move([RefUpdate(CLUSTER, mine, merged)], "test")


@pytest.fixture
def zero(tmp_path: Path) -> Iterator[Replica]:
    zero = Replica(tmp_path, 0)
    yield zero
    zero.close()


@pytest.fixture
def sender(zero: Replica) -> Iterator[Sender]:
    sender = Sender(zero)
    yield sender
    sender.replicator.close()


@pytest.fixture
def one(tmp_path: Path, zero: Replica, sender: Sender) -> Iterator[Replica]:
    one = Replica(tmp_path, 1)
    one.listen(zero)
    one.follow(zero)
    zero.follow(None, 1, one)
    sender.targets.append(one.target())
    yield one
    one.close()


def test_what_a_server_lacks_is_sent_and_known_to_be_on_its_disk(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    commit = zero.commit("192.168.56.20")
    term = "refs/terms/000000000001-000"
    zero.store.move([RefUpdate(term, None, commit)], "test")
    state = sender.settle()
    assert state.sentence == "everything was sent and is on its disk"
    assert state.last_success is not None
    assert one.store.ref(CLUSTER) == commit
    assert one.store.ref(term) == commit


def test_nothing_is_sent_twice(sender: Sender, zero: Replica, one: Replica) -> None:
    zero.commit("192.168.56.20")
    sender.settle()
    assert sender.replicator.run() == "sending to 0 of 1 servers"
    zero.commit("192.168.56.21")
    sender.settle()
    assert [refs for _, refs in one.received] == [(CLUSTER,), (CLUSTER,)]


def test_who_does_not_lead_sends_nothing(sender: Sender, zero: Replica, one: Replica) -> None:
    zero.commit("192.168.56.20")
    sender.leads = False
    assert sender.replicator.run() == "this server does not lead: nothing is sent"
    assert one.store.ref(CLUSTER) is None


def test_a_commit_can_be_waited_for(sender: Sender, zero: Replica, one: Replica) -> None:
    first = zero.commit("192.168.56.20")
    sender.replicator.run()
    assert sender.replicator.wait_until_on(first, 1, DEADLINE_S) == 1
    second = zero.commit("192.168.56.21")
    assert sender.replicator.wait_until_on(second, 1, 0.05) == 0
    sender.settle()
    assert sender.replicator.wait_until_on(first, 1, 0.0) == 1


def test_a_server_that_hangs_delays_nobody_else(
    tmp_path: Path, sender: Sender, zero: Replica, one: Replica
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tarpit:
        port = tarpit.getsockname()[1]
        sender.targets.insert(0, SshTarget(ServerId(2), "127.0.0.1", port, STRANGER))
        zero.commit("192.168.56.20")
        start = monotonic()
        sender.settle()
        assert monotonic() - start < 4.0
        state = sender.run_until(lambda state: not state.ok, 2)
        assert state.error_class is ErrorClass.NETWORK
        assert "says nothing" in state.sentence


def test_stopping_waits_for_no_server_that_hangs(sender: Sender, zero: Replica) -> None:
    """Without that stopping would take the five minutes that a login may take here."""
    patient = SshPool(zero.key, account(), SshLimits(300.0, 300.0, 300.0, 600.0))
    with socket.create_server(("127.0.0.1", 0)) as tarpit:
        target = SshTarget(ServerId(2), "127.0.0.1", tarpit.getsockname()[1], STRANGER)
        seams = replace(sender.seams, targets=lambda: [target])
        replicator = Replicator(zero.store, patient, seams)
        replicator.run()
        tarpit.settimeout(60)
        accepted, _ = tarpit.accept()
        with accepted:
            stopping = threading.Thread(target=replicator.close)
            stopping.start()
            stopping.join(60)
            assert not stopping.is_alive()


def test_a_server_that_is_down_gets_everything_once_when_it_is_back(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    one.sshd.stop()
    state = sender.run_until(lambda state: not state.ok)
    assert state.error_class is ErrorClass.NETWORK
    assert state.next_try is not None
    zero.commit("192.168.56.21")
    one.sshd.sshd.start()
    sender.replicator.wake(ServerId(1))
    sender.settle()
    assert [refs for _, refs in one.received] == [(CLUSTER,)]
    assert one.store.ref(CLUSTER) == zero.store.ref(CLUSTER)


def test_pauses_between_attempts_grow(sender: Sender, zero: Replica) -> None:
    zero.commit("192.168.56.20")
    sender.targets.append(SshTarget(ServerId(1), "127.0.0.1", free_port(), STRANGER))
    state = sender.run_until(lambda state: state.failures == 1)
    assert state.next_try is not None
    assert 0.5 < state.next_try - monotonic() <= 1.0
    sender.replicator.run()
    assert sender.replicator.states()[ServerId(1)].failures == 1
    state = sender.run_until(lambda state: state.failures == 2)
    assert state.next_try is not None
    assert 1.5 < state.next_try - monotonic() <= 2.0


def test_nothing_is_sent_to_a_server_with_another_host_key(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    sender.targets[:] = [one.sshd.target(1, STRANGER)]
    state = sender.run_until(lambda state: not state.ok)
    assert state.error_class is ErrorClass.AUTH
    assert "another host key" in state.sentence
    assert one.store.ref(CLUSTER) is None


def test_an_sshd_that_came_back_with_another_host_key_is_a_stop_with_a_long_pause(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    sender.settle()
    server = one.sshd.sshd
    server.stop()
    key = one.state / "ssh" / "host_ed25519"
    former = key.read_bytes()
    key.unlink()
    create_host_key(key)
    server.start()
    made = zero.commit("192.168.56.21")
    state = sender.run_until(lambda state: not state.ok and state.error_class is ErrorClass.AUTH)
    assert "another host key" in state.sentence
    assert state.next_try is not None
    assert state.next_try - monotonic() > 30.0, "a wrong key is not mended by trying often"
    assert one.store.ref(CLUSTER) != made
    server.stop()
    key.write_bytes(former)
    server.start()
    sender.replicator.wake(ServerId(1))
    sender.settle()
    assert one.store.ref(CLUSTER) == made


def test_an_sshd_that_hangs_is_shown_as_such_and_tried_again_soon(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    sender.settle()
    pid = int((one.state / "ssh" / "sshd.pid").read_text())
    with stopped(pid):
        made = zero.commit("192.168.56.21")
        state = sender.run_until(lambda state: not state.ok)
        assert state.error_class is ErrorClass.NETWORK
        assert "answer" in state.sentence or "says nothing" in state.sentence
        assert state.next_try is not None
        assert state.next_try - monotonic() < 10.0
        assert one.store.ref(CLUSTER) != made
    sender.replicator.wake(ServerId(1))
    sender.settle()
    assert one.store.ref(CLUSTER) == made


def test_a_refusal_is_shown_in_the_words_of_the_other_server(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    one.follow(None)
    one.let_join(zero)
    state = sender.run_until(lambda state: not state.ok)
    assert state.error_class is ErrorClass.REFUSED
    assert "still joining" in state.sentence


def test_a_gate_that_lets_nothing_through_is_a_refusal(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    one.sshd.allow((KeyHolder(zero.id, public_line(zero.key), KNOCKING),))
    state = sender.run_until(lambda state: not state.ok)
    assert state.error_class is ErrorClass.REFUSED
    assert state.sentence == "refused: this key may not ask for upload-pack"


def test_a_server_with_other_commits_is_not_overwritten_and_they_are_fetched(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    other = one.commit("192.168.56.99")
    state = sender.run_until(lambda state: not state.ok)
    assert "must be merged here first" in state.sentence
    assert one.store.ref(CLUSTER) == other
    assert zero.store.has(other)
    assert (1, CLUSTER) in sender.ahead


def test_what_is_joined_as_soon_as_it_is_seen_is_sent_at_once(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    zero.commit("192.168.56.20")
    other = one.commit("192.168.56.99")

    sender.join = lambda head: merge(zero, head)
    state = sender.run_until(lambda state: state.head is not None)
    assert state.ok
    assert state.failures == 0
    assert state.head is not None
    assert state.head == zero.store.ref(CLUSTER) == one.store.ref(CLUSTER)
    assert one.store.is_ancestor(other, state.head)


def test_a_server_that_had_another_primary_meanwhile_is_looked_at_anew_at_once(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    """What it had is remembered from before the cut; its refusal is not believed for long."""
    zero.commit("192.168.56.20")
    sender.settle()
    zero.commit("192.168.56.21")
    other = one.commit("192.168.56.99")

    sender.join = lambda head: merge(zero, head)
    state = sender.run_until(lambda state: state.head == zero.store.ref(CLUSTER))
    assert state.ok
    assert state.failures == 0
    assert state.head is not None
    assert one.store.is_ancestor(other, state.head)


def test_a_failure_of_before_a_server_was_back_makes_nobody_wait(
    tmp_path: Path, sender: Sender, zero: Replica
) -> None:
    zero.commit("192.168.56.20")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
        sender.targets.append(SshTarget(ServerId(1), "127.0.0.1", port, STRANGER))
        sender.replicator.run()
        first, _ = nobody.accept()
        sender.replicator.wake(ServerId(1))
        first.close()
        nobody.settimeout(DEADLINE_S)
        # No further run: the one under way goes on.
        second, _ = nobody.accept()
        second.close()
        state = sender.run_until(lambda state: not state.ok)
    assert state.failures == 1


def test_what_hangs_since_a_server_was_gone_is_broken_off_when_it_is_back(
    sender: Sender, zero: Replica
) -> None:
    patient = SshPool(zero.key, account(), SshLimits(60.0, 60.0, 60.0, 60.0))
    replicator = Replicator(zero.store, patient, sender.seams)
    zero.commit("192.168.56.20")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(DEADLINE_S)
        port = nobody.getsockname()[1]
        sender.targets.append(SshTarget(ServerId(1), "127.0.0.1", port, STRANGER))
        replicator.run()
        first, _ = nobody.accept()
        replicator.begin_anew(ServerId(1))
        # It would wait a minute for a word of the first one.
        second, _ = nobody.accept()
        first.close()
        second.close()
        replicator.close()


def test_after_the_merge_everybody_has_everything(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    mine, other = zero.commit("192.168.56.20"), one.commit("192.168.56.99")
    sender.run_until(lambda state: not state.ok)
    merge(zero, other)
    sender.replicator.wake(ServerId(1))
    sender.settle()
    head = one.store.ref(CLUSTER)
    assert head is not None
    assert head == zero.store.ref(CLUSTER)
    assert one.store.is_ancestor(mine, head)
    assert one.store.is_ancestor(other, head)


def test_a_line_is_relayed_only_if_its_writer_is_a_member(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    """The line of a server that was let in is here before anybody else can check it."""
    line = zero.commit("192.168.56.99", "refs/heads/server/7")
    zero.commit("192.168.56.20")
    sender.settle()
    assert one.store.ref("refs/heads/server/7") is None
    assert zero.store.ref("refs/heads/server/7") == line


def test_what_ran_where_follows_after_the_commit(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    commit = zero.commit("192.168.56.20")
    running, notes = own_runs(zero.id)
    zero.store.move([RefUpdate(running, None, commit)], "test")
    zero.store.write_note(notes, commit, "applied\n", {"Server": "0"})
    sender.run_until(lambda _: len(one.received) == 2)
    assert one.store.note(notes, commit) == "applied\n"
    assert one.store.ref(running) == commit
    assert [refs for _, refs in one.received] == [(CLUSTER,), (running, notes)]
    # It moves often and nobody waits for it: the next one is not sent at once.
    zero.store.write_note(notes, commit, "applied\napplied\n", {"Server": "0"})
    assert sender.replicator.run() == "sending to 0 of 1 servers"
    zero.commit("192.168.56.21")
    sender.settle()
    assert len(one.received) == 3


def test_what_ran_where_delays_no_commit_if_it_is_refused(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    commit = zero.commit("192.168.56.20")
    zero.store.write_note(own_runs(zero.id)[1], commit, "x\n", {"Server": "1"})
    sender.settle()
    zero.commit("192.168.56.21")
    sender.settle()
    assert one.store.ref(own_runs(zero.id)[1]) is None


def test_a_removed_server_is_forgotten(sender: Sender, zero: Replica, one: Replica) -> None:
    zero.commit("192.168.56.20")
    sender.settle()
    sender.targets.clear()
    sender.replicator.run()
    assert sender.replicator.states() == {}


def test_the_line_of_a_joining_server_is_fetched_and_no_ref_moves(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    line = "refs/heads/server/1"
    commit = one.commit("192.168.56.99", line)
    assert sender.replicator.fetch_from(one.target(), [line]) == {line: commit}
    assert zero.store.has(commit)
    assert zero.store.ref(line) is None
    assert sender.replicator.fetch_from(one.target(), [line]) == {line: commit}


def test_what_is_fetched_must_be_a_configuration(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    line = "refs/heads/server/1"
    commit = one.commit_files({"etc/passwd": "root\n"}, line)
    with pytest.raises(Unreachable, match="not let in"):
        sender.replicator.fetch_from(one.target(), [line])
    assert not zero.store.has(commit)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unreachable("x"), ErrorClass.NETWORK),
        (WrongIdentity("x"), ErrorClass.AUTH),
        (KeyRefused("x"), ErrorClass.AUTH),
        (RemoteRefused("x"), ErrorClass.REFUSED),
        (RemoteRefused("disk full: nothing was changed"), ErrorClass.DISK),
        (DiskFull("x"), ErrorClass.DISK),
        (StoreError("x"), ErrorClass.REFUSED),
    ],
)
def test_errors_are_split_by_whose_fault_they_are(
    error: Unreachable | StoreError, expected: ErrorClass
) -> None:
    assert class_of(error) is expected


def test_a_full_disk_at_the_other_end_is_recognised() -> None:
    before: dict[str, CommitId] = {}
    said = Pushed(before, {CLUSTER: "unpacker error"}, ("fatal: No space left on device",))
    assert (
        refusal_of(said)
        == "disk full there, or not writable: free some space on it (unpacker error)"
    )


def test_what_git_alone_refuses_is_tried_again_soon_and_what_the_rules_refuse_is_not() -> None:
    raced = Pushed({}, {CLUSTER: "atomic transaction failed"})
    assert class_of(failure_of(ServerId(1), raced)) is ErrorClass.NETWORK
    ruled = Pushed({}, {CLUSTER: "pre-receive hook declined"}, ("BQN: not the primary",))
    assert class_of(failure_of(ServerId(1), ruled)) is ErrorClass.REFUSED
    full = Pushed({}, {CLUSTER: "unpacker error"}, ("fatal: No space left on device",))
    assert class_of(failure_of(ServerId(1), full)) is ErrorClass.DISK


def test_the_words_of_another_server_are_safe_to_show() -> None:
    said = Pushed({}, {CLUSTER: "hook declined"}, ("BQN: \x1b[31mno\x07" + "x" * 1000,))
    words = refusal_of(said)
    assert words.isprintable()
    assert words.startswith("[31mno x")
    assert len(words) <= 300


def test_a_fault_of_the_program_is_shown_as_a_failure_and_tried_again_with_pauses(
    sender: Sender, zero: Replica, one: Replica
) -> None:
    head = zero.commit("192.168.56.20")
    sender.settle()

    def broken(_: CommitId) -> None:
        raise LookupError("a fault")

    sender.join = broken
    other = one.store.write_commit(
        [head], one.store.files(head), one.person, "Beside", {"Server": "1", "Term": "2-1"}
    )
    one.store.move([RefUpdate(CLUSTER, head, other)], "test")
    zero.commit("192.168.56.21")
    sender.replicator.wake(ServerId(1))
    state = sender.run_until(lambda state: not state.ok)
    assert "a fault of this program" in state.sentence
    assert "LookupError" in state.sentence
    assert state.next_try is not None
    sender.join = lambda head: merge(zero, head)
    sender.run_until(lambda state: state.ok and state.head == zero.store.ref(CLUSTER))
