"""Sends what this primary knows to every other server, and fetches what they know.

Each run compares refs (`scheduler.push_plan`) and starts a push to every server that
lacks something and is due; at most `PARALLEL` at a time, each server at most once, and no
server waits for another. A push counts when the other end says that it is on its disk.
What a server has is learned by fetching from it at the first contact and after every
failure, so commits that this server lacks are brought along and can be merged. A failure
that rests on what was known before (of a server that meanwhile had another primary, or that
is back) says nothing about now: then it is looked at anew, at once.

Core.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Final

from configrepo.admission import CLUSTER
from configrepo.errors import (
    ConfigRepoError,
    DiskFull,
    StoreError,
    TooMuchAtOnce,
    TransferFailed,
)
from configrepo.model import ServerId
from configrepo.store import CommitId, Pushed, Store
from scheduler.authorized_keys import Verb
from scheduler.errors import KeyRefused, RemoteRefused, SchedulerError, Unreachable, WrongIdentity
from scheduler.push_plan import (
    EXCHANGED,
    RUNS_EVERY_S,
    ErrorClass,
    PushState,
    is_due,
    pause_s,
    plan_push,
    relayed,
    split,
    wanted_at,
)
from scheduler.receiving import DISK_FULL
from scheduler.ssh import SshPool, SshStream, SshTarget

PARALLEL: Final = 8
_OURS: Final = "BQN: "
_MOST_WORDS: Final = 300
TOO_LARGE: Final = "what was sent is larger than the other server unpacks"
_NO_ROOM: Final = ("No space left", "unable to create temporary object directory")
_LIMITS: Final = ("over limit", "Out of memory", "maximum allowed size")
"""Git's words where the gate's bounds on memory and size end it."""

Judge = Callable[[Store, Mapping[str, CommitId]], str | None]
"""Why what was fetched is not let in; None if it is."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seams:
    """What the replicator asks of the program around it.

    Attributes:
        targets: the other active members.
        leading: whether this server may send now.
        ahead: told that a server has refs which are not in this server's lines.
        writers: the members, also those that were removed: their lines are passed on.
        judge: says why what was fetched from a server is not let in; None if it is.
        now: the wall clock, UTC; only shown.
        jitter: a number from -1 to 1.
    """

    targets: Callable[[], Sequence[SshTarget]]
    leading: Callable[[], bool]
    ahead: Callable[[ServerId, Mapping[str, CommitId]], None]
    writers: Callable[[], Container[ServerId]]
    judge: Callable[[Store, ServerId, Mapping[str, CommitId]], str | None]
    now: Callable[[], datetime]
    jitter: Callable[[], float]


