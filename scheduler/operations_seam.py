"""Operations on the members of the cluster, as the pages ask for them.

An operation is a value. It is looked at first (`preview`: what it will do, which secrets
it concerns, what is committed) and then carried out against the commit that was looked
at, so that nothing is done that was not seen. Times are UTC as `2026-11-22T15:00:00Z`.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from configrepo.cluster_settings import Pause
from configrepo.members import Member, SeenFrom
from configrepo.model import ServerId
from scheduler.views import CommitOutcome, Comparison, Person, Refused


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a server out of the cluster; asked at that server itself it is *Leave*."""

    server: ServerId


@dataclass(frozen=True, slots=True)
class ChangeId:
    """Give a server another id."""

    server: ServerId
    new_id: ServerId


@dataclass(frozen=True, slots=True)
class ChangeAddress:
    """Change where a server is dialled; `seen_from` replaces all overrides."""

    server: ServerId
    address: str
    ssh_port: int
    control_port: int
    seen_from: tuple[SeenFrom, ...] = ()


@dataclass(frozen=True, slots=True)
class Switchover:
    """Let a chosen server lead; `until` "" is until somebody switches back."""

    to: ServerId
    reason: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class SwitchBack:
    """Let the election choose again among all."""


@dataclass(frozen=True, slots=True)
class PauseAutomation:
    """Nothing takes the lead back and no rollout goes on until it is resumed."""

    reason: str
    remind: str


@dataclass(frozen=True, slots=True)
class ResumeAutomation:
    """End the pause."""


Operation = (
    Remove | ChangeId | ChangeAddress | Switchover | SwitchBack | PauseAutomation | ResumeAutomation
)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an operation will do.

    Attributes:
        operation: the operation.
        title: what it is, in a few words.
        effects: what will happen, one sentence each.
        secrets: path and key of every secret that the removed server knew.
        comparison: what is committed, against the newest commit.
    """

    operation: Operation
    title: str
    effects: tuple[str, ...]
    secrets: tuple[tuple[str, str], ...]
    comparison: Comparison


class Operations(Protocol):
    """The part of the desk for operations on members."""

    def members(self) -> tuple[Member, ...]:
        """All records, those of removed servers included, by id, as they are committed."""
        ...

    def pause(self) -> Pause | None:
        """The pause of automation, if there is one."""
        ...

    def preview(self, person: Person, operation: Operation) -> Preview | Refused:
        """What it would do now, or why it is not possible."""
        ...

    def carry_out(
        self, person: Person, operation: Operation, base: str, request_id: str
    ) -> CommitOutcome:
        """Do it, here or at the primary; `base` is the head that the preview showed."""
        ...
