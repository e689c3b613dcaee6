"""Puts together how a server comes into a cluster: inviting, joining, unifying, membership.

Core: gives each part what it needs of the running server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import Store
from scheduler.beacon_signing import private_key
from scheduler.changes import Changes, line_of
from scheduler.connectivity import Expected, addresses_of, check_both
from scheduler.control_room import ControlRoom
from scheduler.doors import Doors
from scheduler.drafts import Drafts
from scheduler.identity import Identity
from scheduler.inviting import Inviting
from scheduler.joincode import JoinCode, host_key_digest
from scheduler.joining import Joining
from scheduler.member_assembly import MemberParts, former_of
from scheduler.membership import Membership, Self
from scheduler.reactions import Reactions
from scheduler.roster import Roster
from scheduler.rpc_client import call_join
from scheduler.settings_table import Settings
from scheduler.state_dir import StateDir
from scheduler.submission import Submission
from scheduler.unifying import Unifying
from scheduler.vault import Vault
from scheduler.views import Reach


class Server(Protocol):
    """The parts of a running server that are needed (`scheduler.assembly.Assembly` has them).

    `changes` and `submission` are there when `JoiningParts.bring` is called, `doors` and
    `reactions` when somebody joins.
    """

    me: ServerId
    name: str
    control_port: int
    ssh_host_key: str
    settings: Settings
    stopping: threading.Event
    identity: Identity
    state: StateDir
    store: Store
    vault: Vault
    roster: Roster
    drafts: Drafts
    control: ControlRoom
    changes: Changes
    submission: Submission
    doors: Doors
    reactions: Reactions
    members: MemberParts


class JoiningParts:
    """Both ends of an invitation, and what a membership begins with."""

    unifying: Unifying
    membership: Membership

    def __init__(self, server: Server) -> None:
        self._server = server
        self.inviting = Inviting(
            server.state.path / "inviting.json",
            keyring=lambda: server.vault.keyring,
            keep_keyring=server.vault.keep,
            check_back=self._check_joiner,
            clock=time.monotonic,
            former=lambda former: former_of(server.store, server.roster, former),
            on_admitted=lambda: server.doors.set(),
            schema=lambda: server.roster.schema,
        )
        self.joining = Joining(
            server.state.path / "joining.json",
            call=_call_join,
            check=self._check_inviter,
            keyring=lambda: server.vault.keyring,
            keep_keyring=server.vault.keep,
            on_agreed=lambda _: server.doors.set(),
            pause=server.stopping.wait,
            key=lambda: private_key(server.identity.control_pem.read_bytes()),
            see=_see,
            clock=time.monotonic,
            own_line=lambda: server.store.ref(line_of(server.me)) or "",
        )

    def bring(self) -> None:
        """Make `unifying` and `membership`, as soon as the server takes changes."""
        server = self._server
        self.unifying = Unifying(
            server.me,
            server.store,
            server.changes,
            server.drafts,
            server.vault.reseal,
            server.vault.seal_document,
            admitted=lambda: self.inviting.admitted,
            own_record=lambda: self.membership.own_record(),
            standing=lambda: server.reactions.start_to_lead(self.membership.own_record()),
            expected=lambda: (self.inviting.admitted_line, self.inviting.replaces),
            acknowledged=server.submission.acknowledged,
            new_key=lambda gone: server.members.new_key_without(gone),
        )
        self.membership = Membership(
            self._myself(),
            self.inviting,
            self.joining,
            self.unifying,
            server.submission,
            server.roster.active,
            check_both,
            addresses_of,
            lambda member: server.reactions.fetch_line(member),
            server.settings.ssh.port,
            server.control_port,
            alive=lambda: frozenset(
                peer.id for peer in server.control.view.peers if peer.state == "alive"
            ),
            pause=server.stopping.wait,
        )

    def _myself(self) -> Self:
        server = self._server

        def record(address: str, ssh_port: int) -> Member:
            return Member(
                id=server.me,
                name=server.name,
                address=address,
                ssh_port=ssh_port,
                control_port=server.control_port,
                certificate=server.identity.certificate_b64,
                ssh_host_key=server.ssh_host_key,
                ssh_key=server.identity.ssh_public,
            )

        return Self(
            id=server.me,
            record=record,
            cluster_id=lambda: server.state.record().cluster_id,
            keep_cluster_id=server.state.set_cluster,
            control_fingerprint=server.identity.fingerprint,
            ssh_fingerprint=host_key_digest(server.ssh_host_key),
        )

    def _check_joiner(self, record: Member) -> tuple[Reach, ...]:
        ports = record.control_port, record.ssh_port
        return self._check(record.address, ports, Expected(record.id))

    def _check_inviter(self, code: JoinCode) -> tuple[Reach, ...]:
        ports = code.control_port, code.ssh_port
        # Without a code nobody knows the certificate before it was seen.
        expected = Expected(code.id, code.control_fingerprint or None)
        return self._check(code.address, ports, expected)

    def _check(self, address: str, ports: tuple[int, int], expected: Expected) -> tuple[Reach, ...]:
        return check_both(f"BQN {self._server.me}", f"BQN {expected.id}", address, ports, expected)


def _call_join(code: JoinCode, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer, _ = call_join(
        code.address, code.control_port, code.control_fingerprint, route, dict(body)
    )
    return answer


def _see(code: JoinCode) -> str:
    _, shown = call_join(code.address, code.control_port, None, "/probe", {})
    return shown
