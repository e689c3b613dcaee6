"""When a commit is applied, when it only counts as applied, and when hands stay off.

Rules:

1. An apply that was cut short is done again: nobody knows how far it came.
2. A commit whose apply failed is not tried again by itself, only when somebody asks; nor
   is one that wants the same of this server (a term that begins, a change of another one).
3. What runs already is what the commit wants: nothing is applied.
4. The commit wants what was applied last, but something else runs: somebody changed it
   from outside. It is shown as drifted and left alone until somebody asks to restore it.
5. Everything else is applied.

Hashes are taken over sealed canonical text; the clear text is not known here. They change
when the cluster's key does, so what was applied is hashed anew each time, never remembered.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from configrepo.revision import CommitId

Result = Literal["never", "applying", "applied", "failed", "drifted"]


@dataclass(frozen=True, slots=True)
class Running:
    """What runs on this server, as it last knew.

    `commit` is the last commit that was applied and worked, `hash` that of what runs now
    (as far as it can be read back). `target` is the commit that is being applied or that
    failed. `sentence` is what people are shown. `drifted_at` is when a change from outside
    was first seen.
    """

    result: Result
    sentence: str
    commit: CommitId | None = None
    hash: str | None = None
    applied_at: datetime | None = None
    target: CommitId | None = None
    drifted_at: datetime | None = None


NEVER = Running("never", "nothing was applied on this server yet")


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What runs could be read: its hash, or None if it is not a configuration (`sentence`)."""

    hash: str | None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """What runs could not be asked; nothing is known about it."""

    sentence: str


Reading = ReadBack | Unread


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply the commit. `overwrites` tells that a change from outside gets lost by it."""

    overwrites: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """The commit runs already: only say so."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Do nothing; `running` is what is shown from now on."""

    running: Running


Plan = Apply | Count | Leave


def is_settled(last: Running, target: CommitId) -> bool:
    """Whether there is nothing to decide about a commit, unless somebody asks."""
    if last.result in ("applied", "drifted"):
        return last.commit == target
    return last.result == "failed" and last.target == target


def decide(
    last: Running,
    target: CommitId,
    wanted: str,
    worked: str | None,
    reading: Reading,
    *,
    asked: bool = False,
    failed: str | None = None,
) -> Plan:
    """Decide what to do about a commit.

    Args:
        last: what was recorded last.
        target: the commit that this server should run.
        wanted: the hash of this server's effective text at `target`.
        worked: the hash of the last text that was applied and worked, if there is one.
        reading: what runs now.
        asked: somebody asked to try again, or to restore.
        failed: the hash that the commit wants whose apply failed last, if it is known.
    """
    if last.result == "applying":
        return Apply()
    if not asked and last.result == "failed" and (last.target == target or failed == wanted):
        return Leave(replace(last, target=target))
    if isinstance(reading, ReadBack) and reading.hash == wanted:
        return Count()
    if last.result in ("applied", "drifted") and worked == wanted and not asked:
        return Count() if isinstance(reading, Unread) else Leave(observe(last, worked, reading))
    drifted = isinstance(reading, ReadBack) and reading.hash != worked
    return Apply(overwrites=drifted and worked is not None)


def observe(last: Running, worked: str | None, reading: Reading) -> Running:
    """What is shown after looking at what runs, with no commit to apply."""
    if last.result not in ("applied", "drifted") or isinstance(reading, Unread):
        return last
    if reading.hash == worked:
        return _seen(last, "applied", "what runs is what was applied", reading.hash)
    words = reading.sentence or "what runs was changed from outside"
    return _seen(last, "drifted", words, reading.hash)


def _seen(last: Running, result: Result, sentence: str, found: str | None) -> Running:
    if last.result == result:
        sentence = last.sentence
    since = last.drifted_at if result == "drifted" else None
    return replace(
        last, result=result, sentence=sentence, hash=found, target=None, drifted_at=since
    )


def running_to_json(running: Running) -> dict[str, Any]:
    """The record as it is kept in `running.json`."""
    return {
        "result": running.result,
        "sentence": running.sentence,
        "commit": running.commit,
        "hash": running.hash,
        "applied_at": None if running.applied_at is None else running.applied_at.isoformat(),
        "target": running.target,
        "drifted_at": None if running.drifted_at is None else running.drifted_at.isoformat(),
    }


def running_from_json(value: Any) -> Running:
    """Read `running.json`.

    Raises:
        ValueError: it is not such a record.
    """
    try:
        at, drifted_at = value["applied_at"], value.get("drifted_at")
        result: Result = value["result"]
        if result not in ("never", "applying", "applied", "failed", "drifted"):
            raise ValueError(result)
        return Running(
            result=result,
            sentence=str(value["sentence"]),
            commit=value["commit"],
            hash=value["hash"],
            applied_at=None if at is None else datetime.fromisoformat(at),
            target=value["target"],
            drifted_at=None if drifted_at is None else datetime.fromisoformat(drifted_at),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of what runs: {error}") from error
