"""Packs that are small on the way and huge when opened, pushed by a member with a good key.

Each is refused with a sentence that is in the audit log too, and until then neither git nor
the running program takes more than a bounded amount of memory and work. `--full` adds those
that take longer to make.
"""

from __future__ import annotations

import resource
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import process_time

import pytest

from configrepo.errors import StoreError
from configrepo.git import index_pack
from configrepo.store import CommitId
from scheduler.gate_trail import GateNote
from tests.faults.far_end import LIMIT_S, gate_of
from tests.faults.packs import (
    KINDS,
    Object,
    commit_on,
    copied,
    delivered,
    delta,
    delta_on,
    entry,
    name_of,
    pack_of,
    pack_with,
    tree,
)
from tests.support.replicas import CLUSTER, Replica

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

MOST_MIB = 300.0
MOST_CPU_S = 12.0
"""One process of git may take 5 s, and be a little late; there is hardly a second one."""

MEASURED = Path(__file__).with_name("measured.py")
BLOB: Object = ("blob", b"x\n")

Bomb = Callable[[str], tuple[str, bytes]]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Replica]:
    """Server 1, which follows server 0 and has one commit of it."""
    zero, one = Replica(tmp_path, 0), Replica(tmp_path, 1)
    one.follow(zero)
    one.receiver.start()
    made = zero.commit("192.0.2.1")
    with gate_of(one.state, 0) as pipe:
        assert zero.store.push(pipe, {CLUSTER: made}).done
    yield one
    zero.close()
    one.close()


def whole(head: str, level: Object, *objects: Object) -> tuple[str, bytes]:
    """The tip and the pack of a commit whose `common` is `level`."""
    root = tree((b"40000", b"common", name_of(level)))
    made = commit_on(root, head)
    return name_of(made).hex(), pack_of([*objects, level, root, made])


def noise(head: str) -> tuple[str, bytes]:
    blob: Object = ("blob", Random(1).randbytes(30 << 20))
    return whole(head, tree((b"100644", b"ntp.conf", name_of(blob))), blob)


def zeros(head: str, size: int) -> tuple[str, bytes]:
    blob: Object = ("blob", bytes(size))
    return whole(head, tree((b"100644", b"ntp.conf", name_of(blob))), blob)


def many_zeros(head: str) -> tuple[str, bytes]:
    blobs: list[Object] = [("blob", b"%d" % n + bytes(15 << 20)) for n in range(6)]
    entries = [(b"100644", b"f%02d.conf" % n, name_of(blob)) for n, blob in enumerate(blobs)]
    return whole(head, tree(*entries), *blobs)


def large_zeros(head: str) -> tuple[str, bytes]:
    """Ninety files that are each just not too large for git; made one after the other."""
    names, entries = [], []
    for number in range(90):
        one: Object = ("blob", b"%d" % number + bytes(31 << 20))
        names.append(name_of(one))
        entries.append(entry(KINDS["blob"], len(one[1])) + zlib.compress(one[1], 1))
    level = tree(*[(b"100644", b"f%02d.conf" % n, name) for n, name in enumerate(names)])
    root = tree((b"40000", b"common", name_of(level)))
    made = commit_on(root, head)
    return name_of(made).hex(), pack_with([level, root, made], *entries)


def unfolding(head: str) -> tuple[str, bytes]:
    level = tree(*[(b"100644", b"f%d.conf" % n, name_of(BLOB)) for n in range(10)])
    objects = [BLOB, level]
    for _ in range(9):
        level = tree(*[(b"40000", b"d%d" % n, name_of(level)) for n in range(10)])
        objects.append(level)
    return whole(head, level, *objects[:-1])


def deep(head: str) -> tuple[str, bytes]:
    level = tree((b"100644", b"f.conf", name_of(BLOB)))
    objects = [BLOB, level]
    for _ in range(5000):
        level = tree((b"40000", b"d", name_of(level)))
        objects.append(level)
    return whole(head, level, *objects[:-1])


def wide(head: str) -> tuple[str, bytes]:
    level = tree(*[(b"100644", b"%06d.conf" % n, name_of(BLOB)) for n in range(300_000)])
    return whole(head, level, BLOB)


