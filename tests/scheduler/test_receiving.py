from __future__ import annotations

import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from configrepo.model import ServerId
from configrepo.store import CommitId, Pushed, RefUpdate
from configrepo.store.objects import Draft
from scheduler.authorized_keys import Verb
from scheduler.receiving import Receiver, Situation
from tests.support.replicas import CLUSTER, ROOT, Replica


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    """Server 0, and server 1 that follows it in term 1 and receives."""
    zero, one = Replica(tmp_path, 0), Replica(tmp_path, 1)
    one.listen(zero)
    one.follow(zero)
    yield zero, one
    zero.close()
    one.close()


def push_refs(source: Replica, sink: Replica, refs: dict[str, CommitId]) -> Pushed:
    stream = source.pool.open_command(sink.target(), Verb.RECEIVE)
    try:
        return source.store.push(stream, refs)
    finally:
        stream.close()


def said(pushed: Pushed) -> str:
    return "\n".join(pushed.messages)


def test_a_push_of_the_primary_arrives_and_is_acknowledged_from_the_disk(
    pair: tuple[Replica, Replica],
) -> None:
    zero, one = pair
    commit = zero.commit("192.168.56.20")
    pushed = push_refs(zero, one, {CLUSTER: commit, "refs/terms/000000000001-000": commit})
    assert pushed.done, said(pushed)
    assert pushed.acknowledged == {CLUSTER: commit, "refs/terms/000000000001-000": commit}
    assert one.store.ref(CLUSTER) == commit
    assert one.store.files(commit) == zero.store.files(commit)
    assert one.receiver.accepted == (1, 0)
    assert one.received == [(0, (CLUSTER, "refs/terms/000000000001-000"))]
    assert one.store.fsck() is None


