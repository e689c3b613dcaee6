"""One small commit to many servers: against `git push` and against Ansible.

    python bench/fanout.py [--quick] [--servers N] [--rounds N] [--ansible PATH]

The receivers are real: sshd, gate, hooks, checks, barrier; each has a process of its own,
all on this machine. In turn the product's replicator and `git push` over shared OpenSSH
connections send a commit to all of them, eight at a time; then Ansible copies the one file
that was changed to as many servers with a shell, eight at a time, over shared connections.
What the receiver costs is measured beside sshd: the forced command of the key as sshd runs
it, with the program's own CPU, against a plain `git receive-pack` of git's defaults.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, process_time
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import figures, receivers
from bench.figures import Figures, RivalMissing
from bench.receivers import Receiving
from bench.shells import Masters, PlainSshd, write_key
from configrepo import git
from configrepo.store import CommitId
from scheduler.authorized_keys import Verb
from scheduler.replication import PARALLEL, Replicator, Seams
from scheduler.ssh import SshTarget
from tests.support.replicas import CLUSTER, Replica
from tests.support.sshd import public_line

SERVERS = 32
ROUNDS = 15
MEMBERS = 255
_LIMIT_S = 900
_LIMIT_QUICK_S = 240
_PUSH_S = 120.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What one fan-out took: seconds on the clock, and CPU seconds at the sender."""

    wall_s: float
    cpu_s: float


def children_cpu_s() -> float:
    """CPU seconds of the children that this process has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Ours:
    """The product's replicator, its connections kept."""

    def __init__(self, sender: Replica, targets: Sequence[SshTarget]) -> None:
        self._count = len(targets)
        self.replicator = Replicator(
            sender.store,
            sender.pool,
            Seams(
                targets=lambda: targets,
                leading=lambda: True,
                ahead=lambda *_: None,
                writers=lambda: frozenset({sender.id}),
                judge=lambda *_: None,
                now=lambda: datetime.now(UTC),
                jitter=lambda: 0.0,
            ),
        )

    def send(self, commit: CommitId) -> Spent:
        """Send to all and wait until all say that it is on their disk."""
        began, used = monotonic(), process_time() + children_cpu_s()
        self.replicator.run()
        there = self.replicator.wait_until_on(commit, self._count, _PUSH_S)
        if there < self._count:
            states = {state.sentence for state in self.replicator.states().values()}
            raise RuntimeError(f"only {there} of {self._count} servers took it: {states}")
        return Spent(monotonic() - began, process_time() + children_cpu_s() - used)


class GitPush:
    """`git push`, with OpenSSH's shared connections."""

    def __init__(self, sender: Replica, masters: Masters) -> None:
        self._repository = sender.store.path
        self._masters = masters
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_SSH_COMMAND": f"ssh -F {masters.config}",
        }

    def send(self, commit: CommitId) -> Spent:
        """Push to all, as many at a time as the product does."""
        began, used = monotonic(), children_cpu_s() + self._masters.cpu_s()
        with ThreadPoolExecutor(PARALLEL) as pool:
            for done in [pool.submit(self._push, name, commit) for name in self._masters.names]:
                done.result()
        cpu_s = children_cpu_s() + self._masters.cpu_s() - used
        return Spent(monotonic() - began, cpu_s)

    def _push(self, name: str, commit: CommitId) -> None:
        command = ["git", f"--git-dir={self._repository}", "push", "--quiet", "--atomic"]
        subprocess.run(
            [*command, f"{name}:config.git", f"{commit}:{CLUSTER}"],
            env=self._environment,
            check=True,
            capture_output=True,
            timeout=_PUSH_S,
        )


