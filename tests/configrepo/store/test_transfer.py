from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from configrepo.errors import NotFound, TransferFailed
from configrepo.factory import FACTORY_ROOT
from configrepo.revision import CommitId, RefUpdate
from configrepo.store import Store, Stream
from tests.support.repositories import (
    ANA,
    commit,
    git_at_far_end,
    line_of,
    new_store,
    policy,
    real_git,
)

CLUSTER = "refs/heads/cluster"
TERM = "refs/terms/000000000001-000"
POST_RECEIVE = """#!/bin/sh
while read old new ref; do echo "APPACK $ref $new"; done
"""
PRE_RECEIVE = """#!/bin/sh
echo "BQN: this server follows no primary now" >&2
exit 1
"""


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "near.git") as store:
        yield store


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Store]:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    write_hook(hooks, "post-receive", POST_RECEIVE)
    with new_store(tmp_path / "far.git", hooks) as store:
        yield store


def write_hook(hooks: Path, name: str, text: str) -> None:
    (hooks / name).write_text(text)
    (hooks / name).chmod(0o755)


class Recorded:
    """A stream that answers from a literal and swallows what is written."""

    def __init__(self, answer: bytes) -> None:
        self._answer = io.BytesIO(answer)

    def read(self, size: int) -> bytes:
        return self._answer.read(size)

    def write(self, data: bytes) -> None:
        pass


def test_a_push_arrives_and_its_acknowledgement_comes_back(near: Store, far: Store) -> None:
    made = line_of(near, 3)[-1]
    with git_at_far_end("receive-pack", str(far.path)) as stream:
        pushed = near.push(stream, {CLUSTER: made, TERM: made})
    assert pushed.done
    assert pushed.before == {}
    assert pushed.acknowledged == {CLUSTER: made, TERM: made}
    assert far.refs() == {CLUSTER: made, TERM: made}
    assert far.files(made) == near.files(made)
    assert far.fsck() is None


def test_only_what_is_missing_is_sent(near: Store, far: Store) -> None:
    first, _, last = line_of(near, 3)
    for commit_id in (first, last):
        with git_at_far_end("receive-pack", str(far.path)) as stream:
            pushed = near.push(stream, {CLUSTER: commit_id})
        assert pushed.done
    assert pushed.before == {CLUSTER: first}
    objects = real_git(far.path, "count-objects", "-v")
    everything = real_git(near.path, "count-objects", "-v")
    assert objects.splitlines()[0] == everything.splitlines()[0]


def test_a_push_of_what_is_there_already_does_nothing(near: Store, far: Store) -> None:
    made = line_of(near)[-1]
    for _ in range(2):
        with git_at_far_end("receive-pack", str(far.path)) as stream:
            pushed = near.push(stream, {CLUSTER: made})
        assert pushed.done
    assert pushed.before == {CLUSTER: made}
    assert pushed.acknowledged == {}


def test_a_push_that_is_not_a_fast_forward_is_refused_with_a_reason(
    near: Store, far: Store
) -> None:
    ours = line_of(near)[-1]
    theirs = line_of(far, 2, ref=CLUSTER)[-1]
    with git_at_far_end("receive-pack", str(far.path)) as stream:
        pushed = near.push(stream, {CLUSTER: ours, TERM: ours})
    assert not pushed.done
    assert pushed.before == {CLUSTER: theirs}
    assert "non-fast-forward" in pushed.refused[CLUSTER]
    assert TERM in pushed.refused
    assert far.refs() == {CLUSTER: theirs}


def test_the_words_of_a_refusing_hook_come_back(near: Store, far: Store, tmp_path: Path) -> None:
    write_hook(tmp_path / "hooks", "pre-receive", PRE_RECEIVE)
    made = line_of(near)[-1]
    with git_at_far_end("receive-pack", str(far.path)) as stream:
        pushed = near.push(stream, {CLUSTER: made})
    assert pushed.refused == {CLUSTER: "pre-receive hook declined"}
    assert pushed.messages == ("BQN: this server follows no primary now",)
    assert far.refs() == {}


def test_a_push_of_a_commit_that_is_not_here_is_a_mistake_of_the_caller(
    near: Store, far: Store
) -> None:
    with (
        git_at_far_end("receive-pack", str(far.path)) as stream,
        pytest.raises(NotFound),
    ):
        near.push(stream, {CLUSTER: CommitId("1" * 40)})
    assert far.refs() == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"zzzz",
        b"0008abcd",
        b"000b" + b"x" * 7,
        b"ffff" + b"x" * 100,
        b"0045" + b"1" * 40 + b" refs/heads/cluster\0report-stat",
    ],
)
def test_a_far_end_that_is_not_git_is_an_error_of_the_transfer(near: Store, answer: bytes) -> None:
    made = line_of(near)[-1]
    with pytest.raises(TransferFailed):
        near.push(Recorded(answer), {CLUSTER: made})
    with pytest.raises(TransferFailed):
        near.fetch(Recorded(answer), [CLUSTER])
    assert list((near.path / "objects").glob("tmp_*")) == []


