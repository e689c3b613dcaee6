"""Puts the parts of one server together: stores, the other servers, changes, jobs.

The parts know one another only through the callables that they are given here. What the
GUI shows is `Assembly.desk`; which GUI shows it, this room does not know.

Edge: starts and stops every part.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from configrepo.members import Member
from configrepo.model import SCHEMA, ServerId
from configrepo.store import Store
from scheduler.apply_assembly import ApplyParts, preset_of
from scheduler.audit import AuditLog
from scheduler.auditing import Auditing, auditors_of, ways_of
from scheduler.authorized_keys import GATE
from scheduler.changes import Changes
from scheduler.clock import Clock
from scheduler.control_room import ControlRoom, ControlSettings
from scheduler.control_view import ControlRole, ControlView
from scheduler.desk import ServerDesk
from scheduler.doors import Doors
from scheduler.drafts import Drafts
from scheduler.drift import ROUTE as DRIFT_ROUTE
from scheduler.editing import Editing
from scheduler.expected import ExpectedHashes
from scheduler.founding import keyring_path, signer_of
from scheduler.gate_trail import GateTrail
from scheduler.gathering import Gathering
from scheduler.heal_parts import HealParts
from scheduler.identity import Identity
from scheduler.joining_parts import JoiningParts
from scheduler.meeting import ROUTE as MEET
from scheduler.member_assembly import MemberParts
from scheduler.membership import Membership
from scheduler.observing import LOST, Observer
from scheduler.overview import overview_of
from scheduler.people import People
from scheduler.preparing import Preparing
from scheduler.reactions import Parts, Reactions, target_of
from scheduler.receiving import Receiver
from scheduler.replication import Replicator, Seams
from scheduler.replication_parts import ReplicationParts
from scheduler.reporting import Reporting
from scheduler.roster import Roster
from scheduler.rpc import RpcServer
from scheduler.rpc_client import RpcClient
from scheduler.sampling import Sampler, meter_of
from scheduler.settings_table import Settings
from scheduler.ssh import SshPool
from scheduler.sshd import OwnSshd, account, system_host_key
from scheduler.state_dir import RELEASE, StateDir
from scheduler.submission import Submission
from scheduler.vault import Vault
from scheduler.views import Overview
from scheduler.watching import Watching

RESTART_AFTER_S = 1.0
JOB_THREADS = {
    "apply": 1,
    "push": 2,
    "observe": 1,
    "sample": 1,
    "heal": 1,
    "elections": 1,
    "members": 1,
    "collect": 1,
    "disk": 1,
    "fetch": 1,
    "upkeep": 1,
    "mirror": 1,
    "prepare": 1,
}


class Assembly:
    """One running server without its GUI.

    Args:
        settings: of this server.
        hash_password: turns the clear password of a user into its hash.
        stopping: is set when the program is told to stop.
        reads: the newest schema of the configuration that this release reads.
    """

    clock: Clock
    editing: Editing
    members: MemberParts
    membership: Membership
    reactions: Reactions
    receiver: Receiver
    replicating: ReplicationParts

    def __init__(
        self,
        settings: Settings,
        hash_password: Callable[[str], str],
        stopping: threading.Event,
        reads: int = SCHEMA,
    ) -> None:
        self.reads = reads
        self.settings = settings
        self.hash_password = hash_password
        self.stopping = stopping
        self.state = StateDir.open(settings.server.state)
        record = self.state.record()
        self.me = record.id
        self.name = settings.server.name or record.name
        self.control_port = settings.control_port(self.me)
        self.stack = ExitStack()
        self.restarting = False
        self.own_sshd: OwnSshd | None = None

    def start(self) -> None:
        """Start every part; those that were started are stopped again if a later one fails."""
        with ExitStack() as stack:
            self.stack = stack
            self.state.lock()
            stack.callback(self.state.unlock)
            self._remember()
            self._reach_others()
            self._take_changes()
            self._run_and_report()
            self._replicate()
            self._admit_and_edit()
            self.desk = self._desk()
            self._react()
            self._answer_others()
            self._act_on_time()
            self.stack = stack.pop_all()

    def stop(self) -> None:
        """Stop every part, the last one first."""
        self.stack.close()

    # --- what remembers ---------------------------------------------------------------

    def _remember(self) -> None:
        self.identity = Identity.load(self.state.keys)
        self.vault = Vault(keyring_path(self.state), self.hash_password)
        self.store = self.stack.enter_context(
            Store.open(self.state.repository, signer_of(self.identity, self.me), hooks=GATE.parent)
        )
        self.roster = Roster(self.store, self.me, self.reads)
        self.drafts = Drafts(self.state.drafts)
        self.audit = AuditLog(self.state.path / "audit.jsonl")

    # --- the other servers ------------------------------------------------------------

    def _reach_others(self) -> None:
        ssh = self.settings.ssh
        self.authorized_keys = ssh.authorized_keys or self.state.path / "ssh" / "authorized_keys"
        self.ssh_host_key = self._ssh_host_key()
        self.ssh_pool = SshPool(self.identity.private_key, ssh.user or account())
        self.stack.callback(self.ssh_pool.close)
        self.rpc_client = RpcClient(self.identity)
        self.stack.callback(self.rpc_client.close)
        self.control = ControlRoom(
            ControlSettings(
                id=self.me,
                port=self.control_port,
                address=self.settings.control.address,
                preset=self.settings.control.preset,
                witness=self.settings.control.witness or "",
                state_dir=self.state.path,
                keys_dir=self.state.keys,
                version=RELEASE,
                schema=self.reads,
            )
        )
        self.entry = JoiningParts(self)
        self.inviting, self.joining = self.entry.inviting, self.entry.joining

    def _ssh_host_key(self) -> str:
        ssh = self.settings.ssh
        if ssh.own_sshd:
            sshd = OwnSshd(self.state.path / "sshd", ssh.port, self.authorized_keys, ssh.address)
            sshd.start()
            self.stack.callback(sshd.stop)
            self.own_sshd = sshd
            return sshd.host_key
        return system_host_key(ssh.host_key_public)

    # --- changes and what they need ---------------------------------------------------

    def _call(
        self, member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        return self.rpc_client.call(member, route, dict(body), timeout_s)

    def _take_changes(self) -> None:
        self.changes = Changes(
            self.store,
            self.me,
            standing=lambda: self.submission.standing(),
            seal=self.vault.seal_files,
            on_commit=lambda _: self.reactions.cluster_moved(),
            reads=self.reads,
        )
        self.submission = Submission(
            self.me,
            self.store,
            self.changes,
            self._view,
            self.roster.active,
            self._call,
            preset=preset_of(self.settings.apply),
            acknowledge=lambda *asked: self.replicating.acknowledge(*asked),
            no_room=lambda: self.replicating.disk.read_only_reason(),
            too_new=self.roster.too_new,
        )

    def _run_and_report(self) -> None:
        self.observer = Observer(self.me, self.roster.active, self._call, time.monotonic)
        self.stack.callback(self.observer.close)
        self.applying = ApplyParts(self, self._call)
        self.applier = self.applying.applier
        samples = self.settings.samples
        meter = meter_of(
            samples.source, samples.access, samples.internet, self.me, lambda: self._newest()[1]
        )
        self.sampler = Sampler(meter, time.time)
        self.reporting = Reporting(
            self.me,
            self.name,
            self.settings.gui.port,
            self.state,
            self.roster,
            self.changes,
            self.applier,
            self.applying.run.shown,
            self.sampler,
            refs=lambda: self.replicating.own_refs(),
            unreached=lambda: self.replicating.unreached(),
        )

    def _replicate(self) -> None:
        self.replicator = Replicator(
            self.store,
            self.ssh_pool,
            Seams(
                targets=lambda: [target_of(m) for m in self.roster.active() if m.id != self.me],
                leading=lambda: self._view().role is ControlRole.PRIMARY,
                ahead=lambda server, refs: self.reactions.ahead(server, refs),
                writers=lambda: {member.id for member in self.roster.everybody()} | {self.me},
                judge=lambda *fetched: self.receiver.refusal_of_fetched(*fetched),
                now=lambda: datetime.now(UTC),
                jitter=lambda: random.uniform(-1.0, 1.0),  # noqa: S311 - spreads load
            ),
        )
        self.stack.callback(self.replicator.close)
        self.heal = HealParts(self, self._view)
        self.gathering = Gathering(
            self.me,
            self.store,
            ExpectedHashes(self.store, lambda: self.vault.keyring, self.vault.reseal),
            self.roster,
            self.changes,
            self.submission,
            self.observer,
            control=self._view,
            own_report=self.reporting.report,
            own_record=lambda: self.membership.own_record(),
            push_errors=self._push_errors,
            alarms=self._alarms,
        )

    def _alarms(self) -> tuple[str, ...]:
        return (
            *self.reactions.alarms(),
            *self.applying.alarms(),
            *self.heal.settling.alarms(),
            *self.replicating.alarms(),
            *self.members.ops.alarms(),
        )

    def _admit_and_edit(self) -> None:
        self.entry.bring()
        self.unifying, self.membership = self.entry.unifying, self.entry.membership
        self.members = MemberParts(self, self._call)
        self.watching = Watching(self, self._call)
        self.stack.callback(self.watching.close)
        self.replicating = ReplicationParts(self, self._view)
        self.editing = Editing(
            self.me,
            self.store,
            self.drafts,
            self.changes,
            self.submission,
            self.vault.seal_document,
            members=lambda: tuple(m.id for m in self.roster.active()) or (self.me,),
            running=self.gathering.running_on,
            saved=self.replicating.whereabouts.of,
        )

    def _desk(self) -> ServerDesk:
        return ServerDesk(
            self._overview,
            self.editing,
            self.membership,
            self.unifying,
            People(
                self.submission,
                files=self._newest,
                seal=self.vault.seal,
                unseal=self.vault.open,
                today=lambda: datetime.now(UTC).date(),
            ),
            self.audit,
            self.state.repository,
            Auditing(self.submission, self._newest, ways_of(self), self.audit.write),
            self.members.ops,
            self.watching.doctor,
            self.watching.elections,
            self.heal.settling,
            applying=self.applying,
            replication=lambda: self.replicating.room,
        )

    def restart(self) -> None:
        """Start the program again, as soon as whoever asked for it has an answer."""
        self.restarting = True
        threading.Timer(RESTART_AFTER_S, self.stopping.set).start()

    def _view(self) -> ControlView:
        return self.control.view

    def _newest(self) -> tuple[str, dict[str, str]]:
        head = self.changes.head()
        return head, self.store.files(head)

    def _overview(self) -> Overview:
        return overview_of(self.gathering.facts())

    def _push_errors(self) -> dict[ServerId, str]:
        states = self.replicator.states()
        return {server: state.sentence for server, state in states.items() if not state.ok}

    # --- what others set off ----------------------------------------------------------

    def _react(self) -> None:
        self.clock = Clock(JOB_THREADS)
        self.stack.callback(self.clock.stop)
        self.doors = Doors(
            self.me,
            self.authorized_keys,
            self.state.path,
            self.roster,
            self.inviting,
            self.joining,
            self._view,
            auditors=lambda: auditors_of(self._newest()[1]),
            own_key=self.identity.ssh_public,
            cluster_id=lambda: self.state.record().cluster_id,
        )
        self.reactions = Reactions(
            Parts(
                me=self.me,
                state=self.state,
                store=self.store,
                roster=self.roster,
                changes=self.changes,
                submission=self.submission,
                inviting=self.inviting,
                joining=self.joining,
                doors=self.doors,
                control=self.control,
                replicator=self.replicator,
                healing=self.heal.healing,
                wake=self.clock.wake,
                wait=self.stopping.wait,
                monotonic=time.monotonic,
                took_effect=self.members.ops.took_effect,
            )
        )
        self.receiver = Receiver(
            self.state.path,
            self.me,
            self.store,
            self.doors.situation,
            self.reactions.received,
            GateTrail(self.audit.write, time.monotonic).write,
        )
        self.receiver.start()
        self.stack.callback(self.receiver.stop)

    def _answer_others(self) -> None:
        rpc = RpcServer(
            self.identity,
            self.doors.pins,
            routes={
                "/report": self.reporting.answer,
                "/commit": self.submission.receive,
                DRIFT_ROUTE: self.applying.drift.answer,
                "/probe": self.reporting.probe,
                **self.watching.routes,
                **self.members.routes,
            },
            join_routes={
                **self.members.join_routes,
                **self.watching.join_routes,
                "/probe": self.reporting.probe,
                "/join/knock": lambda address, body: self.inviting.knock(
                    self.membership.own_record(), body, address
                ),
                MEET: lambda address, body: self.inviting.meet(
                    self.membership.own_record(), body, address
                ),
                "/join/enter": lambda address, body: self.inviting.enter(body, address),
            },
        )
        self.stack.callback(rpc.stop)
        self.control.on_connection = rpc.accept
        self.control.on_view = self._viewed
        self.control.on_handover = self.reactions.hand_over
        self.control.on_catch_up = self.reactions.catch_up

    def _viewed(self, view: ControlView) -> None:
        self.reactions.view_changed(view)
        self.observer.lost([peer.id for peer in view.peers if peer.state in LOST])
        if self.watching.viewed(view):
            self.clock.wake("elections")

    # --- what happens at its time -----------------------------------------------------

    def _act_on_time(self) -> None:
        self.replicating.schedule(self.clock)
        if self.own_sshd is not None:
            self.clock.every(5.0, self.own_sshd.keep_alive, "sshd", "upkeep")
        apply = self.replicating.noting(self.applying.run.run)
        self.clock.every(1.0, self.members.only_as_member(apply), "apply", "apply")
        self.clock.every(5.0, self.applying.mirror.run, "mirror", "mirror")
        self.clock.every(1.0, self.replicator.run, "replicate", "push")
        self.clock.every(2.0, self.reactions.heal, "heal", "heal")
        self.clock.every(2.0, self.observer.observe, "observe", "observe")
        self.clock.every(2.0, self._sample, "sample", "sample")
        self.clock.every(1.0, self.watching.run, "elections", "elections")
        self.clock.every(1.0, Preparing(self.changes).run, "prepare", "prepare")
        self.doors.set()
        self.control.start()
        self.stack.callback(self.control.stop)
        self.reactions.tell_control()
        self.members.start(self.clock)

    def _sample(self) -> str:
        self.sampler.take(time.monotonic())
        return "one sample taken"