def many_wide(head: str) -> tuple[str, bytes]:
    """Each tree is small enough for itself."""
    inner = [
        tree(*[(b"100644", b"%d-%06d" % (n, m), name_of(BLOB)) for m in range(100_000)])
        for n in range(10)
    ]
    return whole(
        head,
        tree(*[(b"40000", b"d%d" % n, name_of(one)) for n, one in enumerate(inner)]),
        BLOB,
        *inner,
    )


def many_objects(head: str) -> tuple[str, bytes]:
    blobs: list[Object] = [("blob", b"%d" % n) for n in range(210_000)]
    names = [name_of(blob) for blob in blobs]
    inner = [
        tree(*[(b"100644", b"%06d" % m, names[m]) for m in range(start, start + 70_000)])
        for start in range(0, 210_000, 70_000)
    ]
    level = tree(*[(b"40000", b"d%d" % n, name_of(one)) for n, one in enumerate(inner)])
    return whole(head, level, *blobs, *inner)


def folded(head: str) -> tuple[str, bytes]:
    """A file of 8 MiB, and a delta that copies it twenty times."""
    base: Object = ("blob", bytes(8 << 20))
    large: Object = ("blob", bytes(160 << 20))
    level = tree((b"100644", b"ntp.conf", name_of(large)))
    root = tree((b"40000", b"common", name_of(level)))
    made = commit_on(root, head)
    entry = delta(base, copied(0, 8 << 20) * 20, 160 << 20)
    return name_of(made).hex(), pack_with([base, level, root, made], entry)


def folded_often(head: str) -> tuple[str, bytes]:
    """Five thousand deltas of some bytes that unfold to 8 MiB each, of which nobody knows."""
    base: Object = ("blob", bytes(8 << 20))
    name, size = name_of(base), len(base[1])
    level = tree((b"100644", b"ntp.conf", name))
    root = tree((b"40000", b"common", name_of(level)))
    made = commit_on(root, head)
    entries = (
        delta_on(name, size, copied(0, size) + b"\x04" + number.to_bytes(4, "big"), size + 4)
        for number in range(5_000)
    )
    return name_of(made).hex(), pack_with([base, level, root, made], *entries)


def folded_and_deep(head: str, levels: int) -> tuple[str, bytes]:
    """A directory of 100,000 files in which the same lies again, and so on; each a delta."""
    files = b"".join(b"100644 %06d\0" % n + name_of(BLOB) for n in range(100_000))
    first: Object = ("tree", files)
    level: Object = ("tree", files + b"40000 d\0" + name_of(first))
    objects = [BLOB, first, level]
    kept = len(level[1]) - 20
    entries = []
    for _ in range(levels):
        inner = name_of(level)
        entries.append(delta(level, copied(0, kept) + b"\x14" + inner, kept + 20))
        level = ("tree", files + b"40000 d\0" + inner)
    root = tree((b"40000", b"common", name_of(level)))
    made = commit_on(root, head)
    return name_of(made).hex(), pack_with([*objects, root, made], *entries)


TOO_LARGE_TO_UNPACK = b"over limit"
BOMBS: dict[str, tuple[Bomb, bytes]] = {
    "30 MiB of noise": (noise, b"exceeds maximum allowed size"),
    "a file of 120 MiB": (lambda head: zeros(head, 120 << 20), TOO_LARGE_TO_UNPACK),
    "6 files of 15 MiB": (many_zeros, b"more than may come at a time"),
    "ten times ten times ten": (unfolding, b"at most 40000 files"),
    "a chain of 5,000 directories": (deep, b"only plain files are let in"),
    "a directory of 300,000 files": (wide, b"too large"),
    "ten directories of 100,000 files": (many_wide, b"at most 40000 files"),
    "a delta of 160 MiB": (folded, TOO_LARGE_TO_UNPACK),
    "30 large directories in one another": (
        lambda head: folded_and_deep(head, 30),
        b"more than may come at a time",
    ),
}
TOO_MUCH_WORK = b"unpack"
LONG: dict[str, tuple[Bomb, bytes]] = {
    "90 large directories in one another": (lambda head: folded_and_deep(head, 90), b""),
    "250 large directories in one another": (lambda head: folded_and_deep(head, 250), b""),
    "2,000 large directories in one another": (
        lambda head: folded_and_deep(head, 2_000),
        TOO_MUCH_WORK,
    ),
    "90 files of 31 MiB": (large_zeros, TOO_MUCH_WORK),
    "a file of 600 MiB": (lambda head: zeros(head, 600 << 20), TOO_LARGE_TO_UNPACK),
    "210,000 objects": (many_objects, b"objects are more than may come at a time"),
    "a file of 2 GiB": (lambda head: zeros(head, 2 << 30), TOO_LARGE_TO_UNPACK),
}


