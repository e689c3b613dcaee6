"""Changes from outside: what differs, restored, adopted, or kept as a server's own.

Each server looks at itself and answers the others over RPC; what it says holds sealed
secrets only. Restoring happens on the drifted server, with the role that its own `user`
blocks give the person. Adopting and keeping happen where the person is: the change
becomes a candidate there and goes the way of every change.

Core: asks the parts of the running server, and others over RPC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from configrepo.errors import ConfigRepoError, UnreadableConfig
from configrepo.layout import files_of, parse_block_file
from configrepo.members import Member
from configrepo.model import Files, ServerId
from configrepo.parser import read
from configrepo.revision import CommitId
from configrepo.schema import COMMON_UNDEFINED_FILE
from scheduler.applying import Applier
from scheduler.drift_seam import (
    DriftView,
    OverwrittenView,
    Restoring,
    drift_from_json,
    drift_to_json,
    overwritten_from_json,
    overwritten_to_json,
)
from scheduler.errors import SchedulerError
from scheduler.file_changes import changes_between
from scheduler.submission import Call, known_person
from scheduler.views import Edited, FileChange, Person, Refused, Role

ROUTE: Final = "/drift"
ANSWERS_WITHIN_S: Final = 5.0
_PARALLEL: Final = 8
_DIFFERENT: Final = "BQN {} runs what was applied there: nothing was changed from outside."


@dataclass(frozen=True, slots=True)
class DriftSeams:
    """What is needed of the other parts.

    `files` are those of a commit sealed with the current key, `newest` those that say who
    is who; `propose` makes a candidate; `ask` applies again; `drifted` are the servers that
    report a change from outside, `note` writes the audit log.
    """

    files: Callable[[CommitId], Files]
    newest: Callable[[], Files]
    propose: Callable[[Person, str, Mapping[str, str | None]], Edited | Refused]
    ask: Callable[[], None]
    drifted: Callable[[], tuple[ServerId, ...]]
    member: Callable[[ServerId], Member | None]
    call: Call
    note: Callable[[Person, str, str], None]


class Drift:
    """Implements `scheduler.drift_seam.DriftDesk`, and answers the other servers."""

    def __init__(self, me: ServerId, applier: Applier, seams: DriftSeams) -> None:
        self._me = me
        self._applier = applier
        self._seams = seams

    # --- this server ------------------------------------------------------------------

    def look(self) -> DriftView | None:
        """What was changed here from outside, or None."""
        running = self._applier.running()
        if running.result != "drifted" or running.commit is None:
            return None
        trace = self._applier.trace()
        changes, unread = self._difference(running.commit, self._applier.found)
        return DriftView(
            server=self._me,
            sentence=running.sentence,
            commit=running.commit,
            seen_at=running.drifted_at,
            changed_at=trace.at,
            changed_by=trace.by,
            changes=changes,
            unread=unread,
        )

    def look_back(self) -> OverwrittenView | None:
        """The last change from outside that was overwritten here, or None."""
        commit = self._applier.running().commit
        try:
            kept = self._applier.overwritten()
        except (ConfigRepoError, OSError) as error:
            return OverwrittenView(self._me, unread=f"outside.conf cannot be read: {error}")
        if kept is None or commit is None:
            return None
        changes, unread = self._difference(commit, lambda: kept.text)
        return OverwrittenView(self._me, kept.at, changes, unread)

    def _difference(
        self, commit: CommitId, found: Callable[[], str]
    ) -> tuple[tuple[FileChange, ...], str]:
        server = str(self._me)
        try:
            wanted = self._seams.files(commit)
            runs = files_of(read(found()).document, server, _common(wanted))
        except UnreadableConfig as error:
            first = error.problems[0]
            return (), f"what runs cannot be read: line {first.line}: {first.message}"
        except FileNotFoundError as error:
            return (), f"{error.filename} is not there"
        except (ConfigRepoError, OSError) as error:
            return (), str(error)
        scope = ("common/", f"servers/{server}/")
        before = {path: text for path, text in wanted.items() if path.startswith(scope)}
        return changes_between(before, runs), ""

    def answer(self, sender: ServerId, body: Mapping[str, Any]) -> dict[str, Any]:
        """RPC route `/drift`: what is there, what was, or (`restore`) apply the commit again."""
        if body.get("do") == "look back":
            kept = self.look_back()
            return {"overwritten": None if kept is None else overwritten_to_json(kept)}
        if body.get("do") != "restore":
            view = self.look()
            return {"drift": None if view is None else drift_to_json(view)}
        claimed = Person(
            str(body.get("name", "")),
            Role.VIEWER,
            str(body.get("address", "")),
            body.get("local") is True,
        )
        person = known_person(self._seams.newest(), claimed, sender)
        outcome = person if isinstance(person, Refused) else self._restore_here(person)
        return {"done": isinstance(outcome, Restoring), "sentence": outcome.sentence}

    def _restore_here(self, person: Person) -> Restoring | Refused:
        if not person.role.includes(Role.OPERATOR):
            return Refused(f"{person.name} may look, but not restore a configuration.")
        if self._applier.running().result != "drifted":
            return Refused(_DIFFERENT.format(self._me))
        self._seams.ask()
        told = f"BQN {self._me} applies the newest commit again; what ran is kept in outside.conf."
        self._seams.note(person, f"restore the configuration of BQN {self._me}", told)
        return Restoring(told)

    # --- every server -----------------------------------------------------------------

    def drifts(self) -> tuple[DriftView, ...]:
        """See `DriftDesk`."""
        servers = self._seams.drifted()
        if not servers:
            return ()
        with ThreadPoolExecutor(min(_PARALLEL, len(servers))) as pool:
            found = list(pool.map(self._shown, servers))
        return tuple(view for view in found if view is not None)

    def drift(self, server: ServerId) -> DriftView | None:
        """See `DriftDesk`."""
        return self._shown(server)

    def _shown(self, server: ServerId) -> DriftView | None:
        try:
            return self._of(server)
        except SchedulerError as error:
            return DriftView(server, "", unread=f"BQN {server} does not say what it runs: {error}")

    def _of(self, server: ServerId) -> DriftView | None:
        if server == self._me:
            return self.look()
        answer = self._call(server, {"do": "show"})
        found = answer.get("drift")
        view = None if found is None else drift_from_json(found)
        if view is not None and view.server != server:
            raise SchedulerError("the answer is about another server")
        return view

    def overwritten(self, server: ServerId) -> OverwrittenView | None:
        """See `DriftDesk`."""
        if server == self._me:
            return self.look_back()
        try:
            found = self._call(server, {"do": "look back"}).get("overwritten")
            view = None if found is None else overwritten_from_json(found)
            if view is not None and view.server != server:
                raise SchedulerError("the answer is about another server")
        except SchedulerError as error:
            return OverwrittenView(server, unread=f"BQN {server} does not say it: {error}")
        return view

    def _call(self, server: ServerId, body: Mapping[str, Any]) -> dict[str, Any]:
        member = self._seams.member(server)
        if member is None:
            raise SchedulerError(f"there is no BQN {server} in the cluster")
        return self._seams.call(member, ROUTE, body, ANSWERS_WITHIN_S)

    def restore(self, person: Person, server: ServerId) -> Restoring | Refused:
        """See `DriftDesk`."""
        if server == self._me:
            return self._restore_here(person)
        body = {
            "do": "restore",
            "name": person.name,
            "address": person.address,
            "local": person.local,
        }
        try:
            answer = self._call(server, body)
        except SchedulerError as error:
            return Refused(f"BQN {server} was not told to restore: {error}")
        sentence = str(answer.get("sentence", ""))
        self._seams.note(person, f"restore the configuration of BQN {server}", sentence)
        return Restoring(sentence) if answer.get("done") is True else Refused(sentence)

    def adopt(self, person: Person, server: ServerId) -> Edited | Refused:
        """See `DriftDesk`."""
        return self._propose(person, server, only_own=False)

    def keep(self, person: Person, server: ServerId) -> Edited | Refused:
        """See `DriftDesk`."""
        return self._propose(person, server, only_own=True)

    def _propose(self, person: Person, server: ServerId, *, only_own: bool) -> Edited | Refused:
        try:
            view = self._of(server)
        except SchedulerError as error:
            return Refused(f"BQN {server} does not say what it runs: {error}")
        if view is None or view.commit is None:
            return Refused(_DIFFERENT.format(server))
        if view.unread:
            return Refused(f"Nothing can be adopted: {view.unread}.")
        chosen = view.own if only_own else view.changes
        if not chosen:
            return Refused(
                "All that was changed is common to all servers, so BQN "
                f"{server} cannot keep it as its own: adopt it for all, or restore."
            )
        changes = {change.path: change.after for change in chosen}
        return self._seams.propose(person, view.commit, changes)


def _common(files: Files) -> frozenset[str]:
    """The undefined blocks that an operator marked common stay common."""
    text = files.get(COMMON_UNDEFINED_FILE)
    if text is None:
        return frozenset()
    return frozenset(block.text for block in parse_block_file(COMMON_UNDEFINED_FILE, text))
