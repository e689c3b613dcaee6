"""Open disagreements and held lines in memory, for pages."""

from __future__ import annotations

from dataclasses import replace

from configrepo.conflicts import Entry, Origin
from configrepo.model import Problem, ServerId, Severity
from scheduler.disagreements_seam import Choice, Disagreements, HeldTerm, OpenDisagreement
from scheduler.views import CommitOutcome, Committed, FileChange, Person, Refused, Role

NTP = "common/ntp.conf"
ZERO = Origin("ana", "2026-11-22T13:58:04Z", ServerId(0))
ONE = Origin("local administrator of BQN 1", "2026-11-22T13:59:30Z", ServerId(1))


def disagreement(
    number: int, path: str, key: str | None, values: tuple[str | None, str | None, str | None]
) -> OpenDisagreement:
    """One open value: base, applied, other."""
    guarded = path.startswith("common/user/")
    base, applied, other = values
    entry = Entry(
        path, key, base, applied, other, ZERO, ONE, "guarded" if guarded else "disagreement"
    )
    title = path.removeprefix("common/").removesuffix(".conf").replace("/", " ")
    return OpenDisagreement(f"{number:016x}", title, entry, applied, guarded)


class FakeDisagreements:
    """Implements `scheduler.disagreements_seam.DisagreementsDesk`; empty at first.

    `refusal` refuses every decision with that sentence; `chosen` are the decisions.
    """

    def __init__(self) -> None:
        self.now = Disagreements((), (), leads=True)
        self.refusal: str | None = None
        self.chosen: list[tuple[str, Choice]] = []

    def after_a_cut(self) -> None:
        """Three values wait and a line is held."""
        rate = "common/policy/rate/rate-20Mbps.conf"
        waits = (
            disagreement(
                1,
                rate,
                "downlink rate",
                ("downlink rate 20000", "downlink rate 25000", "downlink rate 30000"),
            ),
            replace(
                disagreement(
                    2, "common/clock.conf", None, (None, None, "clock timezone Atlantic/Azores")
                ),
                now="clock timezone Atlantic/Canary",
            ),
            disagreement(
                3, "common/user/eve.conf", None, (None, None, "user eve\nrole administrator")
            ),
        )
        held = HeldTerm(
            server=ServerId(2),
            epoch=7,
            head="f" * 40,
            sentence="BQN 2 had confirmed newer commits before: this line did not begin when "
            "contact to it was lost.",
            commits=1,
            subjects=("Change the time servers",),
            changes=(
                FileChange(NTP, "ntp", "ntp\n server 192.0.2.1\n", "ntp\n server 192.0.2.9\n"),
            ),
            kept=False,
        )
        self.now = Disagreements(waits, (held,), leads=True)

    def listed(self) -> Disagreements:
        """What a test put there."""
        return self.now

    def settle(self, person: Person, entry: str, choice: Choice, request_id: str) -> CommitOutcome:
        """Take one entry away."""
        found = next((one for one in self.now.open if one.id == entry), None)
        if found is None or self.refusal:
            return Refused(self.refusal or "This was settled meanwhile; look at the page again.")
        if found.administrator and not person.role.includes(Role.ADMINISTRATOR):
            return Refused(f"Only an administrator may change {found.entry.path}.")
        if choice.side == "edit" and "wrong" in choice.text:
            problem = Problem(Severity.ERROR, 1, 1, "found `wrong`, expected a rate")
            return Refused("This value cannot be taken; nothing was saved.", (problem,))
        self.chosen.append((entry, choice))
        left = tuple(one for one in self.now.open if one.id != entry)
        self.now = replace(self.now, open=left)
        return Committed("c" * 40, ServerId(0), "Saved on BQN 0.")

    def accept(self, person: Person, head: str) -> CommitOutcome:
        """Take the held line in."""
        if self.refusal or head not in [one.head for one in self.now.held]:
            return Refused(self.refusal or "This was settled meanwhile; look at the page again.")
        self.now = replace(self.now, held=())
        return Committed("d" * 40, ServerId(0), "The term 7 of BQN 2 was taken in.")

    def keep_held(self, person: Person, head: str) -> Refused | None:
        """Leave it held."""
        if self.refusal:
            return Refused(self.refusal)
        held = tuple(replace(one, kept=True) for one in self.now.held)
        self.now = replace(self.now, held=held)
        return None
