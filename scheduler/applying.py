"""Makes a commit the running configuration of this server, and sees when it is not.

What is applied is the server's effective text with its secrets opened, as a file that
only this program's account can read:

    running.conf    what is applied now (written whole, or not at all)
    working.conf    the last one that worked: what a failed apply goes back to
    outside.conf    what a change from outside looked like before it was overwritten
    running.json    what is known about all this

With an `apply_command` that command gets the file; without one, whoever reads
`running.conf` has it. Then the `health_command` has its say. A failure puts the working
file back, through the same command. The record says *applying* before anything is
touched, so an apply that was cut short anywhere is simply done again.

Core.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

from configrepo.errors import ConfigRepoError, StoreError
from configrepo.model import ServerId
from configrepo.revision import CommitId, RefUpdate
from scheduler.apply_plan import (
    NEVER,
    Apply,
    Count,
    Leave,
    ReadBack,
    Reading,
    Running,
    Unread,
    decide,
    is_settled,
    observe,
    running_from_json,
    running_to_json,
)
from scheduler.commands import Finished, run_command
from scheduler.outside import Trace, trace_of
from scheduler.state_dir import read_json, write_durably, write_json

PROVEN_FOR_S: Final = 30.0
"""For how long a hash that was read back tells what runs."""

_MOST_HASHES: Final = 16


class Texts(Protocol):
    """The texts of this server; `scheduler.running_text` makes them from the store."""

    def wanted(self, commit: CommitId) -> str:
        """The effective text at a commit: canonical, sealed with the current key."""
        ...

    def opened(self, sealed: str) -> str:
        """The same text with its secrets in clear."""
        ...

    def sealed(self, clear: bytes) -> str:
        """What was read back: canonical, sealed with the current key."""
        ...

    def key(self) -> str:
        """Which key is the current one."""
        ...


class Refs(Protocol):
    """What is needed of the store."""

    def ref(self, name: str) -> CommitId | None:
        """The commit that a ref points to."""
        ...

    def move(self, updates: tuple[RefUpdate, ...], reason: str) -> None:
        """Move refs, all or none."""
        ...


@dataclass(frozen=True, slots=True)
class ApplyCommands:
    """The operator's programs (argument lists, empty: none) and their time limit.

    `read_every_s`: `check` asks the device at most that often.
    """

    apply: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    timeout_s: float = 60.0
    read_every_s: float = 10.0
    who: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overwritten:
    """What ran before it was overwritten (canonical, sealed with the current key), and when."""

    at: datetime
    text: str


def text_hash(sealed: str) -> str:
    """The hash by which servers compare what they run: over sealed canonical text."""
    return hashlib.sha256(sealed.encode()).hexdigest()


class Applier:
    """Applies commits on this server, one at a time."""

    def __init__(
        self,
        state: Path,
        server: ServerId,
        refs: Refs,
        texts: Texts,
        commands: ApplyCommands,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        """Read the record of the last run.

        Args:
            state: the state directory.
            server: the id of this server.
            refs: where `refs/bqn/running/<id>` is moved.
            texts: the texts of this server.
            commands: the operator's programs.
            now: the wall clock, UTC; only shown, never decided upon.
            monotonic: the clock of all that counts down.
        """
        self._running_conf = state / "running.conf"
        self._working_conf = state / "working.conf"
        self._outside_conf = state / "outside.conf"
        self._record = state / "running.json"
        self._ref = f"refs/bqn/running/{server}"
        self._refs = refs
        self._texts = texts
        self._commands = commands
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._hashes: dict[tuple[bytes, str], ReadBack] = {}
        self._asked_at: float | None = None
        self._read_at: float | None = None
        self._unread = "it was not looked at yet"
        self._running = self._read_record()

    def running(self) -> Running:
        """What is known to run, without looking."""
        return self._running

    def proven(self) -> str | None:
        """The hash of what runs, if it was read back lately; else nothing is known of it."""
        read_at = self._read_at
        fresh = read_at is not None and self._monotonic() - read_at < PROVEN_FOR_S
        return self._running.hash if fresh else None

    def doubt(self) -> str:
        """Why it is not known what runs."""
        return f"what runs was not read back in the last {PROVEN_FOR_S:.0f} s: {self._unread}"

    def found(self) -> str:
        """What runs now: canonical, sealed with the current key.

        Raises:
            ConfigRepoError: it is no configuration; carries the problems.
            OSError: it cannot be read; the message says why.
        """
        if not self._commands.read:
            return self._texts.sealed(self._running_conf.read_bytes())
        done = run_command(self._commands.read, self._commands.timeout_s)
        if done.problem is not None:
            raise OSError(f"what runs cannot be read back: {done.problem}")
        return self._texts.sealed(done.output)

    def overwritten(self) -> Overwritten | None:
        """The last change from outside that was overwritten here, if there was one.

        Raises:
            ConfigRepoError: it is no configuration; carries the problems.
            OSError: it cannot be read; the message says why.
        """
        try:
            at = datetime.fromtimestamp(self._outside_conf.stat().st_mtime, UTC)
            return Overwritten(at, self._texts.sealed(self._outside_conf.read_bytes()))
        except FileNotFoundError:
            return None

    def trace(self) -> Trace:
        """Who changed what runs, and when, as far as the system knows."""
        file = None if self._commands.read else self._running_conf
        return trace_of(file, self._commands.who, self._commands.timeout_s)

    def check(self) -> Running:
        """Look at what runs, and say whether somebody changed it from outside."""
        with self._lock:
            now = self._monotonic()
            lately = self._asked_at is not None and (
                now - self._asked_at < self._commands.read_every_s
            )
            if self._commands.read and lately:
                return self._running
            self._asked_at = now
            self._remember(observe(self._running, self._worked(), self._read()))
            return self._running

    def apply(self, commit: CommitId, *, asked: bool = False) -> Running:
        """Make a commit the running configuration, as far as that is needed.

        Args:
            commit: what this server should run.
            asked: somebody asked: a failed apply is tried again, a drift is overwritten.

        Returns:
            What runs now and how it went; a failure is a result, not an exception.
        """
        with self._lock:
            if not asked and self._is_settled(commit):
                return self._running
            try:
                self._make_run(commit, asked)
            except OSError as error:
                sentence = f"{error.filename or 'the state directory'}: {error.strerror}"
                # Not a word about this commit is on disk: the next run tries again.
                self._running = replace(self._running, result="failed", sentence=sentence)
            return self._running

    def _is_settled(self, commit: CommitId) -> bool:
        if not is_settled(self._running, commit):
            return False
        return self._running.result == "failed" or self._refs.ref(self._ref) == commit

    def _make_run(self, commit: CommitId, asked: bool) -> None:
        try:
            sealed = self._texts.wanted(commit)
            wanted, clear = text_hash(sealed), self._texts.opened(sealed).encode()
        except ConfigRepoError as error:
            # Without a target it is prepared again next time: a missing key may still come.
            self._failed(None, f"the configuration cannot be prepared: {error}")
            return
        reading = self._read()
        last, failed = self._running, self._failed_before()
        match decide(last, commit, wanted, self._worked(), reading, asked=asked, failed=failed):
            case Leave(running):
                self._remember(running)
            case Count():
                self._counts(commit, reading, clear)
            case Apply(overwrites):
                if overwrites:
                    self._keep_outside()
                self._do_apply(commit, wanted, clear)

    def _do_apply(self, commit: CommitId, wanted: str, clear: bytes) -> None:
        self._remember(
            replace(self._running, result="applying", sentence="being applied", target=commit)
        )
        write_durably(self._running_conf, clear)
        problem = self._run_and_check()
        if problem is not None:
            self._failed(commit, f"{problem}; {self._go_back()}")
            return
        write_durably(self._working_conf, clear)
        reading = self._read()
        after = self._after(commit, wanted, reading)
        self._remember(replace(after, sentence=after.sentence + self._move_ref(commit)))

    def _after(self, commit: CommitId, wanted: str, reading: Reading) -> Running:
        fresh = Running("applied", "applied", commit, None, self._now())
        match reading:
            case Unread(sentence):
                return replace(fresh, sentence=f"applied; {sentence}")
            case ReadBack(found) if found == wanted:
                return replace(fresh, hash=found)
            case ReadBack(found, sentence):
                words = sentence or "it accepted the configuration, but runs another one"
                return replace(fresh, result="drifted", sentence=words, hash=found)

    def _counts(self, commit: CommitId, reading: Reading, clear: bytes) -> None:
        """Note that the commit runs already; nothing is applied."""
        found = reading.hash if isinstance(reading, ReadBack) else self._running.hash
        if not self._working_conf.exists() or self._working_conf.read_bytes() != clear:
            write_durably(self._working_conf, clear)
        at = self._running.applied_at or self._now()
        last = self._running
        same = last.result == "applied" and last.commit == commit
        sentence = last.sentence if same else "nothing changes on this server"
        sentence += self._move_ref(commit)
        self._remember(Running("applied", sentence, commit, found, at))

    def _run_and_check(self) -> str | None:
        for command in (self._commands.apply, self._commands.health):
            if command:
                argv = (
                    [*command, str(self._running_conf)]
                    if command is self._commands.apply
                    else (list(command))
                )
                done = run_command(argv, self._commands.timeout_s)
                if done.problem is not None:
                    return done.problem
        return None

    def _go_back(self) -> str:
        """Put the last working configuration back; say how that went."""
        if not self._working_conf.exists():
            return "there is no earlier configuration to go back to"
        write_durably(self._running_conf, self._working_conf.read_bytes())
        problem = self._run_and_check()
        if problem is not None:
            return f"going back to the last working configuration failed too: {problem}"
        return "the last working configuration was put back"

    def _failed(self, commit: CommitId | None, sentence: str) -> None:
        reading = self._read()
        found = reading.hash if isinstance(reading, ReadBack) else None
        self._remember(
            replace(self._running, result="failed", sentence=sentence, hash=found, target=commit)
        )

    def _read(self) -> Reading:
        """Read back what runs, and remember when."""
        match self._look():
            case Unread(sentence) as unread:
                self._unread = sentence
                return unread
            case reading:
                self._read_at = self._monotonic()
                return reading

    def _look(self) -> Reading:
        if not self._commands.read:
            try:
                return self._understood(self._running_conf.read_bytes())
            except FileNotFoundError:
                return ReadBack(None, "running.conf was removed from outside")
        done: Finished = run_command(self._commands.read, self._commands.timeout_s)
        if done.problem is not None:
            return Unread(f"what runs cannot be read back: {done.problem}")
        return self._understood(done.output)

    def _understood(self, clear: bytes) -> ReadBack:
        """The hash of a text; that of the same text and key is not taken twice."""
        place = hashlib.sha256(clear).digest(), self._texts.key()
        known = self._hashes.get(place)
        if known is None:
            try:
                known = ReadBack(text_hash(self._texts.sealed(clear)))
            except ConfigRepoError as error:
                known = ReadBack(None, f"what runs is not a configuration: {error}")
            if len(self._hashes) >= _MOST_HASHES:
                self._hashes.clear()
            self._hashes[place] = known
        return known

    def _worked(self) -> str | None:
        """The hash of the last text that worked, under the current key."""
        try:
            return self._understood(self._working_conf.read_bytes()).hash
        except FileNotFoundError:
            return None

    def _failed_before(self) -> str | None:
        """The hash that the commit wants whose apply failed, under the current key."""
        target = self._running.target
        if self._running.result != "failed" or target is None:
            return None
        try:
            return text_hash(self._texts.wanted(target))
        except ConfigRepoError:
            return None

    def _keep_outside(self) -> None:
        """Keep a change from outside before it is overwritten: sealed, if it can be read."""
        try:
            if self._commands.read:
                found = run_command(self._commands.read, self._commands.timeout_s).output
            else:
                found = self._running_conf.read_bytes()
        except FileNotFoundError:
            return
        with contextlib.suppress(ConfigRepoError):
            found = self._texts.sealed(found).encode()
        write_durably(self._outside_conf, found)

    def _move_ref(self, commit: CommitId) -> str:
        """Say in the repository what runs; returns what to add to the sentence if that fails.

        The next run counts the commit as running and tries it again.
        """
        try:
            old = self._refs.ref(self._ref)
            if old != commit:
                self._refs.move((RefUpdate(self._ref, old, commit),), "applied")
        except StoreError as error:
            return f" (but the repository does not take note: {error})"
        return ""

    def _remember(self, running: Running) -> None:
        if running.result == "drifted" and running.drifted_at is None:
            running = replace(running, drifted_at=self._now())
        if running != self._running:
            write_json(self._record, running_to_json(running))
            self._running = running

    def _read_record(self) -> Running:
        value = read_json(self._record)
        if value is None:
            return NEVER
        try:
            return running_from_json(value)
        except ValueError:
            return replace(NEVER, result="applying", sentence="running.json was damaged")