class Ansible:
    """Ansible's `copy` of one file, over shared connections, with pipelining."""

    def __init__(self, program: str, masters: Masters, place: Path) -> None:
        self._place = place
        place.mkdir()
        hosts = "".join(f"{name}\n" for name in masters.names)
        (place / "hosts").write_text(
            f"[all]\n{hosts}\n[all:vars]\nansible_ssh_args=-F {masters.config}\n"
            f"ansible_python_interpreter={sys.executable}\n"
        )
        target = f"dest={place}/{{{{ inventory_hostname }}}}.conf"
        self._command = [program, "all", "-i", str(place / "hosts"), "-f", str(PARALLEL)]
        self._command += ["-m", "ansible.builtin.copy", "-a", f"src={place}/source.conf {target}"]

    def send(self, text: str) -> float:
        """Copy to all; returns the seconds."""
        (self._place / "source.conf").write_text(text)
        began = monotonic()
        done = subprocess.run(
            self._command,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self._place),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_PIPELINING": "True",
                "ANSIBLE_HOST_KEY_CHECKING": "False",
                "ANSIBLE_LOCAL_TEMP": str(self._place / "tmp"),
            },
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        took = monotonic() - began
        if done.returncode != 0:
            raise RuntimeError(f"ansible failed: {(done.stderr or done.stdout)[-2000:]}")
        return took


class Pipes:
    """Standard input and output of a receiving command, for `Store.push`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: IO[bytes] = process.stdin
        self._output: IO[bytes] = process.stdout

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, fewer at the end."""
        return self._output.read(size)

    def write(self, data: bytes) -> None:
        """Send all."""
        self._input.write(data)
        self._input.flush()

    def close(self) -> None:
        """Close both."""
        self._input.close()
        self._output.read()
        self._output.close()


def receiving_cpu_s(sender: Replica, command: Sequence[str], commit: CommitId) -> float:
    """CPU seconds of a receiving command and all that it starts, for one commit."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": "git-receive-pack 'config.git'"},
    )
    pipes = Pipes(process)
    try:
        pushed = sender.store.push(pipes, {CLUSTER: commit})
    finally:
        pipes.close()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    if not pushed.done:
        raise RuntimeError(f"a push was refused: {pushed.refused} {pushed.messages}")
    return used.ru_utime + used.ru_stime


def forced_command(receiver: Receiving) -> str:
    """What sshd runs for the sender's key."""
    lines = (receiver.state / "ssh" / "authorized_keys").read_text()
    found = re.search(r'command="((?:[^"\\]|\\.)*)"', lines)
    assert found is not None
    return found[1].replace('\\"', '"')


def receiver_cost(
    sender: Replica, receiver: Receiving, place: Path, times: int, commit: Callable[[], CommitId]
) -> tuple[float, float]:
    """CPU seconds of our receiver and of a plain one, for one commit each (medians)."""
    plain = place / "plain.git"
    git.init_bare(plain)
    plainly = ["sh", "-c", f"git-receive-pack '{plain}'"]
    ours_s, plain_s = [], []
    first = commit()
    receiving_cpu_s(sender, plainly, first)
    for _ in range(times):
        new = commit()
        before = receiver.cpu_s()
        spent = receiving_cpu_s(sender, ["sh", "-c", forced_command(receiver)], new)
        ours_s.append(spent + receiver.cpu_s() - before)
        plain_s.append(receiving_cpu_s(sender, plainly, new))
    return median(ours_s), median(plain_s)


