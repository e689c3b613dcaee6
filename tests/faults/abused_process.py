"""A receiving server that is sent malicious pushes, all in one process and its children.

    python -m tests.faults.abused_process FOLDER COUNT

Says `ready` when it is built, delivers at the first line, says what was let in and ends.

Edge: files, processes.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from random import Random

from tests.faults.far_end import push
from tests.faults.packs import Object, commit_on, delivered, name_of, pack_of, tree
from tests.faults.test_malicious_pushes import hostile
from tests.support.replicas import CLUSTER, Replica

REFS = ("refs/heads/../../../x", "refs/heads/x.lock", "HEAD", "config", "refs/heads/--output=x")


def main(folder: Path, count: int) -> None:
    """Be server 1, and somebody who has the key of server 0."""
    zero, one = Replica(folder, 0), Replica(folder, 1)
    one.follow(zero)
    one.receiver.start()
    first = push(zero, one, {CLUSTER: zero.commit("192.0.2.1")})
    head = one.store.ref(CLUSTER)
    assert first is not None
    assert head is not None
    print("ready", flush=True)
    sys.stdin.readline()
    # Seen in the trace: what comes after it is what counts.
    os.open(folder / "begin", os.O_WRONLY | os.O_CREAT, 0o600)
    let_in = 0
    for mode, name in hostile(Random(5), count):
        blob: Object = ("blob", b"clock timezone Etc/UTC\n")
        inner = bytes.fromhex(head) if mode == b"160000" else name_of(blob)
        common = tree((mode, name, inner))
        root = tree((b"40000", b"common", name_of(common)))
        made = commit_on(root, head)
        pack = pack_of([blob, common, root, made])
        let_in += _let_in(delivered(one, name_of(made).hex(), pack))
    for ref in REFS:
        empty = pack_of([])
        let_in += _let_in(delivered(one, head, empty, (ref,)))
    assert one.store.ref(CLUSTER) == head
    print(let_in, flush=True)
    zero.close()
    one.close()


def _let_in(answer: bytes) -> bool:
    """Whether git reported that a ref moved."""
    return re.search(rb"[0-9a-f]{4}ok ", answer) is not None


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
