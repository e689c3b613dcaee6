"""Leaving a cluster, as the server sees it that was removed: it is told, and goes on alone.

A removed server is refused everywhere, so it asks the members that do not answer on the
control port, each known by its pinned certificate: am I a member? (Route `/standing` of
the joining lane, which asks for no certificate.) Rules:

1. It goes on alone if somebody says that it was removed or replaced, nobody who can be
   reached says otherwise, and no member answers it on the control port. One member that
   is wrong, or one side of a cut, does not suffice.
2. Alone it runs what it ran: what the running commit holds for it, its own part and the
   common one, becomes the newest commit of its own line, sealed with a new key of its own.
   The line carries no commits of others: another cluster could not judge who signed them.
3. The history of the cluster is kept under `refs/former/`.
4. A server that got another id while it was away is told so too: it fetches the commit that
   says it, and follows that.

Every step is safe to repeat, so a crash in between does no harm.

Core: the network is behind a callable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from configrepo.errors import RefMoved
from configrepo.factory import FACTORY_ROOT
from configrepo.members import Member, fingerprint
from configrepo.model import Files, ServerId
from configrepo.store import CommitId, Person, RefUpdate, Store
from scheduler.changes import CLUSTER, TRIES, Changes, line_of
from scheduler.control_view import ControlView
from scheduler.errors import SchedulerError
from scheduler.vault import Vault

ROUTE = "/standing"
State = Literal["member", "removed", "replaced", "renamed", "unknown"]
_OUT: frozenset[str] = frozenset({"removed", "replaced"})


class AskStanding(Protocol):
    """Asks a member, whose certificate must be the pinned one, for the standing of a server."""

    def __call__(self, member: Member, body: Mapping[str, Any]) -> dict[str, Any]:
        """Its answer; raises SchedulerError."""
        ...


def standing_of(members: Sequence[Member], server: ServerId, certificate: str) -> State:
    """What a cluster says of a server that shows this certificate's fingerprint."""
    record = next((member for member in members if member.id == server), None)
    if record is None:
        return "unknown"
    if fingerprint(record.certificate) != certificate:
        return "replaced"
    if record.state == "active":
        return "member"
    active = [member for member in members if member.state == "active"]
    if any(fingerprint(member.certificate) == certificate for member in active):
        return "renamed"
    return "removed"


def goes_alone(answers: Mapping[ServerId, str], view: ControlView) -> bool:
    """Rule 1."""
    if any(peer.state in ("alive", "suspect") for peer in view.peers):
        return False
    said = set(answers.values())
    return bool(said & _OUT) and said <= {*_OUT, "unknown"}


@dataclass(frozen=True, slots=True)
class Left:
    """What must happen elsewhere: once a server is alone again, or was renamed."""

    forget_cluster: Callable[[], None]
    tell: Callable[[], None]
    fetch: Callable[[ServerId, str], None]


class Departing:
    """Watches whether this server was removed, and takes it out of the cluster."""

    def __init__(
        self,
        me: ServerId,
        store: Store,
        changes: Changes,
        vault: Vault,
        members: Callable[[], tuple[Member, ...]],
        running: Callable[[], CommitId | None],
        view: Callable[[], ControlView],
        ask: AskStanding,
        left: Left,
    ) -> None:
        self._me = me
        self._store = store
        self._changes = changes
        self._vault = vault
        self._members = members
        self._running = running
        self._view = view
        self._ask = ask
        self._left = left
        self._sentence = ""

    @property
    def sentence(self) -> str:
        """Why this server is alone, if it left a cluster since the program started."""
        return self._sentence

    def answer(self, _address: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Somebody asks for the standing of a server. Joining route `/standing`."""
        server, certificate = body.get("server"), body.get("fingerprint")
        if type(server) is not int or not isinstance(certificate, str):
            return {"state": "unknown"}
        state = standing_of(self._members(), ServerId(server), certificate)
        record = next((m for m in self._members() if m.id == server), None)
        since = record.removed if record else ""
        return {"state": state, "since": since, "head": self._store.ref(CLUSTER)}

    def look(self) -> str:
        """Ask, if nobody answers, and go on alone if that is how it is; a job."""
        members = self._members()
        own = next((member for member in members if member.id == self._me), None)
        others = [m for m in members if m.state == "active" and m.id != self._me]
        view = self._view()
        if own is None or not others or self._store.ref(CLUSTER) is None:
            return "this server is in no cluster with others"
        if any(peer.state in ("alive", "suspect") for peer in view.peers):
            return "other servers answer"
        answers, detail = self._answers(others, own)
        for server, said in answers.items():
            if said == "renamed":
                self._left.fetch(server, detail)
                return f"BQN {server} says that this server has another id"
        if not goes_alone(answers, view):
            return "nobody says that this server was removed"
        who = ", ".join(f"BQN {server}" for server, said in answers.items() if said in _OUT)
        self.leave(f"This server was removed from the cluster at {detail}, says {who}.")
        return self._sentence

    def _answers(self, others: Sequence[Member], own: Member) -> tuple[dict[ServerId, str], str]:
        """What each says, and since when (removed) or in which commit (renamed)."""
        body = {"server": self._me, "fingerprint": fingerprint(own.certificate)}
        answers: dict[ServerId, str] = {}
        detail = ""
        for member in others:
            try:
                answer = self._ask(member, body)
            except SchedulerError:
                continue
            answers[member.id] = str(answer.get("state"))
            if answers[member.id] in _OUT:
                detail = str(answer.get("since"))
            elif answers[member.id] == "renamed":
                detail = str(answer.get("head"))
        return answers, detail

    def leave(self, why: str) -> None:
        """Go on alone with what runs here (rules 2 and 3)."""
        self._changes.hold("This server is leaving its cluster; try again in a moment.")
        try:
            self._go_alone(why)
            self._sentence = f"{why} It goes on alone with what it ran."
            self._left.forget_cluster()
        finally:
            self._changes.release()
        self._left.tell()

    def _go_alone(self, why: str) -> None:
        cluster = self._store.ref(CLUSTER)
        assert cluster is not None, "asked only in a cluster"
        ran = self._running() or cluster
        line = line_of(self._me)
        head = self._store.ref(line)
        self._vault.seal_with(self._vault.add_key())
        commit = self._store.write_commit(
            (FACTORY_ROOT if head is None else head,),
            self._vault.seal_files(_own_scope(self._store.files(ran), self._me)),
            Person(f"BQN {self._me}", f"bqn-{self._me}@bqn.invalid"),
            f"Go on alone with what ran\n\n{why}",
            {"Server": str(self._me)},
        )
        self._store.move((RefUpdate(line, head, commit),), "go on alone")
        self._store.set_head(line)
        # Last: until here a restart finds the cluster and asks again.
        former = f"refs/former/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        for _ in range(TRIES):
            cluster = self._store.ref(CLUSTER) or cluster
            end = (RefUpdate(former, None, cluster), RefUpdate(CLUSTER, cluster, None))
            # A push that was let in before may still move it.
            with suppress(RefMoved):
                self._store.move(end, "go on alone")
                return


def _own_scope(files: Files, me: ServerId) -> dict[str, str]:
    scope = ("common/", f"servers/{me}/")
    return {path: text for path, text in files.items() if path.startswith(scope)}
