from __future__ import annotations

from dataclasses import replace

import pytest

from configrepo.admission import (
    CLUSTER,
    LARGEST_BLOB,
    LARGEST_NOTE,
    MOST_ENTRIES,
    Admitted,
    Brought,
    Denied,
    IncomingFile,
    PushedRef,
    PushFacts,
    admit,
)
from configrepo.authorship import Written
from configrepo.model import Problem, ServerId, Severity
from configrepo.revision import CommitId

OLD, NEW = CommitId("a" * 40), CommitId("b" * 40)
ME, PRIMARY, OTHER = ServerId(2), ServerId(0), ServerId(1)
TERM = "refs/terms/000000000007-000"
FINE = IncomingFile("common/ntp.conf", 0o100644, 30)


def moving(*refs: str) -> tuple[PushedRef, ...]:
    return tuple(PushedRef(ref, OLD, NEW, commit=True, fast_forward=True) for ref in refs)


FACTS = PushFacts(
    peer=PRIMARY,
    standing="member",
    me=ME,
    following=PRIMARY,
    epoch=7,
    accepted=(6, ServerId(0)),
    refs=moving(CLUSTER, TERM),
    brought=Brought(frozenset({"commit", "tree", "blob"}), 500, 30, 1, (FINE,)),
)


def sentence(facts: PushFacts) -> str:
    decision = admit(facts)
    assert isinstance(decision, Denied)
    return decision.sentence


def test_the_followed_primary_moves_the_cluster_and_its_term_is_remembered() -> None:
    assert admit(FACTS) == Admitted((7, PRIMARY))


def test_lines_alone_change_no_accepted_term() -> None:
    assert admit(replace(FACTS, refs=moving(TERM))) == Admitted(None)


@pytest.mark.parametrize("peer", [OTHER, ServerId(3)])
def test_nobody_but_the_followed_primary_moves_the_cluster(peer: ServerId) -> None:
    assert "follows server 0" in sentence(replace(FACTS, peer=peer, refs=moving(CLUSTER)))


def test_a_server_that_leads_takes_no_cluster_from_others() -> None:
    assert "follows no primary" in sentence(replace(FACTS, following=None))


@pytest.mark.parametrize(
    ("accepted", "admitted"),
    [
        (None, True),
        ((6, ServerId(0)), True),
        ((7, ServerId(0)), True),
        ((7, ServerId(1)), True),
        ((8, ServerId(0)), False),
        ((8, ServerId(255)), False),
    ],
)
def test_a_stale_term_cannot_turn_time_back(
    accepted: tuple[int, ServerId] | None, admitted: bool
) -> None:
    assert isinstance(admit(replace(FACTS, accepted=accepted)), Admitted) is admitted


def test_of_two_primaries_in_one_term_the_lower_id_wins() -> None:
    facts = replace(FACTS, peer=OTHER, following=OTHER, refs=moving(CLUSTER))
    assert isinstance(admit(replace(facts, accepted=(7, ServerId(1)))), Admitted)
    assert "older" in sentence(replace(facts, accepted=(7, ServerId(0))))


@pytest.mark.parametrize(
    ("peer", "ref", "admitted"),
    [
        (1, "refs/heads/server/1", True),
        (1, "refs/terms/000000000003-001", True),
        (1, "refs/bqn/running/1", True),
        (1, "refs/notes/apply-1", True),
        (0, "refs/notes/apply-1", True),
        (1, "refs/notes/apply-3", False),
        (0, "refs/notes/apply-2", False),
        (0, "refs/heads/server/1", True),
        (0, "refs/bqn/running/1", True),
        (0, "refs/terms/000000000003-001", True),
        (1, "refs/heads/server/3", False),
        (1, "refs/terms/000000000003-003", False),
        (1, "refs/bqn/running/3", False),
        (0, "refs/heads/server/2", False),
        (0, "refs/terms/000000000003-002", False),
        (0, "refs/bqn/running/2", False),
    ],
)
def test_a_line_has_one_writer_and_the_primary_may_relay_it(
    peer: int, ref: str, admitted: bool
) -> None:
    decision = admit(replace(FACTS, peer=ServerId(peer), refs=moving(ref)))
    assert isinstance(decision, Admitted) is admitted


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/main",
        "refs/heads/cluster2",
        "refs/heads/server/01",
        "refs/heads/server/256",
        "refs/heads/server/1/x",
        "refs/heads/server/1\n",
        "refs/heads/server/\u0661",
        "refs/terms/7-0",
        "refs/terms/000000000007-0000",
        "refs/terms/000000000007-256",
        "refs/tags/v1",
        "refs/notes/commits",
        "refs/notes/apply-01",
        "refs/notes/apply-256",
        "refs/replace/" + "a" * 40,
        "refs/bqn/drafts/ana",
        "refs/bqn/running/x",
        "HEAD",
        "",
        "refs/heads/--upload-pack=x",
    ],
)
def test_no_other_ref_is_kept(ref: str) -> None:
    assert "no such ref" in sentence(replace(FACTS, refs=moving(ref)))


def test_a_joining_server_brings_its_own_line_and_nothing_else() -> None:
    joiner = replace(FACTS, peer=ServerId(5), standing="joining")
    assert admit(replace(joiner, refs=moving("refs/heads/server/5"))) == Admitted(None)
    for ref in (CLUSTER, "refs/heads/server/1", "refs/bqn/running/5", TERM.replace("000", "005")):
        assert "joining" in sentence(replace(joiner, refs=moving(ref)))


def test_nothing_is_deleted() -> None:
    gone = PushedRef(CLUSTER, OLD, None, commit=False, fast_forward=False)
    assert "deleted" in sentence(replace(FACTS, refs=(gone,)))


