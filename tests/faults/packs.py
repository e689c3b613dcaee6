"""Packs made by hand, also such as no git would make, and their delivery through the gate.

Edge: processes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress

from tests.faults.far_end import gate_of
from tests.support.replicas import CLUSTER, Replica

KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
WHO = b"x <x@x> 1800000000 +0000"

Object = tuple[str, bytes]
REF_DELTA = 7


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
    return pack_with(objects)


def tree(*entries: tuple[bytes, bytes, bytes]) -> Object:
    return "tree", b"".join(mode + b" " + name + b"\0" + inner for mode, name, inner in entries)


def commit_on(root: Object, parent: str) -> Object:
    lines = (b"tree " + name_of(root).hex().encode(), b"parent " + parent.encode())
    return "commit", b"\n".join((*lines, b"author " + WHO, b"committer " + WHO, b"", b"x\n"))


def delta(base: Object, of: bytes, size: int) -> bytes:
    """The entry of a delta: `of` are its instructions, `size` what it unfolds to."""
    return delta_on(name_of(base), len(base[1]), of, size)


def delta_on(name: bytes, base_size: int, of: bytes, size: int) -> bytes:
    """The same for a base whose name is known."""
    data = _size(base_size) + _size(size) + of
    return entry(REF_DELTA, len(data)) + name + zlib.compress(data)


def copied(start: int, size: int) -> bytes:
    """The instruction of a delta that copies a piece of its base."""
    return b"\xff" + struct.pack("<I", start) + struct.pack("<I", size)[:3]


def _size(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def pack_with(objects: Sequence[Object], *entries: bytes) -> bytes:
    """A pack of objects and of entries that are made already."""
    body = b"PACK" + struct.pack(">II", 2, len(objects) + len(entries))
    for kind, data in objects:
        body += entry(KINDS[kind], len(data)) + zlib.compress(data, 1)
    body += b"".join(entries)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def delivered(
    one: Replica,
    new: str,
    pack: bytes,
    refs: Sequence[str] = (CLUSTER,),
    under: Sequence[str] = (),
) -> bytes:
    """Push a pack by hand; all that is answered."""
    old = one.store.ref(CLUSTER) or "0" * 40
    lines = []
    for number, ref in enumerate(refs):
        before = old if ref == CLUSTER else "0" * 40
        line = f"{before} {new} {ref}".encode()
        line += b"\0report-status side-band-64k atomic" if number == 0 else b""
        lines.append(f"{len(line) + 4:04x}".encode() + line)
    with gate_of(one.state, 0, under) as pipe:
        stdout, stdin = pipe.process.stdout, pipe.process.stdin
        assert stdout is not None
        assert stdin is not None
        with suppress(BrokenPipeError), stdin:
            stdin.write(b"".join(lines) + b"0000" + pack)
        return stdout.read()
