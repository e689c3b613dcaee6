"""Fetches lines of another server and moves them here, under the rules of a push.

It is used where the writer of a line cannot or need not push: the primary collects what
the others ran, and a server that the primary cannot reach fetches what it lacks. What is
fetched waits in a directory of its own until it is judged as if the other server had
pushed it (`scheduler.receiving`); a line only grows, and a refusal is told in a sentence.
What is too much at a time (after a long absence) is fetched line by line: the terms from the
oldest on, each of which brings one more part of the history, `cluster` after them.

Core: the network is behind a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final, Protocol

from configrepo.admission import CLUSTER, Admitted, Denied
from configrepo.errors import NotFound, TooMuchAtOnce
from configrepo.model import ServerId
from configrepo.revision import CommitId, RefUpdate
from configrepo.store import Store
from scheduler.errors import RemoteRefused
from scheduler.push_plan import RUNS, TERMS, relayed
from scheduler.ssh import SshTarget

_NONE: Final = "0" * 40


class Fetch(Protocol):
    """Brings commits of another server here; no ref moves."""

    def __call__(
        self,
        target: SshTarget,
        wanted: Sequence[str],
        judge: Callable[[Store, Mapping[str, CommitId]], str | None],
    ) -> dict[str, CommitId]:
        """Where that server has the wanted refs."""
        ...


class Judge(Protocol):
    """Decides whether refs may move, as if a server had pushed them."""

    def __call__(self, view: Store, peer: ServerId, lines: Sequence[str]) -> Admitted | Denied:
        """`lines` are `<old> <new> <ref>` each."""
        ...


class Puller:
    """Pulls for one server."""

    def __init__(
        self,
        store: Store,
        fetch: Fetch,
        judge: Judge,
        judge_rest: Callable[[Store, ServerId, Mapping[str, CommitId]], str | None],
        writers: Callable[[], Container[ServerId]],
        on_pulled: Callable[[ServerId, tuple[str, ...]], None],
    ) -> None:
        """Nothing is fetched yet.

        Args:
            store: the repository of this server.
            fetch: goes to the other server.
            judge: decides about what moves.
            judge_rest: says why what comes along but does not move is not let in: nothing
                is kept here that was not judged.
            writers: the other members, also those that were removed: their lines are taken.
            on_pulled: told who gave which refs, after they are on the disk.
        """
        self._store = store
        self._fetch = fetch
        self._judge = judge
        self._judge_rest = judge_rest
        self._writers = writers
        self._on_pulled = on_pulled

    def pull(self, target: SshTarget, wanted: Sequence[str]) -> tuple[str, ...]:
        """Fetch refs and move those that grew (what runs: that differ); returns their names.

        Raises:
            SchedulerError: the server cannot be reached, is not the right one, or what it
                gives is not let in.
            StoreError: what came cannot be kept here.
        """
        try:
            return self._pull(target, wanted)
        except TooMuchAtOnce as error:
            if len(error.found) < 2:
                raise
            lines = sorted(error.found, key=_oldest_first)
        return tuple(moved for line in lines for moved in self._pull(target, (line,)))

    def _pull(self, target: SshTarget, wanted: Sequence[str]) -> tuple[str, ...]:
        moves: list[RefUpdate] = []

        def judge(view: Store, found: Mapping[str, CommitId]) -> str | None:
            moves[:] = self._moves(view, found)
            moving = {move.ref for move in moves}
            rest = {
                ref: at
                for ref, at in found.items()
                if ref not in moving and not self._store.has(at)
            }
            refusal = self._judge_rest(view, target.id, rest) if rest else None
            if refusal is not None or not moves:
                return refusal
            lines = [f"{move.old or _NONE} {move.new} {move.ref}" for move in moves]
            decision = self._judge(view, target.id, lines)
            return decision.sentence if isinstance(decision, Denied) else None

        found = self._fetch(target, wanted, judge)
        if not moves:
            # All commits were here already, so nothing came that had to be judged.
            refusal = judge(self._store, found)
            if refusal is not None:
                raise RemoteRefused(f"what server {target.id} has is not let in: {refusal}")
        if not moves:
            return ()
        self._store.move(moves, f"fetched from server {target.id}")
        pulled = tuple(move.ref for move in moves)
        self._on_pulled(target.id, pulled)
        return pulled

    def _moves(self, view: Store, found: Mapping[str, CommitId]) -> list[RefUpdate]:
        moves = []
        for ref, new in sorted(relayed(found, self._writers()).items()):
            old = self._store.ref(ref)
            if old != new and (old is None or ref.startswith(RUNS[0]) or _grows(view, old, new)):
                moves.append(RefUpdate(ref, old, new))
        return moves


def _oldest_first(ref: str) -> tuple[int, str]:
    """Terms in their order, other lines, `cluster`; what ran where needs all of them."""
    if ref.startswith(TERMS):
        return 0, ref
    if ref.startswith(RUNS):
        return 3, ref
    return (2, ref) if ref == CLUSTER else (1, ref)


def _grows(view: Store, old: CommitId, new: CommitId) -> bool:
    try:
        return view.is_ancestor(old, new)
    except NotFound:
        return False
