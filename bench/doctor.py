"""How long the connectivity doctor takes: for two real servers, and for 256 members.

    python bench/doctor.py [--quick] [--members N] [--runs R]

The pair is two real servers (own state, own sshd and gate, own control process) that try
each other in both directions: two control ports with a real handshake, two logins over SSH
up to the gate. The mesh is the real doctor with the real requests over TLS against 255
members in one process, each on an address of its own; they answer with the program's own
code, but the *result of each check is canned*, because 65,280 real pairs need 256 machines.
What is measured is the orchestration: asking, slices, putting together, words.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures
from bench.canned_members import probing
from bench.figures import Figures
from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.doctor import Doctor
from scheduler.identity import Identity
from scheduler.rpc_client import RpcClient
from tests.support.joined_servers import OPERATOR, joined_pair

MEMBERS = 255
RUNS = 10
_RUNS_QUICK = 3
_WAIT_S = 300.0
_LIMIT_S = 600
_LIMIT_QUICK_S = 240
_ROOT = Path(__file__).resolve().parent.parent


def pair_s(folder: Path, runs: int) -> float:
    """The longest of some runs of two real servers."""
    took = []
    with joined_pair(folder) as (one, _):
        doctor = one.watching.doctor
        for _ in range(runs):
            began = monotonic()
            doctor.start(OPERATOR)
            doctor.wait(_WAIT_S)
            diagnosis = doctor.view().diagnosis
            took.append(monotonic() - began)
            if diagnosis.ok != 2:
                figures.note(f"not all ok: {'; '.join(line.sentence for line in diagnosis.lines)}")
    figures.note(f"2 real servers, both directions, {runs} runs: {figures.spread(took)}")
    return max(took)


def mesh(folder: Path, count: int) -> tuple[float, int]:
    """Seconds for all pairs of `count` canned members and this one, and the pairs."""
    identity = Identity.create(folder / "keys")
    certificate = folder / "primary.b64"
    certificate.write_text(identity.certificate_b64)
    words = [sys.executable, "-m", "bench.canned_members", str(folder), str(count)]
    process = subprocess.Popen(
        [*words, str(certificate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        others = tuple(Member(**member) for member in json.loads(process.stdout.readline()))
        return _run_mesh(folder, identity, others)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def _run_mesh(folder: Path, identity: Identity, others: tuple[Member, ...]) -> tuple[float, int]:
    me = Member(ServerId(0), "bqn0", "127.0.0.1", 22, 1, identity.certificate_b64, "", "")
    members = (me, *others)
    own = probing(me.id, {member.id: member for member in members})
    client = RpcClient(identity)

    def call(
        member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        return client.call(member, route, dict(body), timeout_s)

    doctor = Doctor(
        me.id,
        folder / "doctor.json",
        lambda: members,
        call,
        own.answer,
        lambda *_: (),
        lambda *_: None,
        lambda: datetime.now(UTC),
    )
    before, began = figures.cpu_s(os.getpid()), monotonic()
    doctor.start(OPERATOR)
    doctor.wait(_WAIT_S)
    view = doctor.view()
    took, used = monotonic() - began, figures.cpu_s(os.getpid()) - before
    doctor.close()
    own.close()
    client.close()
    figures.note(
        f"{len(members)} members with canned results of the checks, real orchestration and "
        f"requests: {view.done:,} of {view.total:,} pairs in {took:.1f} s, {used:.1f} s of CPU"
    )
    for line in view.diagnosis.lines[:5]:
        figures.note(f"  {line.what}, {line.cause}, {line.pairs} pairs: {line.sentence}")
    if view.diagnosis.untried:
        figures.note(f"not complete: {view.diagnosis.untried} pairs have no result")
    return took, view.done - view.diagnosis.untried


def run(arguments: argparse.Namespace) -> Figures:
    """Measure both."""
    os.environ.setdefault("BQN_LOG_LEVEL", "WARNING")
    with TemporaryDirectory(prefix="bqn-doctor-") as folder:
        pair = pair_s(Path(folder), arguments.runs)
    with TemporaryDirectory(prefix="bqn-doctor-") as folder:
        mesh_s, pairs = mesh(Path(folder), arguments.members)
    return {"pair_s": pair, "mesh_s": mesh_s, "pairs": pairs}


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--members", type=int, default=MEMBERS, help="beside the primary")
    parser.add_argument("--runs", type=int, help=f"of the pair ({RUNS}; quick: {_RUNS_QUICK})")
    arguments = parser.parse_args(words)
    arguments.runs = arguments.runs or (_RUNS_QUICK if arguments.quick else RUNS)
    limit_s = _LIMIT_QUICK_S if arguments.quick else _LIMIT_S
    return figures.measure(lambda: run(arguments), limit_s)


if __name__ == "__main__":
    sys.exit(main())
