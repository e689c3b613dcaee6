"""Servers that receive: real repository, sshd, gate, hooks and receiver, a process each.

Each is forked, tells where it answers, and says on request how much CPU its program has
used (not that of sshd and of what sshd starts). It ends with its pipe.

Edge: processes.
"""

from __future__ import annotations

import multiprocessing
import resource
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from time import process_time

from scheduler.ssh import SshTarget
from tests.support.replicas import Replica

_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Receiving:
    """One receiver that runs."""

    target: SshTarget
    state: Path
    pipe: Connection
    process: ForkProcess

    def cpu_s(self) -> float:
        """CPU seconds of its program and of the git processes that this one ran."""
        self.pipe.send("cpu")
        used: float = self.pipe.recv()
        return used

    def close(self) -> None:
        """Stop it."""
        self.pipe.send("stop")
        self.process.join(_STOP_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def start(folder: Path, numbers: range, sender: Replica) -> list[Receiving]:
    """Start receivers that follow `sender`. To be called before any thread is started."""
    context = multiprocessing.get_context("fork")
    begun = []
    for number in numbers:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(folder, number, sender, theirs))
        process.start()
        theirs.close()
        begun.append((number, ours, process))
    return [
        Receiving(ours.recv(), folder / f"server{number}", ours, process)
        for number, ours, process in begun
    ]


def _serve(folder: Path, number: int, sender: Replica, pipe: Connection) -> None:
    replica = Replica(folder, number)
    try:
        replica.listen(sender)
        replica.follow(sender)
        pipe.send(replica.target())
        while pipe.recv() == "cpu":
            pipe.send(program_cpu_s())
    except EOFError:
        pass
    finally:
        replica.close()
        pipe.close()


def program_cpu_s() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime
