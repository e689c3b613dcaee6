"""What follows when something happens: a new commit, a new role, a server taking over.

Nothing is decided here; each part is told what concerns it.

Core: tells the parts of the running server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from configrepo.errors import DiskFull, RefMoved
from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate, Store
from scheduler.changes import CLUSTER, Changes, Standing, line_of
from scheduler.control_room import ControlRoom
from scheduler.control_view import ControlRole, ControlView
from scheduler.doors import Doors
from scheduler.errors import JoinRefused
from scheduler.healing import Healing
from scheduler.inviting import Inviting
from scheduler.joining import Joining
from scheduler.replication import Replicator
from scheduler.roster import Roster
from scheduler.ssh import SshTarget
from scheduler.state_dir import StateDir
from scheduler.submission import Submission

LEADS_WITHIN_S = 5.0

_log = logging.getLogger(__name__)


def target_of(member: Member) -> SshTarget:
    """Where the sshd of a member answers."""
    return SshTarget(member.id, member.address, member.ssh_port, member.ssh_host_key)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that are told.

    `wake` runs a job now; `wait` pauses, True when stopping; `took_effect` follows what a
    commit says of this server.
    """

    me: ServerId
    state: StateDir
    store: Store
    roster: Roster
    changes: Changes
    submission: Submission
    inviting: Inviting
    joining: Joining
    doors: Doors
    control: ControlRoom
    replicator: Replicator
    healing: Healing
    wake: Callable[[str], None]
    wait: Callable[[float], bool]
    monotonic: Callable[[], float]
    took_effect: Callable[[], None]


