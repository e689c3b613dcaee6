"""Answers the replication page of one server.

Core: asks the parts of the running server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from configrepo.model import ServerId
from scheduler.control_view import ControlRole, ControlView
from scheduler.pull_plan import PullState
from scheduler.push_plan import PushState
from scheduler.replication_seam import ReplicationView, RepositoryView
from scheduler.replication_view import rows_of
from scheduler.views import Overview, Person, Refused, Role


class Sender(Protocol):
    """What is asked of the replicator."""

    def states(self) -> Mapping[ServerId, PushState]:
        """How sending to each server stands."""
        ...

    def wake(self, server: ServerId) -> None:
        """Look at a server again, whatever failed before."""
        ...


@dataclass(frozen=True, slots=True)
class DeskSeams:
    """Where the facts come from, and what *now* starts.

    `running` is the commit that each server runs, `lacks_since` since when it lacks the next
    one; `fetch` makes this server fetch from the primary; `send` runs the sending job now.
    """

    overview: Callable[[], Overview]
    control: Callable[[], ControlView]
    head: Callable[[], str]
    running: Callable[[], Mapping[ServerId, str]]
    lacks_since: Callable[[str | None], datetime | None]
    repository: Callable[[], RepositoryView | None]
    fetching: Callable[[], PullState]
    send: Callable[[], None]
    fetch: Callable[[], None]
    note: Callable[[Person, str, str], None]
    now: Callable[[], datetime]
    monotonic: Callable[[], float]


class ReplicationRoom:
    """Implements `ReplicationDesk`."""

    def __init__(self, me: ServerId, ack: str, sender: Sender, seams: DeskSeams) -> None:
        self._me = me
        self._ack = ack
        self._sender = sender
        self._seams = seams

    def standing(self) -> ReplicationView:
        """See `ReplicationDesk`."""
        seams, overview = self._seams, self._seams.overview()
        leading = self._leads()
        running = seams.running()
        since = {server: seams.lacks_since(commit) for server, commit in running.items()}
        fetching = seams.fetching()
        return ReplicationView(
            me=self._me,
            leading=leading,
            primary=overview.primary,
            ack=self._ack,
            head=seams.head(),
            servers=rows_of(
                overview,
                self._sender.states() if leading else {},
                {server: at for server, at in since.items() if at is not None},
                seams.now(),
                seams.monotonic(),
            ),
            repository=seams.repository(),
            fetching="" if leading else fetching.sentence,
        )

    def now(self, person: Person, server: ServerId | None) -> str | Refused:
        """See `ReplicationDesk`."""
        if not person.role.includes(Role.OPERATOR):
            return Refused("Only an operator may start replication.")
        said = self._start(server)
        target = "all servers" if server is None else f"BQN {server}"
        self._seams.note(
            person, f"replicate now: {target}", said.sentence if isinstance(said, Refused) else said
        )
        return said

    def _start(self, server: ServerId | None) -> str | Refused:
        if not self._leads():
            if server not in (None, self._me):
                return Refused(f"Commits are sent by the primary: ask there for BQN {server}.")
            self._seams.fetch()
            return "This server looks now whether the primary has something newer."
        others = [one.id for one in self._seams.overview().servers if one.id != self._me]
        chosen = others if server is None else [one for one in others if one == server]
        if not chosen:
            return Refused("There is no other server of that id to send to.")
        for one in chosen:
            self._sender.wake(one)
        self._seams.send()
        names = "all other servers" if server is None else f"BQN {server}"
        return f"Sending to {names} was started."

    def _leads(self) -> bool:
        return self._seams.control().role is ControlRole.PRIMARY
