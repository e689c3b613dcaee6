"""Changes reach the primary with the person's own role, and a missing primary loses nothing."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from configrepo.members import Member, member_file
from configrepo.model import ServerId
from configrepo.store import CommitId, RefUpdate
from configrepo.store import Person as Author
from scheduler.accounts import path_of_user
from scheduler.apply_turn import Staging
from scheduler.changes import CLUSTER, Standing
from scheduler.control_view import ControlView, PeerView
from scheduler.errors import RemoteRefused, Unreachable, WrongIdentity
from scheduler.people import People
from scheduler.submission import Submission, standing_of
from scheduler.views import Committed, Disagreed, Person, Refused, Role, TokenMade
from scheduler.wire import (
    ChangeRequest,
    outcome_from_json,
    outcome_to_json,
    request_from_json,
    request_to_json,
)
from tests.support.small_server import ADMIN, OPERATOR, VIEWER, SmallServer
from tests.support.standing import alone, following, leading

NTP = "common/ntp.conf"
ZERO, ONE = ServerId(0), ServerId(1)
USERS = {
    "common/user/noc.conf": "user noc\n role operator\n",
    "common/user/audit.conf": "user audit\n role viewer\n password sealed:1:x:AAAA\n",
    "common/user/root.conf": "user root\n role administrator\n",
}


class Pair:
    """A primary and a secondary that share one history; the wire is JSON in memory."""

    def __init__(self, folder: Path) -> None:
        self.primary = SmallServer(folder, 0)
        self.secondary = SmallServer(folder, 1, None)
        self.view: ControlView = following(1, 0, 1)
        self.error: Exception | None = None
        self.full: str | None = None
        members = dict(member_file(server.record()) for server in (self.primary, self.secondary))
        files = {**self.primary.files(), **members, **self._sealed(USERS)}
        head = self.primary.changes.head()
        first = self.primary.store.write_commit(
            (head,), files, _author(), "Make the cluster", {"Server": "0"}
        )
        self.primary.store.move((RefUpdate(CLUSTER, None, first),), "test")
        self.primary.standing = Standing(CLUSTER, 1)
        self.at_primary = Submission(
            ZERO,
            self.primary.store,
            self.primary.changes,
            lambda: leading(0, 1),
            self.primary.roster.active,
            self.call,
        )
        self.copy()
        self.submission = Submission(
            ONE,
            self.secondary.store,
            self.secondary.changes,
            lambda: self.view,
            self.primary.roster.active,
            self.call,
            no_room=lambda: self.full,
        )
        self.secondary.standing = self.submission.standing()
        self.primary.commits.clear()

    def _sealed(self, files: Mapping[str, str]) -> dict[str, str]:
        token = self.primary.vault.seal("common/user/audit.conf", "password", "$argon2id$x")
        return {path: text.replace("sealed:1:x:AAAA", token) for path, text in files.items()}

    def copy(self) -> None:
        """What the replication does."""
        git = ["git", "-C", str(self.secondary.store.path), "-c", "protocol.file.allow=always"]
        source = str(self.primary.store.path)
        subprocess.run([*git, "fetch", "-q", source, CLUSTER], check=True)
        head = self.primary.store.ref(CLUSTER)
        old = self.secondary.store.ref(CLUSTER)
        self.secondary.store.move((RefUpdate(CLUSTER, old, head),), "test")

    def call(
        self, member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        assert (member.id, route) == (0, "/commit")
        assert timeout_s > 0
        if self.error is not None:
            raise self.error
        answer = self.at_primary.receive(ONE, json.loads(json.dumps(body)))
        arrival = threading.Thread(target=self._arrive)
        arrival.start()
        self.arrival = arrival
        result: dict[str, Any] = json.loads(json.dumps(answer))
        return result

    def _arrive(self) -> None:
        self.copy()
        self.submission.arrived()

    def submit(
        self, person: Person, changes: Mapping[str, str | None], own_password: bool = False
    ) -> object:
        head = self.primary.store.ref(CLUSTER)
        assert head is not None
        request = ChangeRequest(head, changes, "Change", f"r{len(self.primary.commits)}")
        return self.submission.submit(request, person, own_password)

    def close(self) -> None:
        self.primary.close()
        self.secondary.close()


def _author() -> Author:
    return Author("test", "test@example.invalid")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def test_a_change_at_a_secondary_is_made_by_the_primary_and_arrives(pair: Pair) -> None:
    outcome = pair.submit(OPERATOR, {NTP: "ntp\n server 192.0.2.9\n"})
    assert isinstance(outcome, Committed)
    assert outcome.written_by == 0
    assert pair.secondary.store.ref(CLUSTER) == outcome.revision
    pair.arrival.join()
    revision = pair.primary.store.revision(CommitId(outcome.revision))
    assert revision.author_name == "noc"
    assert revision.trailers["Term"] == "1-0"
    assert revision.trailers["Through"] == "1"


@pytest.mark.parametrize(
    ("person", "path", "allowed"),
    [
        # The role that the secondary claims counts for nothing.
        (Person("audit", Role.ADMINISTRATOR), NTP, False),
        (Person("noc", Role.ADMINISTRATOR), "common/user/eve.conf", False),
        (Person("root", Role.VIEWER), "common/user/eve.conf", True),
        (Person("stranger", Role.ADMINISTRATOR), NTP, False),
        (ADMIN, NTP, True),
        (ADMIN, "common/user/eve.conf", False),
    ],
)
def test_the_primary_takes_the_role_from_its_own_users(
    pair: Pair, person: Person, path: str, allowed: bool
) -> None:
    text = "ntp\n server 192.0.2.9\n" if path == NTP else "user eve\n role administrator\n"
    outcome = pair.submit(person, {path: text})
    assert isinstance(outcome, Committed if allowed else Refused), outcome
    pair.arrival.join()


def test_everybody_may_change_the_own_password_and_nothing_else_with_it(pair: Pair) -> None:
    path = path_of_user("audit")
    token = pair.primary.vault.seal(path, "password", "$argon2id$new")
    fine = f"user audit\n role viewer\n password {token}\n"
    stolen = fine.replace("viewer", "administrator")
    assert isinstance(pair.submit(VIEWER, {path: stolen}, own_password=True), Refused)
    pair.arrival.join()
    assert isinstance(pair.submit(VIEWER, {path: fine, NTP: None}, own_password=True), Refused)
    pair.arrival.join()
    assert isinstance(pair.submit(VIEWER, {path: fine}, own_password=True), Committed)
    pair.arrival.join()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("nothing answers", "refused"), "could not be reached: nothing answers"),
        (WrongIdentity("another key"), "could not be reached: another key"),
        (RemoteRefused("too busy"), "refused: too busy"),
    ],
)
def test_a_primary_that_cannot_be_asked_is_said_and_nothing_is_changed(
    pair: Pair, error: Exception, said: str
) -> None:
    pair.error = error
    outcome = pair.submit(OPERATOR, {NTP: "ntp\n server 192.0.2.9\n"})
    assert isinstance(outcome, Refused)
    assert said in outcome.sentence
    assert pair.primary.commits == []


def test_without_a_primary_the_page_is_read_only_and_says_why(pair: Pair) -> None:
    assert pair.submission.refusal() is None
    pair.view = following(1, None, 1)
    refusal = pair.submission.refusal()
    assert refusal is not None
    assert "No primary" in refusal
    assert pair.submit(OPERATOR, {NTP: None}) == Refused(refusal)


def test_who_cannot_save_for_want_of_room_is_told_where_it_goes_on(pair: Pair) -> None:
    pair.full = "The disk is full."
    wanted = "The disk is full. BQN 0 leads: save there meanwhile."
    assert pair.submission.refusal() == wanted
    assert pair.submit(OPERATOR, {NTP: "ntp\n server 192.0.2.9\n"}) == Refused(wanted)
    pair.view = following(1, None, 1)
    assert pair.submission.refusal() == "The disk is full."


def test_what_was_saved_here_before_a_crash_is_not_made_again_by_the_next_primary(
    pair: Pair,
) -> None:
    secondary, base = pair.secondary, pair.secondary.changes.head()
    request = ChangeRequest(base, {NTP: "ntp\n server 192.0.2.9\n"}, "Change", "form-1")
    secondary.vault.keep(pair.primary.vault.keyring)
    secondary.standing = Standing(CLUSTER, 1)
    made = secondary.changes.commit(request, ADMIN)
    assert isinstance(made, Committed)
    again = pair.submission.submit(request, ADMIN)
    assert isinstance(again, Committed)
    assert (again.revision, again.repeated) == (made.revision, True)
    assert pair.primary.commits == []


def test_a_primary_that_only_others_reach_is_not_tried_and_the_person_is_told(pair: Pair) -> None:
    cut = PeerView(ZERO, "indirect", "", role="primary", via=ServerId(2))
    pair.view = replace(following(1, 0, 1), peers=(cut,))
    pair.error = AssertionError("it was tried")
    told = pair.submission.refusal()
    assert told is not None
    assert "BQN 0 is the primary, but this server reaches it only through BQN 2" in told
    assert pair.submit(ADMIN, {NTP: "ntp\n server 192.0.2.9\n"}) == Refused(told)


def test_what_a_server_may_write_follows_from_its_role() -> None:
    assert standing_of(ZERO, alone(), False) == Standing("refs/heads/server/0", None)
    assert standing_of(ZERO, leading(0, 4), True) == Standing(CLUSTER, 4)
    assert standing_of(ONE, following(1, 0, 4), True).refusal is not None


@pytest.mark.parametrize("body", [{}, {"base": 1}, {"base": "x", "changes": []}])
def test_a_change_in_a_wrong_form_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RemoteRefused, match="wrong form"):
        request_from_json(body)
    with pytest.raises(RemoteRefused, match="wrong form"):
        outcome_from_json(body)


def test_outcomes_survive_the_wire() -> None:
    outcomes: list[Committed | Refused | Disagreed] = [
        Committed("a" * 40, ZERO, "Saved.", True),
        Refused("no"),
        Disagreed(()),
    ]
    for outcome in outcomes:
        assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome)))) == outcome


def test_users_and_tokens_are_one_commit_each(pair: Pair) -> None:
    def newest() -> tuple[str, dict[str, str]]:
        return pair.primary.changes.head(), pair.primary.files()

    people = People(
        pair.at_primary,
        newest,
        pair.primary.vault.seal,
        pair.primary.vault.open,
        lambda: date(2026, 11, 22),
    )
    added = people.put_user(ADMIN, "lea", Role.OPERATOR, "$argon2id$lea", "u1")
    assert isinstance(added, Committed)
    account = people.account("lea")
    assert account is not None
    assert (account.role, account.password_hash) == (Role.OPERATOR, "$argon2id$lea")
    token = people.create_token(ADMIN, "lea", "clone", 30, "u2")
    assert isinstance(token, TokenMade)
    assert token.expires == "2026-12-22"
    assert token.text not in "".join(pair.primary.files().values())
    holder = people.token_account(token.text)
    assert holder is not None
    assert holder.name == "lea"
    assert isinstance(people.create_token(ADMIN, "lea", "clone", 30, "u3"), Refused)
    assert isinstance(people.revoke_token(ADMIN, "lea", "clone", "u4"), Committed)
    assert people.token_account(token.text) is None
    lea = Person("lea", Role.OPERATOR)
    assert isinstance(people.change_own_password(lea, "$argon2id$new", "u5"), Committed)
    changed = people.account("lea")
    assert changed is not None
    assert changed.password_hash == "$argon2id$new"
    assert isinstance(people.put_user(OPERATOR, "eve", Role.ADMINISTRATOR, None, "u6"), Refused)


def test_a_secondary_can_say_only_some_trailers() -> None:
    change = ChangeRequest("a" * 40, {}, "m", "r", trailers={"Term": "9-9", "Reverts-To": "x"})
    sent = json.loads(json.dumps(request_to_json(change, OPERATOR)))
    arrived, person = request_from_json(sent)
    assert arrived.trailers == {"Reverts-To": "x"}
    assert person.role is Role.VIEWER


@pytest.mark.parametrize(
    ("path", "text", "said", "staged"),
    [
        (NTP, "ntp\n server 192.0.2.9\n", {}, {"Canary": "1", "Canary-Pause": "30"}),
        (NTP, "ntp\n server 192.0.2.9\n", {"Canary": "none"}, {"Canary": "none"}),
        ("cluster/servers/1.conf", None, {}, {}),
    ],
)
def test_the_primarys_setting_stages_what_servers_run_unless_the_form_says_otherwise(
    pair: Pair, path: str, text: str | None, said: dict[str, str], staged: dict[str, str]
) -> None:
    primary = pair.primary
    pair.at_primary = Submission(
        ZERO,
        primary.store,
        primary.changes,
        lambda: leading(0, 1),
        primary.roster.active,
        pair.call,
        preset=Staging(ONE, 30),
    )
    head = primary.store.ref(CLUSTER)
    assert head is not None
    request = ChangeRequest(head, {path: text}, "Change", "r1", trailers=said)
    done = pair.at_primary.submit(request, ADMIN)
    assert isinstance(done, Committed), done
    trailers = primary.store.revision(CommitId(done.revision)).trailers
    assert {key: trailers[key] for key in trailers if key.startswith("Canary")} == staged
