"""Commits and merges in processes that are killed, and checks what they have left.

    python -m tests.faults.killed_process FOLDER ACT

ACT is `commit` or `merge`. Each line read forks a process that does it; its id is printed,
it starts with the next line, its end is said, and after one more line another one says what
came of it: `fine`, or what is wrong. `fine` comes with `kept` if what was under way is there,
and with `acknowledged` if it was said to be.

Edge: files, processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from configrepo import durable
from tests.support.cut_world import cluster_of

Facts = tuple[bool, bool]


class World:
    """Two servers; each turn prepares something, has it done in a fork, and goes on itself."""

    def __init__(self, folder: Path) -> None:
        self.zero, self.one = cluster_of(folder, 0, 1)
        self.turn = 0
        self.zero.lead(2)

    def commit(self) -> Facts:
        """BQN 0 commits in a process that may be killed; then it commits again."""
        before = self.zero.head
        acknowledged = self._forked(lambda: self.zero.commit(self._change("a")))
        kept = self.zero.head != before
        if kept:
            assert self.zero.store.revision(self.zero.head).parents == (before,)
            assert self._change("a").items() <= self.zero.files().items()
        assert kept or not acknowledged, "acknowledged and not there"
        self._clean()
        after = self.zero.head
        later = self.zero.commit(self._change("b"))
        assert self.zero.store.is_ancestor(after, later)
        return kept, acknowledged

    def merge(self) -> Facts:
        """Two lines are joined in a process that may be killed; then it is finished here."""
        self.zero.lead(10 * self.turn)
        self.one.lead(10 * self.turn + 1)
        mine, theirs = self.zero.commit(self._change("a")), self.one.commit(self._change("c"))
        self.one.follow()
        self.zero.time += 10_000.0
        self.zero.lead(10 * self.turn + 2)

        self.zero.fetch(self.one)
        acknowledged = self._forked(self._join)
        kept = self.zero.head != mine
        assert self.zero.has(mine)
        self._clean()
        self.zero.restart()
        self.zero.fetch(self.one)
        self._join()
        assert self.zero.has(mine), "a commit of this side was lost"
        assert self.zero.has(theirs), "a commit of the other side was lost"
        assert self.zero.open() == ()
        assert self.zero.push_to(self.one)
        assert self.zero.head == self.one.head
        return kept, acknowledged

    def _join(self) -> None:
        self.zero.healing.run()

    def _change(self, what: str) -> dict[str, str | None]:
        name = f"{what}-{self.turn}"
        path = f"common/policy/rate/{name}.conf"
        return {path: f"policy rate {name}\n downlink rate {self.turn}\n"}

    def _clean(self) -> None:
        """Start again, an hour later."""
        path = self.zero.store.path
        for left in path.rglob("*"):
            if left.suffix == ".lock" or "tmp_" in left.name:
                os.utime(left, (1, 1))
        durable.recover(path)
        assert [*path.rglob("*.lock")] == []
        assert self.zero.store.fsck(connectivity_only=True) is None

    def _forked(self, act: Callable[[], object]) -> bool:
        """Whether the act returned in a process of its own."""
        waits, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(waits, 1)
            try:
                act()
            except BaseException:  # noqa: BLE001 (whatever it is, it was not acknowledged)
                os._exit(1)
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
        os.write(go, b"x")
        _, status = os.waitpid(child, 0)
        # A git that it started may go on; only the one who injects sees its end.
        print("ended", flush=True)
        sys.stdin.readline()
        os.close(waits)
        os.close(go)
        return status == 0


def main(folder: Path, act: str) -> None:
    """Take turns until the input ends."""
    world = World(folder)
    turns = {"commit": world.commit, "merge": world.merge}
    for _ in iter(sys.stdin.readline, ""):
        world.turn += 1
        try:
            kept, acknowledged = turns[act]()
        except AssertionError as error:
            print(f"wrong: {error!r}", flush=True)
        else:
            words = ("kept" if kept else "", "acknowledged" if acknowledged else "")
            print(" ".join(("fine", *words)).strip(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