def test_a_fetch_brings_commits_and_moves_no_ref(near: Store, far: Store) -> None:
    made = line_of(far, 3, ref=CLUSTER)[-1]
    far.move([RefUpdate(TERM, None, made)], "test")
    with git_at_far_end("upload-pack", str(far.path)) as stream:
        found = near.fetch(stream, [CLUSTER, "refs/heads/server/7", "refs/terms/"])
    assert found == {CLUSTER: made, TERM: made}
    assert near.refs() == {}
    assert near.files(made) == far.files(made)
    assert near.ahead(made, FACTORY_ROOT) == 3
    near.move([RefUpdate(CLUSTER, None, made)], "test")
    assert near.fsck() is None
    assert list((near.path / "objects").glob("tmp_*")) == []


def test_a_second_fetch_brings_only_what_is_new(near: Store, far: Store) -> None:
    first = line_of(far, 2, ref=CLUSTER)[-1]
    for _ in range(2):
        with git_at_far_end("upload-pack", str(far.path)) as stream:
            assert near.fetch(stream, [CLUSTER]) == {CLUSTER: first}
    near.move([RefUpdate(CLUSTER, None, first)], "test")
    later = commit(far, first, "later", policy(9))
    far.move([RefUpdate(CLUSTER, first, later)], "test")
    with git_at_far_end("upload-pack", str(far.path)) as stream:
        assert near.fetch(stream, [CLUSTER]) == {CLUSTER: later}
    packs = real_git(near.path, "count-objects", "-v").splitlines()
    assert "packs: 2" in packs
    # blob, root, common, policy, rate, and the commit
    newest = max((near.path / "objects" / "pack").glob("*.idx"), key=lambda p: p.stat().st_mtime_ns)
    assert len(real_git(near.path, "show-index", stdin=newest.read_bytes()).splitlines()) == 6


def test_a_fetch_from_an_empty_server_finds_nothing(near: Store, far: Store) -> None:
    with git_at_far_end("upload-pack", str(far.path)) as stream:
        assert near.fetch(stream, [CLUSTER]) == {}


def test_a_fetch_of_diverged_lines_brings_both(near: Store, far: Store) -> None:
    ours = line_of(near, 2)[-1]
    theirs = far.write_commit(
        [FACTORY_ROOT], {**far.files(FACTORY_ROOT), **policy(50)}, ANA, "theirs", {}
    )
    far.move([RefUpdate("refs/heads/server/1", None, theirs)], "test")
    with git_at_far_end("upload-pack", str(far.path)) as stream:
        near.fetch(stream, ["refs/heads/server/1"])
    assert near.merge_base(ours, theirs) == FACTORY_ROOT


@pytest.mark.parametrize(
    ("mode", "name"),
    [("120000", "clock.conf"), ("100755", "clock.conf"), ("100644", "..\\x"), ("100644", "a\nb")],
)
def test_what_a_lying_server_sends_is_not_let_in(
    near: Store, far: Store, mode: str, name: str
) -> None:
    blob = real_git(far.path, "hash-object", "-w", "--stdin", stdin=b"../../etc/passwd")
    entry = f"{mode} blob {blob}\t{name}\0".encode()
    inner = real_git(far.path, "mktree", "-z", stdin=entry)
    tree = real_git(far.path, "mktree", "-z", stdin=f"040000 tree {inner}\tcommon\0".encode())
    who = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x", "GIT_COMMITTER_NAME": "x"}
    made = real_git(
        far.path, "commit-tree", tree, "-m", "x", env={**who, "GIT_COMMITTER_EMAIL": "x"}
    )
    real_git(far.path, "update-ref", CLUSTER, made)
    with (
        git_at_far_end("upload-pack", str(far.path)) as stream,
        pytest.raises(TransferFailed, match="not let in"),
    ):
        near.fetch(stream, [CLUSTER])
    assert not near.has(CommitId(made))
    assert list((near.path / "objects" / "pack").iterdir()) == []


class Tapped:
    """Passes a stream on and keeps what was read."""

    def __init__(self, stream: Stream) -> None:
        self.heard = bytearray()
        self._stream = stream

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.heard += data
        return data

    def write(self, data: bytes) -> None:
        self._stream.write(data)


def test_a_pack_that_is_not_whole_is_not_taken_in(near: Store, far: Store, tmp_path: Path) -> None:
    line_of(far, 3, ref=CLUSTER)
    with git_at_far_end("upload-pack", str(far.path)) as stream:
        tapped = Tapped(stream)
        with new_store(tmp_path / "witness.git") as witness:
            witness.fetch(tapped, [CLUSTER])
    start = tapped.heard.index(b"PACK")
    length = int(tapped.heard[start - 5 : start - 1], 16) - 5
    for at in range(start + 12, start + length, length // 5):
        broken = bytearray(tapped.heard)
        broken[at] ^= 0x55
        with pytest.raises(TransferFailed, match="not whole"):
            near.fetch(Recorded(bytes(broken)), [CLUSTER])
    assert list((near.path / "objects" / "pack").iterdir()) == []
    near.fetch(Recorded(bytes(tapped.heard)), [CLUSTER])
    assert near.fsck() is None


def test_a_server_that_names_a_commit_and_does_not_send_it_is_not_believed(
    near: Store, far: Store
) -> None:
    head = line_of(far, ref=CLUSTER)[-1]
    with git_at_far_end("upload-pack", str(far.path)) as stream:
        tapped = Tapped(stream)
        near.fetch(tapped, [CLUSTER])
    for file in (near.path / "objects" / "pack").iterdir():
        file.unlink()
    lying = bytes(tapped.heard).replace(head.encode(), b"1" * 40)
    with Store.open(near.path, None) as fresh, pytest.raises(TransferFailed):
        fresh.fetch(Recorded(lying), [CLUSTER])
