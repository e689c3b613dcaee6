"""Whose turn it is: one canary server applies a staged commit first, the others wait.

A commit is staged by its trailers `Canary: <id>` and `Canary-Pause: <seconds>`. Rules:

1. The canary applies it at once. So does everybody if the canary is no member any more.
2. Every other server waits until the canary reported, for the whole pause without a gap,
   that it runs the commit (or one that grew from it) and that its health command agreed.
3. If the canary failed it, nobody else applies it: that is an alarm, and a person decides.
   If the canary does not answer or was changed from outside, the others go on waiting.
4. What was committed before a staged commit that waits is applied meanwhile.
5. `Canary: none` says *all at once*: with it and what came before nobody waits any more.
   A later commit releases an earlier one as soon as the canary runs it well (rule 2).
6. A server that runs nothing yet waits for nobody: it has nothing to stay on.

It knows neither clocks nor the repository; facts come in as values.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from configrepo.model import ServerId
from configrepo.revision import CommitId

CANARY: Final = "Canary"
PAUSE: Final = "Canary-Pause"
LONGEST_PAUSE_S: Final = 86_400
_NOBODY: Final = "none"


@dataclass(frozen=True, slots=True)
class Staging:
    """One canary first, the rest after a pause; without a canary: all at once."""

    canary: ServerId | None
    pause_s: int = 0

    @property
    def trailers(self) -> dict[str, str]:
        """As it stands in the commit."""
        if self.canary is None:
            return {CANARY: _NOBODY}
        return {CANARY: str(self.canary), PAUSE: str(self.pause_s)}


def staging_of(trailers: Mapping[str, str]) -> Staging | None:
    """How a commit is staged; None if it says nothing that can be understood."""
    canary, pause = trailers.get(CANARY, ""), trailers.get(PAUSE, "0")
    if canary == _NOBODY:
        return Staging(None)
    if not _number(canary, 255) or not _number(pause, LONGEST_PAUSE_S):
        return None
    return Staging(ServerId(int(canary)), int(pause))


def _number(text: str, highest: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= highest


@dataclass(frozen=True, slots=True)
class Step:
    """A commit on the way from what runs here to the newest one."""

    commit: CommitId
    staging: Staging | None = None


CanaryState = Literal["healthy", "failed", "drifted", "not yet", "silent", "gone"]


@dataclass(frozen=True, slots=True)
class CanarySeen:
    """What is known of the canary of one commit; `healthy_s` is for how long it was healthy."""

    state: CanaryState
    healthy_s: float = 0.0
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What this server applies now; `held` is the commit that it waits with.

    `target` is None only if nothing runs here that could be stayed on.
    """

    target: CommitId | None
    held: CommitId | None = None
    sentence: str = ""
    stopped: bool = False


def turn_of(
    me: ServerId,
    runs: CommitId | None,
    steps: Sequence[Step],
    seen: Mapping[CommitId, CanarySeen],
) -> Turn:
    """Decide what this server may apply now.

    Args:
        me: this server.
        runs: the commit that runs here.
        steps: what was committed since, oldest first; the last one is the newest commit.
        seen: what is known of the canary of each staged step.
    """
    if not steps:
        return Turn(runs)
    newest = steps[-1].commit
    if runs is None:
        return Turn(newest)
    allowed = runs
    for step in _after_release(steps):
        waits = _waits(me, step, seen)
        if waits is not None:
            return Turn(allowed, step.commit, waits.sentence, waits.stopped)
        allowed = step.commit
    return Turn(newest)


def _after_release(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps that count: from the last *all at once* on."""
    released = [
        number for number, step in enumerate(steps) if step.staging and step.staging.canary is None
    ]
    return steps[released[-1] :] if released else steps


def _waits(me: ServerId, step: Step, seen: Mapping[CommitId, CanarySeen]) -> Turn | None:
    """Why a step waits, or None if it does not."""
    staging = step.staging
    if staging is None or staging.canary is None or staging.canary == me:
        return None
    found = seen.get(step.commit, CanarySeen("silent"))
    passed = found.state == "healthy" and found.healthy_s >= staging.pause_s
    if found.state == "gone" or passed:
        return None
    sentence = _sentence(step.commit[:10], f"BQN {staging.canary}", staging.pause_s, found)
    return Turn(None, step.commit, sentence, found.state == "failed")


def _sentence(commit: str, canary: str, pause_s: int, found: CanarySeen) -> str:
    waits = f"It waits with revision {commit}"
    match found.state:
        case "healthy":
            return (
                f"{waits} for the canary {canary}, which runs it well: "
                f"{int(found.healthy_s)} of {pause_s} s."
            )
        case "failed":
            return (
                f"Revision {commit} failed on the canary {canary} and is applied nowhere else: "
                f"{found.sentence}. Roll back, or commit a better one."
            )
        case "drifted":
            return (
                f"{waits}: the canary {canary} was changed from outside. Restore it or adopt "
                "the change."
            )
        case "not yet":
            return f"{waits} until the canary {canary} has applied it."
        case _:
            return (
                f"{waits}: the canary {canary} does not answer. To go on without it, commit "
                "for all servers at once."
            )