def test_a_server_that_was_out_of_descriptors_receives_again(
    pair: tuple[Replica, Replica], caplog: pytest.LogCaptureFixture
) -> None:
    zero, one = pair
    before, until = resource.getrlimit(resource.RLIMIT_NOFILE), time.monotonic() + 60
    with socket.socket(socket.AF_UNIX) as waits:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
        try:
            waits.connect(str(one.state / "run" / "receive.sock"))
            while "a hook cannot be let in" not in caplog.text and time.monotonic() < until:
                threading.Event().wait(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "a hook cannot be let in" in caplog.text
    assert push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")}).done


def test_what_was_accepted_survives_a_restart(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")})
    again = Receiver(one.state, one.id, one.store, lambda: one.situation, lambda *_: None)
    assert again.accepted == (1, 0)


def test_a_second_delivery_does_no_harm(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    commit = zero.commit("192.168.56.20")
    for _ in range(2):
        assert push_refs(zero, one, {CLUSTER: commit}).done
    assert one.store.ref(CLUSTER) == commit


def test_terms_of_another_cluster_say_nothing_in_this_one(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    one.follow(zero, 9)
    one.situation = replace(one.situation, cluster="a" * 32)
    assert push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")}).done
    one.situation = replace(one.situation, epoch=2)
    second = zero.commit("192.168.56.21")
    assert "older than term 9" in said(push_refs(zero, one, {CLUSTER: second}))
    one.situation = replace(one.situation, cluster="b" * 32)
    assert one.receiver.accepted is None
    assert push_refs(zero, one, {CLUSTER: second}).done
    assert one.receiver.accepted == (2, 0)


def test_a_commit_that_another_server_signed_is_refused(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    forged = zero.store.write_commit(
        [ROOT], zero.store.files(ROOT), zero.person, "x", {"Server": "1", "Term": "1-1"}
    )
    pushed = push_refs(zero, one, {CLUSTER: forged})
    assert "not signed with a key of server 1" in said(pushed)
    assert not one.store.has(forged)


def test_a_commit_without_a_signature_is_refused(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    files, who = zero.store.files(ROOT), zero.person
    draft = Draft((ROOT,), files, who, who, 2_000_000_000, "x\n\nServer: 0\nTerm: 1-0\n")
    bare = zero.store.objects.write(draft, signer=None)
    assert "of server 0 is not signed" in said(push_refs(zero, one, {CLUSTER: bare}))


def test_a_relayed_line_ends_in_a_commit_of_its_writer(tmp_path: Path) -> None:
    """The primary may relay the term of server 2, but it cannot write it."""
    zero, one, two = (Replica(tmp_path, number) for number in range(3))
    try:
        one.listen(zero)
        one.follow(zero, 1, two)
        term = "refs/terms/000000000001-002"
        mine = zero.commit("192.168.56.20")
        assert "server 2 writes it" in said(push_refs(zero, one, {term: mine}))
        theirs = two.commit("192.168.56.99", term)
        two.listen(zero)
        two.follow(zero)
        zero.store.fetch(zero.pool.open_command(two.target(), Verb.UPLOAD), [term])
        later = "refs/terms/000000000002-002"
        assert "not to term 2-2" in said(push_refs(zero, one, {later: theirs}))
        assert push_refs(zero, one, {term: theirs}).done
    finally:
        for replica in (zero, one, two):
            replica.close()


def test_a_stale_term_is_refused_after_a_newer_one_was_accepted(tmp_path: Path) -> None:
    zero, one, two = (Replica(tmp_path, number) for number in range(3))
    try:
        two.listen(zero, one)
        two.follow(one, 5, zero)
        first = one.commit("192.168.56.20")
        assert push_refs(one, two, {CLUSTER: first}).done
        zero.store.fetch(zero.pool.open_command(two.target(), Verb.UPLOAD), [CLUSTER])
        zero.store.move([RefUpdate(CLUSTER, None, first)], "test")
        later = zero.commit("192.168.56.21")
        two.follow(zero, 4, one)
        pushed = push_refs(zero, two, {CLUSTER: later})
        assert "older than term 5" in said(pushed)
        assert two.store.ref(CLUSTER) == first
        two.follow(zero, 6, one)
        assert push_refs(zero, two, {CLUSTER: later}).done
        assert two.receiver.accepted == (6, 0)
    finally:
        for replica in (zero, one, two):
            replica.close()


def test_a_server_that_is_not_followed_moves_no_cluster(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    commit = zero.commit("192.168.56.20")
    one.situation = Situation(ServerId(2), 1, frozenset({ServerId(0), ServerId(1), ServerId(2)}))
    pushed = push_refs(zero, one, {CLUSTER: commit})
    assert not pushed.done
    assert "follows server 2, not server 0" in said(pushed)
    assert one.store.ref(CLUSTER) is None
    assert one.receiver.accepted is None
    assert one.received == []


def test_history_is_never_taken_back(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    first = zero.commit("192.168.56.20")
    second = zero.commit("192.168.56.21")
    push_refs(zero, one, {CLUSTER: second})
    assert not push_refs(zero, one, {CLUSTER: first}).done
    assert one.store.ref(CLUSTER) == second


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "refs/tags/v1", "refs/heads/server/1", "refs/terms/000000000001-001"]
)
def test_other_refs_and_the_lines_of_the_receiver_are_refused(
    pair: tuple[Replica, Replica], ref: str
) -> None:
    zero, one = pair
    commit = zero.commit("192.168.56.20")
    assert not push_refs(zero, one, {ref: commit}).done
    assert one.store.ref(ref) is None


def test_one_bad_ref_stops_the_whole_push(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    commit = zero.commit("192.168.56.20")
    assert not push_refs(zero, one, {CLUSTER: commit, "refs/heads/main": commit}).done
    assert one.store.ref(CLUSTER) is None


@pytest.mark.parametrize(
    "files",
    [
        {"common/ntp.conf": 'ntp\n server "192.168.56.20\n'},
        {"common/ntp.conf": "syslog\n"},
        {"etc/passwd": "root\n"},
        {".gitattributes": "* merge=x\n"},
        {"common/ntp.conf/x": "ntp\n"},
    ],
)
def test_a_tree_that_is_no_configuration_is_refused(
    pair: tuple[Replica, Replica], files: dict[str, str]
) -> None:
    zero, one = pair
    kept = {path: text for path, text in zero.store.files(ROOT).items() if path not in files}
    kept.pop("common/ntp.conf", None)
    commit = zero.commit_files({**kept, **files})
    assert not push_refs(zero, one, {CLUSTER: commit}).done
    assert one.store.ref(CLUSTER) is None
    assert not one.store.has(commit)


NEWER = {
    "cluster/cluster.conf": "cluster\n format 9\n",
    "common/ntp.conf": 'ntp\n server "unended\n',
    "common/tomorrow/x.conf": "tomorrow x\n",
}


def test_a_newer_schema_is_followed_unread_within_every_limit(
    pair: tuple[Replica, Replica],
) -> None:
    zero, one = pair
    first = zero.commit_files({**zero.store.files(ROOT), **NEWER})
    pushed = push_refs(zero, one, {CLUSTER: first})
    assert pushed.done, said(pushed)
    assert one.store.files(first) == zero.store.files(first)
    named = NEWER["cluster/cluster.conf"]
    trailers = {"Server": "0", "Term": "1-0"}

    def refusal(files: dict[str, str]) -> str:
        """What is said to a commit that is pushed and then forgotten again."""
        bad = zero.store.write_commit([first], files, zero.person, "Change", trailers)
        pushed = push_refs(zero, one, {CLUSTER: bad})
        assert not pushed.done
        return said(pushed)

    newest = zero.store.files(first)
    assert "not a place" in refusal({**newest, "etc/passwd": "x\n"})
    assert "fsck error" in refusal({**newest, "common/.git/config": "x\n"})
    assert "not a place" in refusal({**newest, "common/a b": "x\n"})
    back = zero.store.files(ROOT)
    assert "went back from 9 to 1" in refusal(back)
    last = zero.commit_files({**back, "cluster/cluster.conf": named, "common/y.conf": "y\n"})
    assert push_refs(zero, one, {CLUSTER: last}).done
    assert one.store.ref(CLUSTER) == last


def test_a_joining_server_brings_only_its_own_line(tmp_path: Path) -> None:
    zero, one = Replica(tmp_path, 0), Replica(tmp_path, 1)
    try:
        zero.listen(one)
        zero.follow(None)
        zero.let_join(one)
        commit = one.commit("192.168.56.20", "refs/heads/server/1")
        assert "still joining" in said(push_refs(one, zero, {CLUSTER: commit}))
        assert push_refs(one, zero, {"refs/heads/server/1": commit}).done
        assert zero.store.ref("refs/heads/server/1") == commit
    finally:
        zero.close()
        one.close()


def test_a_key_whose_server_is_no_member_moves_nothing(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    one.situation = Situation(None, 0, frozenset({ServerId(1)}))
    pushed = push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")})
    assert "server 0 is not a member here" in said(pushed)


def test_a_program_that_does_not_run_lets_nothing_in(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    commit = zero.commit("192.168.56.20")
    one.receiver.stop()
    pushed = push_refs(zero, one, {CLUSTER: commit})
    assert not pushed.done
    assert "the program on this server is not running" in said(pushed)
    assert one.store.ref(CLUSTER) is None
    one.receiver.start()
    assert push_refs(zero, one, {CLUSTER: commit}).done


def test_a_program_that_dies_before_it_answers_lets_nothing_in(
    pair: tuple[Replica, Replica],
) -> None:
    zero, one = pair
    one.receiver.stop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(one.state / "run" / "receive.sock"))
        listener.listen()
        answer = threading.Thread(target=lambda: listener.accept()[0].close())
        answer.start()
        assert not push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")}).done
        answer.join(10)
    assert one.store.ref(CLUSTER) is None


def test_a_record_that_cannot_be_written_stops_the_push(pair: tuple[Replica, Replica]) -> None:
    zero, one = pair
    (one.state / "accepted.json").mkdir()
    pushed = push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")})
    assert not pushed.done
    assert one.store.ref(CLUSTER) is None
    assert one.receiver.accepted is None


def test_a_push_past_the_gate_is_refused(pair: tuple[Replica, Replica], tmp_path: Path) -> None:
    """Somebody with a shell on the server runs git against the repository with our hooks."""
    zero, one = pair
    zero.commit("192.168.56.20")
    hooks = Path(__file__).parents[2] / "scheduler" / "gate"
    done = subprocess.run(
        [
            "git", f"--git-dir={zero.state / 'config.git'}", "-c", "protocol.file.allow=always",
            "push", f"--receive-pack=git -c core.hooksPath={hooks} receive-pack",
            str(one.state / "config.git"), f"{CLUSTER}:{CLUSTER}",
        ],
        env={"PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "must come through the gate" in done.stderr
    assert one.store.ref(CLUSTER) is None


@pytest.mark.parametrize(
    "words", [b"", b"pre-receive\n", b"pre-receive\nx\n\n", b"rm\n0\n/\n", b"\xff\xff", b"x" * 2000]
)
def test_what_is_no_hook_gets_no_answer(pair: tuple[Replica, Replica], words: bytes) -> None:
    _, one = pair
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(one.state / "run" / "receive.sock"))
        sock.sendall(words)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""


def test_a_quarantine_elsewhere_is_refused(pair: tuple[Replica, Replica], tmp_path: Path) -> None:
    _, one = pair
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(one.state / "run" / "receive.sock"))
        line = f"{'0' * 40} {ROOT} {CLUSTER}"
        sock.sendall(f"pre-receive\n0\n{tmp_path}\n{line}\n".encode())
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b"no the objects of the push are not where they belong\n"


def test_a_deep_state_directory_has_a_socket_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    zero, one = Replica(deep, 0), Replica(deep, 1)
    try:
        one.listen(zero)
        one.follow(zero)
        assert push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")}).done
    finally:
        zero.close()
        one.close()


def test_a_server_that_had_no_thread_left_receives_again(
    pair: tuple[Replica, Replica], caplog: pytest.LogCaptureFixture
) -> None:
    zero, one = pair
    before = threading.stack_size(1 << 62)  # larger than any address space: no thread can be made
    try:
        for _ in range(20):  # more than are answered at a time: no place may stay taken
            with socket.socket(socket.AF_UNIX) as hook:
                hook.settimeout(60)
                hook.connect(str(one.state / "run" / "receive.sock"))
                assert hook.recv(1) == b""
    finally:
        threading.stack_size(before)
    assert "a hook cannot be answered" in caplog.text
    assert push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")}).done


def test_a_fault_of_the_program_is_a_no_and_stands_in_the_log(
    pair: tuple[Replica, Replica], caplog: pytest.LogCaptureFixture
) -> None:
    zero, one = pair

    def broken() -> Situation:
        raise LookupError("a fault")

    receiver = Receiver(one.state, one.id, one.store, broken, lambda *_: None, lambda _: None)
    one.receiver.stop()
    receiver.start()
    try:
        assert not push_refs(zero, one, {CLUSTER: zero.commit("192.168.56.20")}).done
    finally:
        receiver.stop()
    assert "a hook was not answered" in caplog.text
    assert "LookupError" in caplog.text