class Replicator:
    """Pushes to the other servers, level-triggered."""

    def __init__(self, store: Store, ssh: SshPool, seams: Seams) -> None:
        self._store = store
        self._ssh = ssh
        self._seams = seams
        self._changed = threading.Condition()
        self._looking = threading.Lock()
        self._seen_here: Mapping[str, CommitId] = {}
        self._states: dict[ServerId, PushState] = {}
        self._there: dict[ServerId, dict[str, CommitId]] = {}
        self._runs_due: dict[ServerId, float] = {}
        self._busy: set[ServerId] = set()
        self._again: set[ServerId] = set()
        self._woken: set[ServerId] = set()
        self._workers = ThreadPoolExecutor(PARALLEL, thread_name_prefix="push")

    def run(self) -> str:
        """Start what is due and return at once, with one sentence."""
        if not self._seams.leading():
            return "this server does not lead: nothing is sent"
        targets = self._seams.targets()
        self._forget_others({target.id for target in targets})
        here = self._look()
        started = [target for target in targets if self._start(target, here)]
        return f"sending to {len(started)} of {len(targets)} servers"

    def states(self) -> Mapping[ServerId, PushState]:
        """How sending to each server stands."""
        with self._changed:
            return dict(self._states)

    def wake(self, server: ServerId) -> None:
        """Look at a server again at the next run, whatever failed or was known before."""
        with self._changed:
            self._woken.add(server)
            self._there.pop(server, None)
            self._runs_due.pop(server, None)
            state = self._states.get(server)
            if state is not None:
                self._states[server] = replace(state, next_try=None, failures=0)

    def begin_anew(self, server: ServerId) -> None:
        """A server is back: whatever hangs since it was gone is broken off and begun again."""
        self.wake(server)
        self._ssh.forget(server)

    def wait_until_on(self, commit: CommitId, servers: int, timeout_s: float) -> int:
        """Wait until a commit is on the disks of that many other servers.

        Returns:
            On how many it is, when there are enough or the time is over.
        """
        end = monotonic() + timeout_s
        with self._changed:
            while True:
                heads = Counter(state.head for state in self._states.values())
                having = (n for head, n in heads.items() if head and self._grows(commit, head))
                count = sum(having)
                if count >= servers or not self._changed.wait(max(end - monotonic(), 0.0)):
                    return count

    def fetch_from(
        self, target: SshTarget, wanted: Sequence[str] = EXCHANGED, judge: Judge | None = None
    ) -> dict[str, CommitId]:
        """Bring the commits of another server here; no ref of this server moves.

        Args:
            target: the server.
            wanted: full ref names; one that ends with `/` stands for all refs below it.
            judge: says why what came is not let in; by default the rules of `Seams.judge`.

        Returns:
            Where that server has the wanted refs.

        Raises:
            SchedulerError: it cannot be reached, is not the right one, or refuses.
            StoreError: what came cannot be kept here.
        """
        with self._stream(target, Verb.UPLOAD) as stream:
            return self._store.fetch(
                stream,
                wanted,
                judge or (lambda view, found: self._seams.judge(view, target.id, found)),
            )

    def close(self) -> None:
        """Stop, and break off what is under way: it is found missing and sent again later."""
        self._ssh.close()
        self._workers.shutdown(wait=True, cancel_futures=True)

    # --- One server ----------------------------------------------------------------------

    def _start(self, target: SshTarget, here: Mapping[str, CommitId]) -> bool:
        with self._changed:
            state = self._states.setdefault(target.id, PushState(target.id))
            there = self._there.get(target.id)
            if not is_due(state, monotonic()):
                return False
            if there is not None and not self._must_send(target.id, here, there):
                return False
            if target.id in self._busy:
                self._again.add(target.id)
                return False
            self._busy.add(target.id)
        self._workers.submit(self._work, target)
        return True

    def _look(self) -> Mapping[str, CommitId]:
        """Read the refs of this server, for all workers: whoever moved one starts a run."""
        with self._looking:
            self._seen_here = relayed(self._store.refs(), self._seams.writers())
            return self._seen_here

    def _must_send(
        self, server: ServerId, here: Mapping[str, CommitId], there: Mapping[str, CommitId]
    ) -> bool:
        missing = {ref: at for ref, at in wanted_at(server, here).items() if there.get(ref) != at}
        urgent, later = split(missing)
        return bool(urgent) or (bool(later) and monotonic() >= self._runs_due.get(server, 0.0))

    def _work(self, target: SshTarget) -> None:
        """Send until there is nothing left to send, or something fails."""
        more = True
        try:
            while more:
                sent = self._seams.leading() and self._send(target)
                more = self._goes_on(target.id, sent)
        except Exception as error:  # noqa: BLE001 (else it would go on looking as if all was sent)
            _log.exception("sending to server %d failed", target.id)
            words = f"a fault of this program stopped it ({type(error).__name__}): see its log"
            self._fail(target.id, ErrorClass.NETWORK, words)
        finally:
            with self._changed:
                self._busy.discard(target.id)

    def _goes_on(self, server: ServerId, sent: bool) -> bool:
        """Whether to look again; if not, the next run may start this server anew."""
        with self._changed:
            state = self._states.get(server)
            asked = server in self._again and state is not None and state.ok
            self._again.discard(server)
            if not (sent or asked):
                self._busy.discard(server)
            return sent or asked

    def _send(self, target: SshTarget) -> bool:
        """Send what a server lacks; returns whether to look again at once."""
        with self._changed:
            self._woken.discard(target.id)
            remembered = target.id in self._there
        try:
            return self._compare_and_push(target)
        except (SchedulerError, ConfigRepoError) as error:
            if self._overtaken(target.id, remembered and isinstance(error, RemoteRefused)):
                return True
            self._fail(target.id, class_of(error), str(error))
            return False

    def _overtaken(self, server: ServerId, outdated: bool) -> bool:
        """Whether a failure rests on what was known before; that is forgotten then."""
        with self._changed:
            overtaken = outdated or server in self._woken
            if overtaken:
                self._there.pop(server, None)
            return overtaken

    def _compare_and_push(self, target: SshTarget) -> bool:
        with self._changed:
            there = self._there.get(target.id)
        if there is None:
            there = self.fetch_from(target)
        plan = plan_push(target.id, self._seen_here, there, self._grows)
        if plan.ahead:
            self._seams.ahead(target.id, plan.ahead)
        urgent, later = split(plan.updates)
        if urgent:
            return self._push(target, there, self._store.slice_of(urgent, there))
        if CLUSTER in plan.ahead:
            return self._joined(target.id, plan.ahead[CLUSTER])
        # What it is ahead of counts as seen, so that it is not compared again and again.
        seen = {ref: self._store.ref(ref) or commit for ref, commit in plan.ahead.items()}
        self._succeed(target.id, {**there, **seen})
        self._push_runs(target, {**there, **seen}, later)
        return False

    def _joined(self, server: ServerId, head: CommitId) -> bool:
        """Whether what a server had beside this one was joined meanwhile: then look again."""
        cluster = self._store.ref(CLUSTER)
        if cluster is not None and self._grows(head, cluster):
            self._look()
            return True
        words = f"server {server} has commits that must be merged here first"
        self._fail(server, ErrorClass.REFUSED, words)
        return False

    def _push_runs(
        self, target: SshTarget, there: Mapping[str, CommitId], later: Mapping[str, CommitId]
    ) -> None:
        """Send what ran where, if it is time; that it fails must not delay any commit."""
        with self._changed:
            if not later or monotonic() < self._runs_due.get(target.id, 0.0):
                return
            self._runs_due[target.id] = monotonic() + RUNS_EVERY_S
        try:
            self._push(target, there, later)
        except RemoteRefused as error:
            _log.warning("server %d does not take what ran where: %s", target.id, error)

    def _push(
        self,
        target: SshTarget,
        there: Mapping[str, CommitId],
        updates: Mapping[str, CommitId],
    ) -> bool:
        with self._stream(target, Verb.RECEIVE) as stream:
            pushed = self._store.push(stream, updates)
        if not pushed.done:
            raise failure_of(target.id, pushed)
        if not updates.items() <= pushed.acknowledged.items():
            raise Unreachable(
                f"server {target.id} took the commits but did not say that they are on its disk"
            )
        self._succeed(target.id, {**there, **updates})
        return True

    @contextmanager
    def _stream(self, target: SshTarget, verb: Verb) -> Iterator[SshStream]:
        """A command at another server; a transfer that fails is told in the words of its gate."""
        stream = self._ssh.open_command(target, verb)
        try:
            yield stream
        except TooMuchAtOnce:
            raise
        except TransferFailed as error:
            said = stream.complaint()
            if said.startswith(_OURS):
                raise RemoteRefused(_shown(said.removeprefix(_OURS))) from error
            raise Unreachable(f"server {target.id}: {error}") from error
        finally:
            stream.close()

    # --- What came of it -----------------------------------------------------------------

    def _succeed(self, server: ServerId, there: dict[str, CommitId]) -> None:
        with self._changed:
            self._there[server] = there
            self._states[server] = PushState(
                server,
                head=there.get(CLUSTER),
                sentence="everything was sent and is on its disk",
                last_success=self._seams.now(),
            )
            self._changed.notify_all()

    def _fail(self, server: ServerId, error_class: ErrorClass, sentence: str) -> None:
        _log.warning("sending to server %d failed (%s): %s", server, error_class, sentence)
        with self._changed:
            self._there.pop(server, None)
            state = self._states.get(server, PushState(server))
            failures = state.failures + 1
            pause = pause_s(error_class, failures, self._seams.jitter())
            self._states[server] = replace(
                state,
                ok=False,
                sentence=sentence,
                error_class=error_class,
                failures=failures,
                next_try=monotonic() + pause,
            )
            self._changed.notify_all()

    def _forget_others(self, members: set[ServerId]) -> None:
        with self._changed:
            gone = self._states.keys() - members
            for server in gone:
                del self._states[server]
                self._there.pop(server, None)
                self._runs_due.pop(server, None)
        for server in gone:
            self._ssh.forget(server)

    def _grows(self, older: CommitId, newer: CommitId) -> bool:
        """Whether `newer` grew from `older`; no, where one of them is not here."""
        if not (self._store.has(older) and self._store.has(newer)):
            return False
        return self._store.is_ancestor(older, newer)


