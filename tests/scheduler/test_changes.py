"""The commit path: merged by key, checked, allowed, once, and durable before it is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from configrepo.model import ServerId
from configrepo.store import CommitId
from configrepo.unify import RowId, Take
from scheduler.changes import CLUSTER, Standing, lay_over, term_ref
from scheduler.file_changes import changes_between, servers_touched, title_of
from scheduler.views import Committed, Disagreed, Person, Refused
from scheduler.wire import ChangeRequest
from tests.support.small_server import ADMIN, OPERATOR, VIEWER, SmallServer

NTP = "common/ntp.conf"
PEAK = "common/profile/time/peak-time.conf"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SmallServer]:
    small = SmallServer(tmp_path, 0)
    yield small
    small.close()


def request(
    server: SmallServer,
    changes: Mapping[str, str | None],
    base: str | None = None,
    request_id: str = "r1",
    **more: Mapping[RowId, Take],
) -> ChangeRequest:
    return ChangeRequest(
        base or server.changes.head(),
        changes,
        "Change it",
        request_id,
        choices=more.get("choices", {}),
    )


def committed(outcome: object) -> Committed:
    assert isinstance(outcome, Committed), outcome
    return outcome


def test_a_change_becomes_one_signed_commit_with_its_trailers(server: SmallServer) -> None:
    before = server.changes.head()
    text = server.files()[NTP] + " server 192.0.2.99\n"
    outcome = committed(server.changes.commit(request(server, {NTP: text}), OPERATOR))
    revision = server.store.revision(CommitId(outcome.revision))
    assert revision.parents == (before,)
    assert revision.author_name == "noc"
    assert revision.trailers == {"Server": "0", "Request-Id": "r1"}
    assert "192.0.2.99" in server.files()[NTP]
    assert server.commits == [outcome.revision]


def test_the_same_request_is_committed_once(server: SmallServer) -> None:
    text = server.files()[NTP] + " server 192.0.2.99\n"
    one = committed(server.changes.commit(request(server, {NTP: text}), OPERATOR))
    two = committed(server.changes.commit(request(server, {NTP: text}), OPERATOR))
    assert (two.revision, two.repeated) == (one.revision, True)
    assert len(server.commits) == 1


def test_what_others_committed_meanwhile_is_merged_by_key(server: SmallServer) -> None:
    base = server.changes.head()
    text = server.files()[NTP]
    committed(server.changes.commit(request(server, {NTP: text + " server 192.0.2.1\n"}), OPERATOR))
    other = request(server, {NTP: text + " server 192.0.2.2\n"}, base, "r2")
    committed(server.changes.commit(other, OPERATOR))
    assert "192.0.2.1" in server.files()[NTP]
    assert "192.0.2.2" in server.files()[NTP]


def test_what_disagrees_is_asked_and_the_answer_is_taken(server: SmallServer) -> None:
    base, text = server.changes.head(), server.files()[PEAK]
    one = text.replace("19:00-23:00", "18:00-23:00")
    two = text.replace("19:00-23:00", "20:00-22:00")
    committed(server.changes.commit(request(server, {PEAK: one}), OPERATOR))
    asked = server.changes.commit(request(server, {PEAK: two}, base, "r2"), OPERATOR)
    assert isinstance(asked, Disagreed)
    assert [(d.key, d.a, d.b) for d in asked.disagreements] == [
        ("hours", "hours 18:00-23:00", "hours 20:00-22:00")
    ]
    assert server.files()[PEAK] == one
    answered = request(
        server, {PEAK: two}, base, "r2", choices={RowId(f"{PEAK}|hours"): Take("joiner")}
    )
    committed(server.changes.commit(answered, OPERATOR))
    assert server.files()[PEAK] == two


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({NTP: "ntp\n server\n"}, "errors"),
        ({PEAK: None}, "errors"),
        ({"common/x/../../y": "z\n"}, "errors"),
        ({}, "Nothing would change"),
    ],
)
def test_a_bad_or_empty_result_is_refused_and_nothing_moves(
    server: SmallServer, changes: Mapping[str, str | None], said: str
) -> None:
    before = server.changes.head()
    outcome = server.changes.commit(request(server, changes), ADMIN)
    assert isinstance(outcome, Refused)
    assert said in outcome.sentence
    assert server.changes.head() == before


@pytest.mark.parametrize(
    ("person", "path", "allowed"),
    [
        (VIEWER, NTP, False),
        (OPERATOR, NTP, True),
        (OPERATOR, "common/user/eve.conf", False),
        (ADMIN, "common/user/eve.conf", True),
    ],
)
def test_roles_are_checked_on_the_paths_of_the_change(
    server: SmallServer, person: Person, path: str, allowed: bool
) -> None:
    text = {NTP: "ntp\n server 192.0.2.9\n"}.get(path, "user eve\n role administrator\n")
    outcome = server.changes.commit(request(server, {path: text}), person)
    assert isinstance(outcome, Committed) is allowed


def test_a_clear_secret_never_reaches_the_repository(server: SmallServer) -> None:
    path = "common/user/eve.conf"
    text = "user eve\n role viewer\n password very-secret-word\n"
    committed(server.changes.commit(request(server, {path: text}), ADMIN))
    stored = server.files()[path]
    assert "very-secret-word" not in stored
    assert "password sealed:1:" in stored


def test_a_primary_writes_its_term_and_the_cluster_together(server: SmallServer) -> None:
    head = server.changes.head()
    merge = request(server, {})
    files = {**server.files(), NTP: "ntp\n server 192.0.2.9\n"}
    made = committed(server.changes.write_merge(Standing(CLUSTER, 3), (head,), files, merge, ADMIN))
    assert server.store.ref(CLUSTER) == made.revision
    assert server.store.ref(term_ref(3, server.me)) == made.revision
    assert server.store.revision(CommitId(made.revision)).trailers["Term"] == "3-0"


def test_a_secondary_and_a_server_that_hands_over_write_nothing(server: SmallServer) -> None:
    before = server.changes.head()
    change = request(server, {NTP: None})
    server.changes.hold("BQN 0 is taking over")
    held = server.changes.commit(change, ADMIN)
    assert held == Refused("BQN 0 is taking over")
    server.changes.release()
    server.standing = Standing(server.standing.line, None, "BQN 1 is the primary")
    assert server.changes.commit(change, ADMIN) == Refused("BQN 1 is the primary")
    assert server.changes.head() == before


def test_small_words() -> None:
    assert lay_over({"a": "1", "b": "2"}, {"a": None, "c": "3"}) == {"b": "2", "c": "3"}
    assert title_of("common/ntp.conf", "ntp\n server x\n") == "ntp"
    assert title_of("servers/0/wire.conf", "wire 1 …\nwire 2 …\n") == "wires"
    changed = changes_between({"servers/1/a.conf": "x\n"}, {})
    assert servers_touched(changed, (ServerId(0), ServerId(1))) == (1,)


@pytest.mark.parametrize("schema", [2, 1_000_000_000])
def test_a_schema_that_this_release_does_not_read_is_never_committed(
    server: SmallServer, schema: int
) -> None:
    before = server.changes.head()
    wanted = {"cluster/cluster.conf": f"cluster\n format {schema}\n"}
    outcome = server.changes.commit(request(server, wanted), ADMIN)
    assert isinstance(outcome, Refused)
    assert f"schema {schema}" in outcome.sentence
    assert server.changes.head() == before


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 65, "r1\nTerm: 9-9", "é"])
def test_a_request_id_that_could_forge_a_trailer_is_refused(
    server: SmallServer, request_id: str
) -> None:
    change = request(server, {NTP: "ntp\n server 192.0.2.9\n"}, request_id=request_id)
    assert isinstance(server.changes.commit(change, ADMIN), Refused)


def test_a_request_cannot_speak_for_the_server(server: SmallServer) -> None:
    change = ChangeRequest(
        server.changes.head(),
        {NTP: "ntp\n server 192.0.2.9\n"},
        "Change",
        "r1",
        trailers={"Server": "7", "Request-Id": "other", "Reverts-To": "x"},
    )
    made = committed(server.changes.commit(change, OPERATOR))
    trailers = server.store.revision(CommitId(made.revision)).trailers
    assert (trailers["Server"], trailers["Request-Id"]) == ("0", "r1")
