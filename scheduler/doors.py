"""Who may come in: SSH keys, pinned certificates, and what a push may bring.

Members come from the newest commit; a server that was only let in (or that this server
wants to join) counts as little more than a visitor.

Core: writes authorized_keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from configrepo.model import ServerId
from scheduler.authorized_keys import (
    KNOCKING,
    REPLACING,
    Auditor,
    KeyHolder,
    write_authorized_keys,
)
from scheduler.control_view import ControlView
from scheduler.inviting import Inviting
from scheduler.joining import Joining
from scheduler.receiving import Situation
from scheduler.roster import Roster


class Doors:
    """The doors of one server."""

    def __init__(
        self,
        me: ServerId,
        authorized_keys: Path,
        state: Path,
        roster: Roster,
        inviting: Inviting,
        joining: Joining,
        control: Callable[[], ControlView],
        auditors: Callable[[], Iterable[Auditor]],
        own_key: str,
        cluster_id: Callable[[], str | None],
    ) -> None:
        self._me = me
        self._authorized_keys = authorized_keys
        self._state = state
        self._roster = roster
        self._inviting = inviting
        self._joining = joining
        self._control = control
        self._auditors = auditors
        self._own_key = own_key
        self._cluster_id = cluster_id

    def set(self) -> None:
        """Let in the SSH keys of members, of those that join, of auditors; nobody else's."""
        holders = [KeyHolder(m.id, m.ssh_key) for m in self._roster.active() if m.id != self._me]
        if self._joining.agreed is not None:
            inviter = self._joining.agreed.inviter
            holders.append(KeyHolder(inviter.id, inviter.ssh_key))
        if self._inviting.admitted is not None:
            joiner = self._inviting.admitted
            verbs = REPLACING if self._inviting.replaces else KNOCKING
            holders.append(KeyHolder(joiner.id, joiner.ssh_key, verbs))
        # With its own key a server sees whether the way through sshd to the gate is open.
        holders.append(KeyHolder(self._me, self._own_key, KNOCKING))
        auditors = self._auditors()
        write_authorized_keys(self._authorized_keys, holders, self._state, auditors=auditors)

    def pins(self) -> dict[ServerId, str]:
        """The certificates of those who may ask over RPC."""
        return {m.id: m.certificate for m in self._roster.active() if m.id != self._me}

    def situation(self) -> Situation:
        """What decides about a push."""
        members = frozenset(m.id for m in self._roster.active())
        agreed, admitted = self._joining.agreed, self._inviting.admitted
        keys = self._keys()
        if agreed is not None and not members:
            nobody: frozenset[ServerId] = frozenset()
            return Situation(agreed.inviter.id, 0, nobody, keys=keys, cluster=agreed.cluster_id)
        joining = frozenset() if admitted is None else frozenset({admitted.id})
        view = self._control()
        cluster = self._cluster_id()
        return Situation(view.following, view.epoch, members, joining, keys, cluster)

    def _keys(self) -> dict[ServerId, frozenset[str]]:
        """The SSH keys of all who are known, also of members that were removed."""
        known: list[tuple[ServerId, str]] = [(self._me, self._own_key)]
        for member in self._roster.everybody():
            known.append((member.id, member.ssh_key))
            known += [(member.id, former.ssh_key) for former in member.former_keys]
        agreed, admitted = self._joining.agreed, self._inviting.admitted
        if agreed is not None:
            known.append((agreed.inviter.id, agreed.inviter.ssh_key))
            known += [(self._me, key) for key in (agreed.former.keys if agreed.former else ())]
        if admitted is not None:
            known.append((admitted.id, admitted.ssh_key))
        keys: dict[ServerId, set[str]] = {}
        for server, key in known:
            keys.setdefault(server, set()).add(" ".join(key.split()[:2]))
        return {server: frozenset(some) for server, some in keys.items()}