class Contest:
    """All servers and senders of one run."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self._arguments = arguments
        self._folder = folder
        self._stack = stack
        self._count = 0
        self.sender = Replica(folder, 0)
        stack.callback(self.sender.close)
        numbers = range(1, arguments.servers + 1)
        self.receivers = receivers.start(folder, numbers, self.sender)
        for receiver in self.receivers:
            stack.callback(receiver.close)
        self._key = folder / "key"
        write_key(self.sender.key, self._key)

    def commit(self) -> CommitId:
        """Another small commit."""
        self._count += 1
        return self.sender.commit(f"192.0.2.{self._count % 250 + 1}")

    def pushes(self) -> tuple[list[Spent], list[Spent], list[float]]:
        """Both ways in turn; the first round warms up and is left out."""
        targets = [receiver.target for receiver in self.receivers]
        masters = Masters(
            self._folder / "m", self._key, {f"r{target.id}": target for target in targets}
        )
        self._stack.callback(masters.close)
        ours, theirs = Ours(self.sender, targets), GitPush(self.sender, masters)
        self._stack.callback(ours.replicator.close)
        ours_spent, git_spent = [], []
        for number in range(self._arguments.rounds + 1):
            spent = ours.send(self.commit()), theirs.send(self.commit())
            if number > 0:
                ours_spent.append(spent[0])
                git_spent.append(spent[1])
        alone = []
        for _ in range(self._arguments.rounds):
            commit = self.commit()
            began = monotonic()
            stream = self.sender.pool.open_command(targets[0], Verb.RECEIVE)
            self.sender.store.push(stream, {CLUSTER: commit})
            stream.close()
            alone.append(monotonic() - began)
        return ours_spent, git_spent, alone

    def ansible(self) -> float:
        """Seconds of Ansible: the median of some copies, after one that warms up."""
        public = public_line(self.sender.key)
        targets = {}
        for number in range(self._arguments.servers):
            sshd = PlainSshd(self._folder / f"sshd{number}", number, public)
            self._stack.callback(sshd.close)
            targets[f"a{number}"] = sshd.target
        masters = Masters(self._folder / "n", self._key, targets)
        self._stack.callback(masters.close)
        ansible = Ansible(self._arguments.ansible, masters, self._folder / "ansible")
        took = [ansible.send(f"ntp\n server 192.0.2.{n}\n") for n in range(1, 4)]
        return median(took[1:])


def run(arguments: argparse.Namespace) -> Figures:
    """Measure all."""
    arguments.ansible = find_ansible(arguments.ansible)
    with TemporaryDirectory(prefix="bqn-fan-") as folder, ExitStack() as stack:
        contest = Contest(arguments, Path(folder), stack)
        ours, theirs, alone = contest.pushes()
        times = max(arguments.rounds, 3)
        cost_s, plain_s = receiver_cost(
            contest.sender, contest.receivers[0], Path(folder), times, contest.commit
        )
        copied_s = contest.ansible()
    return tell(arguments.servers, ours, theirs, alone, cost_s, plain_s, copied_s)


def tell(
    servers: int,
    ours: list[Spent],
    theirs: list[Spent],
    alone: list[float],
    cost_s: float,
    plain_s: float,
    copied_s: float,
) -> Figures:
    """The figures in words, and as values."""
    wall_s, cpu_s = median(o.wall_s for o in ours), median(o.cpu_s for o in ours)
    git_wall_s, git_cpu_s = median(o.wall_s for o in theirs), median(o.cpu_s for o in theirs)
    figures.note(f"ours to {servers}: {wall_s:.3f} s, sender {cpu_s * 1000:.0f} ms CPU")
    figures.note(f"git push: {git_wall_s:.3f} s, sender {git_cpu_s * 1000:.0f} ms CPU")
    figures.note(f"Ansible: {copied_s:.2f} s")
    figures.note(f"receiver {cost_s * 1000:.1f} ms CPU, plain {plain_s * 1000:.1f} ms")
    figures.note(f"to one server alone: {median(alone) * 1000:.0f} ms")
    waves = math.ceil(MEMBERS / PARALLEL)
    return {
        "wall_vs_git": wall_s / git_wall_s,
        "sender_cpu_vs_git": cpu_s / git_cpu_s,
        "receiver_cpu_vs_plain": cost_s / plain_s,
        "wall_vs_ansible": wall_s / copied_s,
        "per_server_ms": cpu_s / servers * 1000,
        "projected_255_s": max(cpu_s / servers * MEMBERS, waves * median(alone)),
    }


def find_ansible(asked: str | None) -> str:
    """The program to compare with."""
    wanted = asked or os.environ.get("BQN_BENCH_ANSIBLE") or "ansible"
    found = shutil.which(wanted)
    if found is None:
        raise RivalMissing(
            f"{wanted} is missing: python3 -m venv DIR && DIR/bin/pip install ansible-core, "
            "then --ansible DIR/bin/ansible or BQN_BENCH_ANSIBLE"
        )
    return found


def main(words: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = figures.options(__doc__)
    parser.add_argument("--ansible", help="the program (else BQN_BENCH_ANSIBLE, else on PATH)")
    parser.add_argument("--servers", type=int, help=f"receivers ({SERVERS}; quick: 8)")
    parser.add_argument("--rounds", type=int, help=f"commits each way ({ROUNDS}; quick: 5)")
    arguments = parser.parse_args(words)
    arguments.servers = arguments.servers or (8 if arguments.quick else SERVERS)
    arguments.rounds = arguments.rounds or (5 if arguments.quick else ROUNDS)
    limit_s = _LIMIT_QUICK_S if arguments.quick else _LIMIT_S
    return figures.measure(lambda: run(arguments), limit_s)


if __name__ == "__main__":
    sys.exit(main())