def class_of(error: SchedulerError | ConfigRepoError) -> ErrorClass:
    """Whose fault a failed push is."""
    match error:
        case WrongIdentity() | KeyRefused():
            return ErrorClass.AUTH
        case RemoteRefused() if str(error).startswith(DISK_FULL):
            return ErrorClass.DISK
        case RemoteRefused():
            return ErrorClass.REFUSED
        case DiskFull():
            return ErrorClass.DISK
        case StoreError():
            return ErrorClass.REFUSED
    return ErrorClass.NETWORK


def failure_of(server: ServerId, pushed: Pushed) -> SchedulerError:
    """Why refs did not move: refused by its rules, or by git, which may pass by itself.

    Git refuses when somebody else holds or moves the same ref at that moment, as a server
    does that fetches by itself.
    """
    said = refusal_of(pushed)
    ours = any(line.startswith(_OURS) for line in pushed.messages)
    if ours or said.startswith((DISK_FULL, TOO_LARGE)):
        return RemoteRefused(said)
    return Unreachable(f"git on server {server} did not move the refs: {said}")


def refusal_of(pushed: Pushed) -> str:
    """The other server's own sentence, else what git said."""
    for line in pushed.messages:
        if line.startswith(_OURS):
            return _shown(line.removeprefix(_OURS))
    said = "; ".join(sorted({*pushed.refused.values()}))
    if any(words in line for line in (*pushed.messages, said) for words in _NO_ROOM):
        return _shown(f"{DISK_FULL} there, or not writable: free some space on it ({said})")
    large = next((line for line in pushed.messages if any(w in line for w in _LIMITS)), None)
    if large is not None:
        return _shown(f"{TOO_LARGE}: {large.removeprefix('fatal: ')}")
    return _shown(said)


def _shown(foreign: str) -> str:
    """Words of another server, safe to show and not endless."""
    return "".join(c if c.isprintable() else " " for c in foreign)[:_MOST_WORDS].strip()
