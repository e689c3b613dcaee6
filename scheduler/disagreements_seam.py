"""What the page *Disagreements* asks: what a merge left open, and lines that are held.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from configrepo.conflicts import Entry
from configrepo.model import ServerId
from scheduler.views import CommitOutcome, FileChange, Person, Refused


@dataclass(frozen=True, slots=True)
class Choice:
    """How a person settles a value: *keep* what is there now, take the *other*, or *edit*.

    `text` is the edited value, as lines; empty removes the value.
    """

    side: Literal["keep", "other", "edit"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class OpenDisagreement:
    """A value that a merge applied while another one waits.

    `now` is what the newest commit has there; it differs from what was applied if somebody
    changed it since. `administrator`: only an administrator may settle it.
    """

    id: str
    title: str
    entry: Entry
    now: str | None
    administrator: bool


@dataclass(frozen=True, slots=True)
class HeldTerm:
    """A line of a term that is not taken in by itself.

    `commits` counts what `cluster` lacks, `changes` shows it against what both grew from;
    `kept` says that people decided to leave it as it is.
    """

    server: ServerId
    epoch: int
    head: str
    sentence: str
    commits: int
    subjects: tuple[str, ...]
    changes: tuple[FileChange, ...]
    kept: bool


@dataclass(frozen=True, slots=True)
class Disagreements:
    """Everything that waits. Held lines are judged by the primary: `leads` is this server's."""

    open: tuple[OpenDisagreement, ...]
    held: tuple[HeldTerm, ...]
    leads: bool


class DisagreementsDesk(Protocol):
    """What can be asked about disagreements."""

    def listed(self) -> Disagreements:
        """What is open and what is held, as this server sees it."""
        ...

    def settle(self, person: Person, entry: str, choice: Choice, request_id: str) -> CommitOutcome:
        """Settle one value: a commit that removes the entry, here or at the primary."""
        ...

    def accept(self, person: Person, head: str) -> CommitOutcome:
        """Take in a held line that ends in `head`; only at the primary."""
        ...

    def keep_held(self, person: Person, head: str) -> Refused | None:
        """Leave a held line as it is: it stays listed, its alarm is silent."""
        ...