def own_peak_mib() -> float:
    """The most memory that this process, with the receiving program in it, had."""
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index("VmHWM:") + 1]) / 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What a bomb took until it was refused, and what the audit log is told of it."""

    git_mib: float
    git_cpu_s: float
    own_mib: float
    own_cpu_s: float
    note: GateNote

    def bounded(self, what: str) -> bool:
        print(
            f"{what}: git {self.git_mib:.0f} MiB, {self.git_cpu_s:.1f} s; "
            f"the program {self.own_mib:.0f} MiB more, {self.own_cpu_s:.1f} s; {self.note.result}"
        )
        most_cpu_s = max(self.git_cpu_s, self.own_cpu_s)
        return max(self.git_mib, self.own_mib) < MOST_MIB and most_cpu_s < MOST_CPU_S


def own_cpu_s() -> float:
    """CPU seconds of this process and of the git that the program in it started."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def refused(one: Replica, bomb: Bomb, said: bytes, folder: Path) -> Cost:
    """Push it."""
    head = one.store.ref(CLUSTER)
    assert head is not None
    new, pack = bomb(head)
    measured = folder / "measured"
    Path("/proc/self/clear_refs").write_text("5")
    mib, cpu_s = own_peak_mib(), own_cpu_s()
    under = (sys.executable, "-I", "-S", str(MEASURED), str(measured))
    answer = delivered(one, new, pack, under=under)
    assert said in answer, answer[-600:]
    assert b"ok " + CLUSTER.encode() not in answer
    assert one.store.ref(CLUSTER) == head
    assert not one.store.has(CommitId(new))
    note = one.told.get(timeout=LIMIT_S)
    assert note.who == "0"
    assert note.action.startswith("push over SSH")
    assert note.result.startswith("refused: ")
    git_mib, git_cpu_s = map(float, measured.read_text().split())
    # What was measured is a child, too.
    return Cost(git_mib, git_cpu_s, own_peak_mib() - mib, own_cpu_s() - cpu_s - git_cpu_s, note)


@pytest.mark.parametrize("what", BOMBS)
def test_a_pack_bomb_is_refused_with_bounded_means(one: Replica, tmp_path: Path, what: str) -> None:
    bomb, said = BOMBS[what]
    cost = refused(one, bomb, said, tmp_path)
    assert cost.bounded(what)
    assert said.decode() in cost.note.result


@pytest.mark.parametrize("what", LONG)
def test_what_would_keep_git_busy_for_long_is_ended(
    one: Replica, tmp_path: Path, full: bool, what: str
) -> None:
    if not full:
        pytest.skip("takes many seconds to make: pytest tests/faults --full")
    assert refused(one, *LONG[what], tmp_path).bounded(what)


def test_a_bomb_of_many_deltas_is_ended_after_some_seconds_of_work(
    one: Replica, tmp_path: Path
) -> None:
    cost = refused(one, folded_often, TOO_MUCH_WORK, tmp_path)
    assert cost.bounded("5,000 deltas of 8 MiB")
    assert cost.note.result == "refused: 5004 objects, more than 5 s of work"


def test_what_is_fetched_is_unpacked_in_bounded_memory_too(one: Replica, tmp_path: Path) -> None:
    head = one.store.ref(CLUSTER)
    assert head is not None
    _, pack = zeros(head, 400 << 20)
    place = one.store.path / "objects" / "tmp_objdir-fetch-x"
    place.mkdir()
    (place / "incoming").write_bytes(pack)
    with (place / "incoming").open("rb") as file, pytest.raises(StoreError, match="emory"):
        index_pack(one.store.path, file, place)


def test_the_largest_that_is_allowed_is_let_in(one: Replica, tmp_path: Path) -> None:
    """The bounds leave room for what servers really send."""
    head = one.store.ref(CLUSTER)
    assert head is not None
    new, pack = zeros(head, 16 << 20)
    answer = delivered(one, new, pack)
    # Nobody signed it, and zeros are no configuration: it came as far as the rules.
    assert b"unpack ok" in answer
    assert b"ntp.conf: line 1" in answer, answer[-300:]
