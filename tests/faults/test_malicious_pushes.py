"""A member with a good key pushes what no configuration is, through the real gate and hooks.

Each is refused, `cluster` does not move, nothing of it stays, nothing outside is touched.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from configrepo.store import CommitId
from tests.faults.far_end import children_peak_mib, gate_of
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
KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
WHO = b"x <x@x> 1800000000 +0000"

Object = tuple[str, bytes]


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


def name_of(one: Object) -> bytes:
    kind, data = one
    head = f"{kind} {len(data)}\0".encode()
    return hashlib.sha1(head + data, usedforsecurity=False).digest()


def entry(kind: int, size: int) -> bytes:
    """The head of an object in a pack."""
    first, size = (kind << 4) | (size & 15), size >> 4
    out = bytearray()
    while size:
        out.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    out.append(first)
    return bytes(out)


def pack_of(objects: Sequence[Object]) -> bytes:
    body = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, data in objects:
        body += entry(KINDS[kind], len(data)) + zlib.compress(data, 1)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def tree(*entries: tuple[bytes, bytes, bytes]) -> Object:
    return "tree", b"".join(mode + b" " + name + b"\0" + inner for mode, name, inner in entries)


def commit_on(root: Object, parent: str) -> Object:
    lines = (b"tree " + name_of(root).hex().encode(), b"parent " + parent.encode())
    return "commit", b"\n".join((*lines, b"author " + WHO, b"committer " + WHO, b"", b"x\n"))


def delivered(one: Replica, new: str, pack: bytes, refs: Sequence[str] = (CLUSTER,)) -> bytes:
    """Push a pack by hand; all that is answered."""
    old = one.store.ref(CLUSTER) or "0" * 40
    lines = []
    for number, ref in enumerate(refs):
        before = old if ref == CLUSTER else "0" * 40
        line = f"{before} {new} {ref}".encode()
        line += b"\0report-status atomic" if number == 0 else b""
        lines.append(f"{len(line) + 4:04x}".encode() + line)
    with gate_of(one.state, 0) as pipe:
        stdout, stdin = pipe.process.stdout, pipe.process.stdin
        assert stdout is not None
        assert stdin is not None
        with suppress(BrokenPipeError), stdin:
            stdin.write(b"".join(lines) + b"0000" + pack)
        return stdout.read()


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
    random = Random(5)
    every = [(mode, b"clock.conf") for mode in MODES] + [(b"100644", name) for name in NAMES]
    while len(every) < (5000 if full else 70):
        noise = bytes(random.randrange(1, 256) for _ in range(random.randrange(1, 12)))
        name = random.choice((random.choice(NAMES) + noise, noise + random.choice(NAMES), noise))
        every.append((random.choice((*MODES, b"100644")), name))
    for mode, name in every:
        blob: Object = ("blob", b"clock timezone Etc/UTC\n")
        inner = bytes.fromhex(head) if mode == b"160000" else name_of(blob)
        common = tree((mode, name, inner))
        root = tree((b"40000", b"common", name_of(common)))
        made = commit_on(root, head)
        refused(one, head, name_of(made).hex(), pack_of([blob, common, root, made]))
    print(f"{len(every)} malicious trees, none let in")
    assert one.store.fsck() is None


def bomb(what: str, head: str) -> tuple[str, bytes]:
    """The tip and the pack of something that is small on the way and large when opened."""
    blob: Object = ("blob", b"x\n")
    objects: list[Object] = [blob]
    if what == "ten times ten times ten":
        level = tree(*[(b"100644", b"f%d.conf" % n, name_of(blob)) for n in range(10)])
        objects.append(level)
        for _ in range(9):
            level = tree(*[(b"40000", b"d%d" % n, name_of(level)) for n in range(10)])
            objects.append(level)
    elif what == "a chain of 5,000 directories":
        level = tree((b"100644", b"f.conf", name_of(blob)))
        objects.append(level)
        for _ in range(5000):
            level = tree((b"40000", b"d", name_of(level)))
            objects.append(level)
    elif what == "a file of 120 MiB of zeros":
        large: Object = ("blob", bytes(120 << 20))
        level = tree((b"100644", b"ntp.conf", name_of(large)))
        objects += [large, level]
    elif what == "a directory of 300,000 files":
        names = (b"%06d.conf" % n for n in range(300_000))
        level = tree(*[(b"100644", name, name_of(blob)) for name in names])
        objects.append(level)
    else:
        noise: Object = ("blob", Random(1).randbytes(30 << 20))
        level = tree((b"100644", b"ntp.conf", name_of(noise)))
        objects += [noise, level]
    root = tree((b"40000", b"common", name_of(level)))
    made = commit_on(root, head)
    return name_of(made).hex(), pack_of([*objects, root, made])


@pytest.mark.parametrize(
    "what",
    [
        "30 MiB of noise",
        "ten times ten times ten",
        "a chain of 5,000 directories",
        "a directory of 300,000 files",
        "a file of 120 MiB of zeros",
    ],
)
def test_a_pack_bomb_is_refused(pair: tuple[Replica, Replica], what: str) -> None:
    _, one = pair
    head = one.store.ref(CLUSTER)
    assert head is not None
    new, pack = bomb(what, head)
    before = children_peak_mib()
    answer = refused(one, head, new, pack)
    print(
        f"{what}: {len(pack)} bytes, {answer[-160:]!r}, children {before} -> {children_peak_mib()}"
    )


def delta_bomb(head: str) -> tuple[str, bytes]:
    """A file of 8 MiB, and a delta that copies it twenty times."""
    base: Object = ("blob", bytes(8 << 20))
    copy = bytes([0x80 | 0x40 | 0x20 | 0x10]) + (8 << 20).to_bytes(3, "little")

    def size(number: int) -> bytes:
        out = bytearray()
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes([*out, number])

    delta = size(8 << 20) + size(160 << 20) + copy * 20
    unfolded: Object = ("blob", bytes(160 << 20))
    level = tree((b"100644", b"ntp.conf", name_of(unfolded)))
    root = tree((b"40000", b"common", name_of(level)))
    made = commit_on(root, head)
    body = b"PACK" + struct.pack(">II", 2, 5)
    body += entry(3, len(base[1])) + zlib.compress(base[1], 1)
    body += entry(7, len(delta)) + name_of(base) + zlib.compress(delta)
    for kind, data in (level, root, made):
        body += entry(KINDS[kind], len(data)) + zlib.compress(data)
    return name_of(made).hex(), body + hashlib.sha1(body, usedforsecurity=False).digest()


def test_a_delta_bomb_is_refused(pair: tuple[Replica, Replica]) -> None:
    _, one = pair
    head = one.store.ref(CLUSTER)
    assert head is not None
    new, pack = delta_bomb(head)
    answer = refused(one, head, new, pack)
    print(f"delta: {len(pack)} bytes, {answer[-160:]!r}, children {children_peak_mib()}")


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
