"""A member with a good key pushes what no configuration is, through the real gate and hooks.

Each is refused, `cluster` does not move, nothing of it stays, nothing outside is touched.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from configrepo.store import CommitId
from tests.faults.far_end import gate_of
from tests.faults.packs import Object, commit_on, delivered, name_of, pack_of, tree
from tests.support.replicas import CLUSTER, Replica

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

MODES = (b"120000", b"100755", b"104755", b"100666", b"160000", b"040000", b"0100644", b"100664")
NAMES = (
    b".git", b".GIT", b"GIT~1", b".git.", b".g\xe2\x80\x8cit", b"..", b".", b"a/b", b"/etc/passwd",
    b"../../x", b"..\\..\\x", b".gitmodules", b".gitattributes", b"a\nb", b"\x1b[2J", b"\xff\xfe",
    b"--upload-pack=x", b"-x", b"CON", b"con.conf", b"x" * 5000, b"ntp.conf ", b"ntp.conf.",
    b"n\xcc\x83tp.conf", b"NTP.CONF", b"ntp.conf\r", b"config", b"hooks", b"",
)  # fmt: skip
"""Modes and names that git's own check refuses, and those that it lets through."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    """Server 0, and server 1 that follows it and has one commit of it."""
    zero, one = Replica(tmp_path, 0), Replica(tmp_path, 1)
    one.follow(zero)
    one.receiver.start()
    made = zero.commit("192.0.2.1")
    with gate_of(one.state, 0) as pipe:
        assert zero.store.push(pipe, {CLUSTER: made}).done
    yield zero, one
    zero.close()
    one.close()


def hostile(random: Random, count: int) -> list[tuple[bytes, bytes]]:
    """Modes and names of files; beyond the known ones they are made up."""
    every = [(mode, b"clock.conf") for mode in MODES] + [(b"100644", name) for name in NAMES]
    while len(every) < count:
        noise = bytes(random.randrange(1, 256) for _ in range(random.randrange(1, 12)))
        name = random.choice((random.choice(NAMES) + noise, noise + random.choice(NAMES), noise))
        every.append((random.choice((*MODES, b"100644")), name))
    return every


def everything(folder: Path) -> set[str]:
    """All files below a folder but what belongs to the program itself."""
    return {str(path) for path in folder.rglob("*") if path.suffix not in (".log", ".sock")}


def refused(one: Replica, head: CommitId, new: str, pack: bytes) -> bytes:
    """Push it; it must have changed nothing."""
    before = everything(one.state.parent)
    answer = delivered(one, new, pack)
    assert b"ok " + CLUSTER.encode() not in answer, answer
    assert one.store.ref(CLUSTER) == head
    assert everything(one.state.parent) == before
    return answer


def test_no_tree_outside_the_allow_list_is_let_in(
    pair: tuple[Replica, Replica], full: bool
) -> None:
    _, one = pair
    head = one.store.ref(CLUSTER)
    assert head is not None
    every = hostile(Random(5), 5000 if full else 70)
    for mode, name in every:
        blob: Object = ("blob", b"clock timezone Etc/UTC\n")
        inner = bytes.fromhex(head) if mode == b"160000" else name_of(blob)
        common = tree((mode, name, inner))
        root = tree((b"40000", b"common", name_of(common)))
        made = commit_on(root, head)
        refused(one, head, name_of(made).hex(), pack_of([blob, common, root, made]))
    print(f"{len(every)} malicious trees, none let in")
    assert one.store.fsck() is None


def test_a_push_of_very_many_refs_is_refused(pair: tuple[Replica, Replica], full: bool) -> None:
    _, one = pair
    head = one.store.ref(CLUSTER)
    assert head is not None
    count = 100_000 if full else 3_000
    refs = [f"refs/terms/{number:012d}-000" for number in range(1, count)]
    empty = b"PACK" + struct.pack(">II", 2, 0)
    answer = delivered(one, head, empty + hashlib.sha1(empty, usedforsecurity=False).digest(), refs)
    assert b"ok refs" not in answer
    assert one.store.refs("refs/terms/") == {}