def test_everything_grows_but_what_runs_may_go_back() -> None:
    for ref, admitted in (
        (CLUSTER, False),
        (TERM, False),
        ("refs/heads/server/0", False),
        ("refs/notes/apply-0", False),
        ("refs/bqn/running/0", True),
    ):
        back = PushedRef(ref, OLD, NEW, commit=True, fast_forward=False)
        assert isinstance(admit(replace(FACTS, refs=(back,))), Admitted) is admitted


def test_a_ref_points_to_commits_only() -> None:
    blob = PushedRef("refs/bqn/running/0", None, NEW, commit=False, fast_forward=False)
    assert "commits only" in sentence(replace(FACTS, refs=(blob,)))


def test_one_bad_ref_refuses_the_whole_push() -> None:
    assert "refs/tags/x" in sentence(replace(FACTS, refs=moving(CLUSTER, TERM, "refs/tags/x")))
    assert "1024" in sentence(replace(FACTS, refs=moving(*[CLUSTER] * 1025)))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (IncomingFile("common/ntp.conf", 0o120000, 3), "mode 120000"),
        (IncomingFile("common/ntp.conf", 0o100755, 3), "mode 100755"),
        (IncomingFile("common/ntp.conf", 0o100666, 3), "mode 100666"),
        (IncomingFile("common/sub", 0o160000, 0), "mode 160000"),
        (IncomingFile("common/deep", 0o040000, 0), "mode 40000"),
        (IncomingFile("common/.gitattributes", 0o100644, 3), "not a place"),
        (IncomingFile(".gitmodules", 0o100644, 3), "not a place"),
        (IncomingFile("../x", 0o100644, 3), "not a place"),
        (IncomingFile("/etc/passwd", 0o100644, 3), "not a place"),
        (IncomingFile("common/user/--upload-pack=x.conf", 0o100644, 3), "not a place"),
        (IncomingFile("common/\x1b[2J", 0o100644, 3), "\\x1b"),
        (IncomingFile("common/\udcff", 0o100644, 3), "\\udcff"),
        (IncomingFile("x" * 5000, 0o100644, 3), "not a place"),
    ],
)
def test_only_plain_files_in_their_places_are_let_in(file: IncomingFile, words: str) -> None:
    said = sentence(replace(FACTS, brought=replace(FACTS.brought, files=(FINE, file))))
    assert words in said
    assert said.isprintable()
    assert len(said) < 700


def test_limits_are_named() -> None:
    for brought, words in (
        (replace(FACTS.brought, largest_blob=LARGEST_BLOB + 1), "file of 16777217 bytes"),
        (replace(FACTS.brought, heaviest=2**30), "tree or commit"),
        (replace(FACTS.brought, most_entries=MOST_ENTRIES + 1), "at most 40000 files"),
        (replace(FACTS.brought, listed=False), "at most 40000 files"),
        (replace(FACTS.brought, kinds=frozenset({"tag"})), "kind tag"),
    ):
        assert words in sentence(replace(FACTS, brought=brought))


@pytest.mark.parametrize(
    ("brought", "words"),
    [
        (Brought(objects=200_001, listed=False), "200001 objects are more than may come at a time"),
        (Brought(unfolded=70_000_000, listed=False), "unfolds to 70000000 bytes"),
    ],
)
def test_more_than_may_come_at_a_time_is_refused(brought: Brought, words: str) -> None:
    assert words in sentence(replace(FACTS, brought=brought))
    assert words in sentence(replace(FACTS, notes=brought))


def test_a_cluster_that_cannot_be_read_is_refused_with_the_place() -> None:
    problem = Problem(Severity.ERROR, 2, 1, "found `x`", "common/ntp.conf")
    assert sentence(replace(FACTS, problems=(problem,))) == "common/ntp.conf: line 2: found `x`"
    hint = replace(problem, severity=Severity.HINT)
    assert isinstance(admit(replace(FACTS, problems=(hint,))), Admitted)


def test_a_commit_that_another_server_signed_refuses_the_push() -> None:
    forged = Written(NEW, "0", "7-0", "key-1")
    facts = replace(FACTS, commits=(forged,), keys={PRIMARY: frozenset({"key-0"})})
    assert "not signed with a key of server 0" in sentence(facts)
    assert isinstance(admit(replace(facts, keys={PRIMARY: frozenset({"key-1"})})), Admitted)


def test_a_line_does_not_end_in_a_commit_of_somebody_else() -> None:
    other = Written(NEW, "1", "7-1", "key-1")
    for ref in (TERM, "refs/heads/server/0", "refs/notes/apply-0"):
        pushed = replace(moving(ref)[0], tip=other)
        assert f"{ref}: server 0 writes it" in sentence(replace(FACTS, refs=(pushed,)))
    running = replace(moving("refs/bqn/running/0")[0], tip=other)
    assert isinstance(admit(replace(FACTS, refs=(running,))), Admitted)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (IncomingFile("ab/" + "c" * 38, 0o100644, 30), None),
        (IncomingFile("ab/" + "c" * 38, 0o120000, 30), "not the name of a note"),
        (IncomingFile("common/ntp.conf", 0o100644, 30), "not the name of a note"),
        (IncomingFile("ab/" + "C" * 38, 0o100644, 30), "not the name of a note"),
        (IncomingFile("ab/" + "c" * 38, 0o100644, LARGEST_NOTE + 1), "too large"),
    ],
)
def test_notes_are_short_texts_named_by_their_commit(file: IncomingFile, words: str | None) -> None:
    decision = admit(replace(FACTS, notes=replace(FACTS.brought, files=(file,))))
    if words is None:
        assert isinstance(decision, Admitted)
    else:
        assert isinstance(decision, Denied)
        assert words in decision.sentence
