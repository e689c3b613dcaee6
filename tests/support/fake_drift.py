"""Changes from outside and staged commits, as a desk in memory shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from configrepo.model import ServerId
from scheduler.apply_turn import Staging, Turn
from scheduler.drift_seam import DriftView, OverwrittenView, Restoring
from scheduler.mirror_seam import MirrorView
from scheduler.views import Edited, FileChange, Person, Refused
from tests.support.fake_scenes import NOW

COMMIT = "ab" * 20
Propose = Callable[[Person, Mapping[str, str | None]], Edited | Refused]


def drifted(server: int) -> DriftView:
    """A server on which an interface and the time servers were changed."""
    return DriftView(
        server=ServerId(server),
        sentence="what runs was changed from outside",
        commit=COMMIT,
        seen_at=NOW,
        changed_at=NOW,
        changed_by="the account root, which owns running.conf",
        changes=(
            FileChange(
                "common/ntp.conf",
                "ntp",
                "ntp\n server 192.0.2.1\n",
                "ntp\n server 192.0.2.66\n",
            ),
            FileChange(
                f"servers/{server}/interface/en0o1.conf",
                "interface en0o1",
                "interface en0o1\n mtu 1500\n",
                "interface en0o1\n mtu 9000\n",
            ),
        ),
    )


class FakeDrift:
    """Implements `scheduler.drift_seam.DriftDesk`; the test sets `views` and `refusal`."""

    def __init__(self, propose: Propose) -> None:
        self.views: dict[ServerId, DriftView] = {}
        self.restored: list[tuple[str, ServerId]] = []
        self.refusal: str | None = None
        self.kept: dict[ServerId, OverwrittenView] = {}
        self._propose = propose

    def drifts(self) -> tuple[DriftView, ...]:
        """All that the test set."""
        return tuple(self.views.values())

    def drift(self, server: ServerId) -> DriftView | None:
        """One of them."""
        return self.views.get(server)

    def overwritten(self, server: ServerId) -> OverwrittenView | None:
        """What the test set."""
        return self.kept.get(server)

    def restore(self, person: Person, server: ServerId) -> Restoring | Refused:
        """Forget it."""
        if self.refusal or server not in self.views:
            return Refused(self.refusal or "nothing was changed from outside")
        self.restored.append((person.name, server))
        del self.views[server]
        return Restoring(f"BQN {server} applies the newest commit again.")

    def adopt(self, person: Person, server: ServerId) -> Edited | Refused:
        """Propose all of it."""
        return self._make(person, self.views[server].changes)

    def keep(self, person: Person, server: ServerId) -> Edited | Refused:
        """Propose what is the server's own."""
        return self._make(person, self.views[server].own)

    def _make(self, person: Person, changes: tuple[FileChange, ...]) -> Edited | Refused:
        if self.refusal:
            return Refused(self.refusal)
        return self._propose(person, {change.path: change.after for change in changes})


class FakeStaging:
    """Implements `scheduler.staging_seam.StagingDesk`; the test sets what it says."""

    def __init__(self) -> None:
        self.usual: Staging | None = None
        self.now = Turn(None)

    def preset(self) -> Staging | None:
        """What the test set."""
        return self.usual

    def turn(self) -> Turn:
        """What the test set."""
        return self.now


class FakeMirror:
    """Implements `scheduler.mirror_seam.MirrorDesk`; the test sets `view`."""

    def __init__(self) -> None:
        self.view: MirrorView | None = None

    def state(self) -> MirrorView | None:
        """What the test set."""
        return self.view
