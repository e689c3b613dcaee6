"""Puts together what surrounds the replicator: waiting for others, collecting, fetching, upkeep.

Core: gives each part what it needs of the running server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Protocol

from configrepo.model import ServerId
from configrepo.store import Store
from scheduler.acknowledging import Acknowledging, Level
from scheduler.apply_notes import ApplyNotes
from scheduler.applying import Applier
from scheduler.audit import AuditLog
from scheduler.changes import CLUSTER, Changes
from scheduler.clock import Clock
from scheduler.collecting import Collector
from scheduler.control_view import ControlRole, ControlView
from scheduler.disk_space import DiskSpace, full_disks
from scheduler.gathering import Gathering
from scheduler.observing import Observer
from scheduler.overview import overview_of
from scheduler.pull_fallback import PullFallback
from scheduler.pull_plan import PullFacts
from scheduler.pulling import Puller
from scheduler.push_plan import ErrorClass, lines_of, own_runs, without_room
from scheduler.reactions import Reactions, target_of
from scheduler.receiving import Receiver
from scheduler.replication import Replicator
from scheduler.replication_desk import DeskSeams, ReplicationRoom
from scheduler.replication_seam import RepositoryView
from scheduler.reporting import Reporting
from scheduler.roster import Roster
from scheduler.settings_table import Settings
from scheduler.ssh import SshTarget
from scheduler.state_dir import StateDir
from scheduler.upkeep import Upkeep
from scheduler.whereabouts import Whereabout

UPKEEP_EVERY_S: Final = 600.0
_NETWORK: Final = (ErrorClass.NETWORK, ErrorClass.AUTH)


class Server(Protocol):
    """The parts of a running server that are needed (`scheduler.assembly.Assembly` has them)."""

    me: ServerId
    settings: Settings
    stack: ExitStack
    state: StateDir
    store: Store
    roster: Roster
    changes: Changes
    observer: Observer
    gathering: Gathering
    reporting: Reporting
    applier: Applier
    replicator: Replicator
    reactions: Reactions
    receiver: Receiver
    audit: AuditLog
    clock: Clock


class ReplicationParts:
    """What surrounds the replicator of one server.

    Args:
        server: made so far as far as is needed when this is made; the rest is asked later.
        control: the view of the control room.
    """

    def __init__(self, server: Server, control: Callable[[], ControlView]) -> None:
        self._server = server
        self._control = control
        self.disk = DiskSpace(server.state.path)
        self.upkeep = Upkeep(server.store.path, lambda: datetime.now(UTC))
        self.notes = ApplyNotes(server.me, server.store, lambda: datetime.now(UTC))
        self.acknowledge = self._made_acknowledge()
        self.whereabouts = Whereabout(
            server.me,
            server.store,
            server.changes.head,
            lambda: [member.id for member in server.roster.active()],
            self._heads,
        )
        self.puller = self._made_puller()
        self.collector = Collector(
            server.store.ref,
            lambda: self._targets() if self._leads() else [],
            self._told,
            self.puller.pull,
        )
        server.stack.callback(self.collector.close)
        self.fallback = PullFallback(
            self._pull_facts,
            self._primary,
            lambda: lines_of(self._writers()),
            self.puller.pull,
        )
        self.room = self._made_room()

    def _made_acknowledge(self) -> Acknowledging:
        settings = self._server.settings.replication
        return Acknowledging(
            Level(settings.ack),
            float(settings.ack_timeout_s),
            self._others,
            self._reachable,
            self._server.replicator.wait_until_on,
        )

    def _made_puller(self) -> Puller:
        server = self._server
        return Puller(
            server.store,
            server.replicator.fetch_from,
            lambda view, peer, lines: server.receiver.judge(view, peer, lines),
            lambda *rest: server.receiver.refusal_of_fetched(*rest),
            self._writers,
            lambda peer, refs: server.reactions.received(peer, refs),
        )

    def _made_room(self) -> ReplicationRoom:
        server = self._server
        return ReplicationRoom(
            server.me,
            server.settings.replication.ack,
            server.replicator,
            DeskSeams(
                overview=lambda: overview_of(server.gathering.facts()),
                control=self._control,
                head=server.changes.head,
                running=lambda: server.gathering.last_ran(),
                lacks_since=self.whereabouts.lacks_since,
                repository=self._repository,
                fetching=self.fallback.state,
                send=lambda: server.clock.wake("replicate"),
                fetch=self._fetch_now,
                note=server.audit.write,
                now=lambda: datetime.now(UTC),
                monotonic=monotonic,
            ),
        )

    # --- what is asked of them -----------------------------------------------------------

    def schedule(self, clock: Clock) -> None:
        """Make the jobs."""
        clock.every(2.0, self.collector.run, "collect", "collect")
        clock.every(2.0, self.fallback.run, "fetch", "fetch")
        # Known before the control room is told whether this server may lead.
        self.disk.look()
        clock.every(1.0, self._look_at_disk, "disk", "disk")
        clock.every(UPKEEP_EVERY_S, self.upkeep.run, "upkeep", "upkeep")

    def _look_at_disk(self) -> str:
        return f"{self.disk.look()}; {self._server.audit.write_waiting()}"

    def noting(self, apply: Callable[[], str]) -> Callable[[], str]:
        """The job that applies, and writes down what it did."""

        def run() -> str:
            self.notes.begin()
            sentence = apply()
            self.notes.look(self._server.applier.running())
            return sentence

        return run

    def alarms(self) -> tuple[str, ...]:
        """What people must look at."""
        kept = self.upkeep.kept()
        unsound = None if kept is None else kept.unsound
        return (
            *full_disks(self._control()),
            *self._server.audit.alarms(),
            *((f"The repository of this server is not whole: {unsound}",) if unsound else ()),
        )

    def own_refs(self) -> dict[str, str]:
        """Where the refs of this server are that only it writes, for its report."""
        found = {ref: self._server.store.ref(ref) for ref in own_runs(self._server.me)}
        return {ref: commit for ref, commit in found.items() if commit is not None}

    def unreached(self) -> tuple[ServerId, ...]:
        """The servers that this primary cannot push to, for its report."""
        if not self._leads():
            return ()
        states = self._server.replicator.states()
        return tuple(
            server
            for server, state in states.items()
            if not state.ok and state.error_class in _NETWORK
        )

    def _fetch_now(self) -> None:
        self.fallback.ask()
        self._server.clock.wake("fetch")

    # --- facts ---------------------------------------------------------------------------

    def _leads(self) -> bool:
        return self._control().role is ControlRole.PRIMARY

    def _others(self) -> tuple[ServerId, ...]:
        me = self._server.me
        return tuple(member.id for member in self._server.roster.active() if member.id != me)

    def _writers(self) -> frozenset[ServerId]:
        """The other members, also those that were removed: their history stays."""
        everybody = (member.id for member in self._server.roster.everybody())
        return frozenset(everybody) - {self._server.me}

    def _reachable(self) -> tuple[ServerId, ...]:
        full = without_room(self._server.replicator.states().values())
        alive = {peer.id for peer in self._control().peers if peer.state == "alive"}
        return tuple(server for server in self._others() if server in alive - full)

    def _targets(self) -> list[SshTarget]:
        me = self._server.me
        return [target_of(member) for member in self._server.roster.active() if member.id != me]

    def _heads(self) -> dict[ServerId, list[str]]:
        """The newest commits that each other server acknowledged or reported."""
        heads: dict[ServerId, list[str]] = {}
        for server, (report, _) in self._server.observer.reports().items():
            if report.head is not None:
                heads.setdefault(server, []).append(report.head)
        for server, state in self._server.replicator.states().items():
            if state.head is not None:
                heads.setdefault(server, []).append(state.head)
        return heads

    def _told(self) -> Mapping[ServerId, Mapping[str, str]]:
        return {
            server: report.refs for server, (report, _) in self._server.observer.reports().items()
        }

    def _primary(self) -> SshTarget | None:
        following = self._control().following
        return next((one for one in self._targets() if one.id == following), None)

    def _pull_facts(self) -> PullFacts:
        view = self._control()
        following = view.following if view.following != self._server.me else None
        peer = None if following is None else view.peer(following)
        report = self._server.observer.reports().get(following) if following is not None else None
        return PullFacts(
            primary=following,
            head=None if peer is None else peer.head,
            have=self._server.store.ref(CLUSTER),
            unreached=report is not None and self._server.me in report[0].unreached,
        )

    def _repository(self) -> RepositoryView | None:
        kept = self.upkeep.kept()
        if kept is None:
            return None
        return RepositoryView(
            kept.size,
            kept.loose,
            kept.packs,
            kept.packed,
            self.disk.free_share(),
            self.disk.reserved(),
        )
