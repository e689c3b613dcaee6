"""The doctor and the elections in memory, for tests of their pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.diagnosis import Facts, diagnose
from scheduler.doctor_seam import Diagnosis, DoctorView
from scheduler.elections_seam import ElectionEvent, IfDies
from scheduler.findings import Finding, Pair, Standpoint
from scheduler.views import Person, Reach, Refused
from tests.support.fake_scenes import reaches

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
OK = Finding("ok", 2)


class FakeDoctor:
    """Behaves like a doctor whose servers find what the test says in `found`."""

    def __init__(self, servers: tuple[ServerId, ...], me: ServerId) -> None:
        self.servers = servers
        self.me = me
        self.found: dict[tuple[int, int], tuple[Finding, Finding]] = {}
        self.standpoints: Mapping[ServerId, Standpoint] = {}
        self.run = DoctorView(
            "none", "The servers were not tried yet.", 0, 0, "", None, None, Diagnosis(0, 0, ())
        )
        self.tried: list[tuple[str, int, int]] = []

    def view(self) -> DoctorView:
        """The run."""
        return self.run

    def start(self, person: Person) -> Refused | None:
        """Start a run; it goes on until `finish`."""
        if self.run.stage == "running":
            return Refused("A run goes on already; its progress is below.")
        if len(self.servers) < 2:
            return Refused("This server is in no cluster: there is no pair to try.")
        total = len(self.servers) * (len(self.servers) - 1)
        self.run = DoctorView(
            "running",
            "The servers are being tried.",
            0,
            total,
            person.name,
            NOW,
            None,
            Diagnosis(0, total, (), self.servers),
        )
        return None

    def finish(self) -> None:
        """Let the run end with what was found."""
        members = tuple(
            Member(s, f"bqn{s}", f"192.168.56.{111 + s}", 22, 63500 + s, "", "", "")
            for s in self.servers
        )
        pairs = [
            Pair(a, b, *self.found.get((a, b), (OK, OK)))
            for a in self.servers
            for b in self.servers
            if a != b
        ]
        self.run = DoctorView(
            "done",
            "Every server tried every other one.",
            len(pairs),
            len(pairs),
            "noc",
            NOW,
            NOW + timedelta(seconds=1.7),
            diagnose(Facts(members, pairs, {}, self.standpoints)),
        )

    def cancel(self, person: Person) -> None:
        """End the run without a result."""
        run = self.run
        self.run = DoctorView(
            "cancelled", "The run was cancelled; what it had found is kept.",
            run.done, run.total, run.by, run.began, NOW, run.diagnosis,
        )  # fmt: skip

    def check_address(
        self, person: Person, address: str, control_port: int, ssh_port: int
    ) -> tuple[Reach, ...]:
        """What an address that answers on one of two ports gives."""
        self.tried.append((address, control_port, ssh_port))
        return reaches(int(self.me), 7, ssh_ok=False)


class FakeElections:
    """A history that a test fills."""

    def __init__(self) -> None:
        self.seen: list[ElectionEvent] = []
        self.deaths: tuple[IfDies, ...] = ()
        self.nobody: datetime | None = None

    def events(self) -> tuple[ElectionEvent, ...]:
        """Newest first."""
        return tuple(self.seen)

    def nobody_since(self) -> datetime | None:
        """As the test says."""
        return self.nobody

    def what_if(self) -> tuple[IfDies, ...]:
        """As the test says."""
        return self.deaths