class Reactions:
    """Reacts for one server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._diverged: dict[ServerId, CommitId] = {}
        self._followers: frozenset[ServerId] = frozenset()
        self._alive: set[ServerId] = set()
        self._barred: set[ServerId] = set()
        self._waits_for_room = False
        self._heard: set[ServerId] = set()
        self._shown: dict[ServerId, str] = {}

    def alarms(self) -> tuple[str, ...]:
        """What people must look at."""
        self._forget_joined()
        told = {held.line.head for held in self._parts.healing.held()}
        return tuple(
            f"BQN {server} holds commits that this server does not have, and the other way "
            f"round. Nothing is overwritten: both histories are kept."
            for server, head in sorted(self._diverged.items())
            if head not in told
        )

    def _forget_joined(self) -> tuple[ServerId, ...]:
        """The servers whose commits are contained here by now."""
        # A copy: another thread may come to know of one more meanwhile.
        known = list(self._diverged.items())
        joined = tuple(server for server, head in known if self._parts.healing.joined(head))
        for server in joined:
            self._diverged.pop(server, None)
        return joined

    def heal(self) -> str:
        """Join the lines that grew apart; who was waited for is sent the result at once."""
        if self._waits_for_room:
            self.cluster_moved()
        sentence = self._parts.healing.run()
        for server in self._forget_joined():
            self._parts.replicator.wake(server)
            self._parts.wake("replicate")
        return sentence

    def received(self, _peer: ServerId, refs: tuple[str, ...]) -> None:
        """Another server pushed refs; they are on the disk."""
        if CLUSTER in refs:
            self.cluster_moved()

    def cluster_moved(self) -> None:
        """The newest commit is another one: tell every part that depends on it."""
        parts = self._parts
        # The commit is there, whether or not there is room for what it asks of this server.
        done = [
            self._with_room(step) for step in (self._admit, self.tell_control, parts.took_effect)
        ]
        self._waits_for_room = not all(done)
        parts.submission.arrived()
        parts.wake("apply")
        parts.wake("replicate")

    def _with_room(self, step: Callable[[], None]) -> bool:
        """Do it; False if the disk has no room: then it is done again later."""
        try:
            step()
        except (OSError, DiskFull) as error:
            _log.error("what the newest commit asks of this server waits for its disk: %s", error)
            return False
        return True

    def _admit(self) -> None:
        if self._parts.roster.member(self._parts.me) is not None:
            self._settle_in()
        else:
            # Alone too, people register keys to clone with.
            self._parts.doors.set()

    def _settle_in(self) -> None:
        """This server is a member: what was only agreed before is now in the configuration."""
        parts = self._parts
        agreed = parts.joining.agreed
        if agreed is not None:
            parts.state.set_cluster(agreed.cluster_id)
            parts.joining.done(f"This server is in the cluster of BQN {agreed.inviter.id}.")
        parts.store.set_head(CLUSTER)
        admitted = parts.inviting.admitted
        known = None if admitted is None else parts.roster.member(admitted.id)
        if admitted is not None and known is not None and known.ssh_key == admitted.ssh_key:
            parts.inviting.withdraw()
        parts.doors.set()

    def tell_control(self) -> None:
        """Tell the control room who belongs to the cluster and what this server has."""
        parts = self._parts
        members = parts.roster.everybody()
        cluster_id = parts.state.record().cluster_id if members else None
        parts.control.set_heads(parts.store.ref(CLUSTER))
        shown = {member.id: member.certificate for member in members}
        same = [m for m in members if self._shown.get(m.id, m.certificate) == m.certificate]
        left_alone = False
        former = sum(len(m.former_keys) for m in members if m.id == parts.me)
        if len(same) < len(members):
            # Other hardware under a known id counts its starts anew: the old one is forgotten.
            leads = parts.control.view.role is ControlRole.PRIMARY
            left_alone = leads and [m.id for m in same if m.state == "active"] == [parts.me]
            parts.control.set_members(same, cluster_id, former=former)
        self._shown = shown
        parts.control.set_members(members, cluster_id, founding=left_alone, former=former)

    def view_changed(self, view: ControlView) -> None:
        """The control room has a new view."""
        if view.role is not ControlRole.PRIMARY:
            self._parts.changes.release()
        alive = {peer.id for peer in view.peers if peer.state == "alive"}
        for server in alive - self._alive:
            if server in self._heard:
                self._parts.replicator.wake(server)
            else:
                self._parts.replicator.begin_anew(server)
        barred = {peer.id for peer in view.peers if not peer.eligible}
        for server in alive & (self._barred - barred):
            # It may have room on its disk again: what waits for that is sent at once.
            self._parts.replicator.wake(server)
        self._alive, self._barred = alive, barred
        self._heard = alive | {peer.id for peer in view.peers if peer.state == "suspect"}
        self._parts.wake("replicate")
        self._parts.wake("heal")

    def hand_over(self, requester: ServerId) -> None:
        """A lower id takes over: make no more commits, and say what it must have first."""
        head = self._parts.changes.hold(f"BQN {requester} is taking over; try again in a moment.")
        self._parts.control.handover_done(head)

    def catch_up(self, source: ServerId, head: str) -> None:
        """Get what another server has before this one leads."""
        parts = self._parts
        member = parts.roster.member(source)
        if member is None:
            return
        target = CommitId(head)
        if not parts.store.has(target):
            parts.replicator.fetch_from(target_of(member))
        own = parts.store.ref(CLUSTER)
        if own is not None and not parts.store.is_ancestor(target, own):
            if parts.store.is_ancestor(own, target):
                parts.healing.seen(target)
                update = RefUpdate(CLUSTER, own, target)
                parts.store.move((update,), f"caught up from BQN {source}")
                self.cluster_moved()
            else:
                # What grew apart is joined by the primary: here at once, or when this one leads.
                self.ahead(source, {CLUSTER: target})
        parts.control.caught_up(head)

    def ahead(self, server: ServerId, refs: Mapping[str, CommitId]) -> None:
        """A server has a newest commit that did not grow from this server's."""
        if CLUSTER in refs:
            self._diverged[server] = refs[CLUSTER]
            self._parts.healing.seen(refs[CLUSTER])
            self.heal()

    def fetch_line(self, member: Member) -> CommitId:
        """Get the line of a server that was let in."""
        store = self._parts.store
        line = line_of(member.id)
        head = self._parts.replicator.fetch_from(target_of(member), (line,))[line]
        before = store.ref(line)
        if before is not None and not store.is_ancestor(before, head):
            raise JoinRefused(
                f"its line did not grow from the one of BQN {member.id} that is kept here: other "
                f"hardware is added as a replacement, and takes over the history first"
            )
        if before != head:
            try:
                store.move((RefUpdate(line, before, head),), f"fetched from BQN {member.id}")
            except RefMoved:
                # The job and a click may fetch at the same moment; both want the same.
                if store.ref(line) != head:
                    raise
        return head

    def start_to_lead(self, own: Member) -> Standing:
        """What may be written for a unification; a server without others begins to lead."""
        parts = self._parts
        if len(parts.roster.active()) > 1:
            return parts.submission.standing()
        joiner = parts.inviting.admitted
        assert joiner is not None, "asked only while a joiner waits"
        cluster_id = parts.state.record().cluster_id
        parts.control.set_members((own, joiner), cluster_id, founding=True)
        until = parts.monotonic() + LEADS_WITHIN_S
        while parts.control.view.role is not ControlRole.PRIMARY:
            if parts.monotonic() > until or parts.wait(0.02):
                self.tell_control()
                return Standing(CLUSTER, None, "This server could not start to lead; try again.")
        return Standing(CLUSTER, parts.control.view.epoch, cause="the cluster is founded")
