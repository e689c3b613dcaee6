"""What the connectivity doctor can be asked, and the values that it answers with.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from configrepo.model import ServerId
from scheduler.findings import Pair
from scheduler.firewall_rules import Rule
from scheduler.views import Person, Reach, Refused

Stage = Literal["none", "running", "done", "cancelled"]


@dataclass(frozen=True, slots=True)
class Line:
    """One exception, or several that are the same: who does not reach whom, and what to do.

    `what` is "control port", "SSH", or "doctor" where a server could not be asked. With
    `harmless` the servers were reached. `pairs` counts the pairs that it stands for.
    """

    what: str
    cause: str
    harmless: bool
    sources: tuple[ServerId, ...]
    targets: tuple[ServerId, ...]
    sentence: str
    advice: str
    rules: tuple[Rule, ...] = ()

    @property
    def pairs(self) -> int:
        """How many directed pairs it stands for."""
        both = len({*self.sources} & {*self.targets})
        return len(self.sources) * len(self.targets) - both


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found: how many pairs are fine in both checks, and the exceptions.

    `untried` counts pairs without a result (a server could not be asked, or cancelled).
    `matrix` holds the pairs by (source, target), empty where there are too many to look at.
    """

    ok: int
    untried: int
    lines: tuple[Line, ...]
    servers: tuple[ServerId, ...] = ()
    matrix: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class DoctorView:
    """The run that goes on, or the last one. `done` of `total` directed pairs were tried."""

    stage: Stage
    sentence: str
    done: int
    total: int
    by: str
    began: datetime | None
    ended: datetime | None
    diagnosis: Diagnosis


class DoctorRoom(Protocol):
    """Everything that the page *Connectivity* may ask."""

    def view(self) -> DoctorView:
        """The run that goes on, or the last one; also after a restart."""
        ...

    def start(self, person: Person) -> Refused | None:
        """Try all pairs, from every server; refused while a run goes on."""
        ...

    def cancel(self, person: Person) -> None:
        """End the run; what was found is kept."""
        ...

    def check_address(
        self, person: Person, address: str, control_port: int, ssh_port: int
    ) -> tuple[Reach, ...]:
        """Try an address, in both directions where its server answers; nothing is set up."""
        ...
