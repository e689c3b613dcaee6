from __future__ import annotations

import pytest

from configrepo.authorship import Written, refusal_of_commits, refusal_of_tip
from configrepo.model import ServerId
from configrepo.revision import CommitId

ZERO, ONE, TWO = ServerId(0), ServerId(1), ServerId(2)
KNOWN = {ZERO: frozenset({"key-0"}), ONE: frozenset({"key-1"})}


def written(
    server: str,
    key: str | None,
    term: str = "",
    members: tuple[tuple[ServerId, str], ...] = (),
    commit: str = "a" * 40,
) -> Written:
    return Written(CommitId(commit), server, term, key, members)


@pytest.mark.parametrize(
    ("commit", "words"),
    [
        (written("1", "key-1"), None),
        (written("1", "key-1", "7-1"), None),
        (written("1", "key-0"), "not signed with a key of server 1"),
        (written("1", None), "of server 1 is not signed"),
        (written("2", "key-2"), "not signed with a key of server 2"),
        (written("0", "key-0", "7-1"), "does not say which server made it"),
        (written("1", "key-0", "7-0"), "does not say which server made it"),
        (written("", "key-0"), "does not say which server made it"),
        (written("00", "key-0"), "does not say which server made it"),
        (written("0", "key-0", "7"), "does not say which server made it"),
        (written("0\n", "key-0"), "does not say which server made it"),
        (written("\u0660", "key-0"), "does not say which server made it"),
    ],
)
def test_a_commit_is_signed_by_the_server_that_it_names(commit: Written, words: str | None) -> None:
    refusal = refusal_of_commits([commit], KNOWN)
    assert refusal is None if words is None else words in (refusal or "")


def test_one_forged_commit_among_many_is_named() -> None:
    forged = written("1", "key-0", commit="b" * 40)
    good = [written("0", "key-0", commit=f"{n:040x}") for n in range(3)]
    refusal = refusal_of_commits([*good, forged, *good], KNOWN)
    assert refusal is not None
    assert "b" * 12 in refusal


def test_members_that_a_good_commit_of_a_term_names_are_believed() -> None:
    joiner = written("2", "key-2", commit="b" * 40)
    join = written("0", "key-0", "3-0", ((TWO, "key-2"),))
    assert refusal_of_commits([joiner, join], KNOWN) is None
    assert refusal_of_commits([joiner], KNOWN) is not None


def test_members_are_believed_over_several_steps() -> None:
    three = ServerId(3)
    last = written("3", "key-3", "9-3", commit="c" * 40)
    middle = written("2", "key-2", "8-2", ((three, "key-3"),), commit="b" * 40)
    first = written("0", "key-0", "3-0", ((TWO, "key-2"),))
    assert refusal_of_commits([last, middle, first], KNOWN) is None


@pytest.mark.parametrize(
    "liar",
    [
        written("2", "key-2", "3-2", ((TWO, "key-2"),)),
        written("0", "key-2", "3-0", ((TWO, "key-2"),)),
        written("0", "key-0", "", ((TWO, "key-2"),)),
    ],
)
def test_nobody_vouches_for_itself_and_only_a_term_names_members(liar: Written) -> None:
    stranger = written("2", "key-2", commit="b" * 40)
    assert refusal_of_commits([liar, stranger], KNOWN) is not None


def test_a_line_ends_in_a_commit_of_its_writer_and_of_its_term() -> None:
    tip = written("0", "key-0", "7-0")
    assert refusal_of_tip(tip, ZERO, 7) is None
    assert refusal_of_tip(tip, ZERO, None) is None
    assert "belongs to term 7-0, not to term 8-0" in (refusal_of_tip(tip, ZERO, 8) or "")
    assert "server 1 writes it" in (refusal_of_tip(tip, ONE, 7) or "")
    assert "names nobody" in (refusal_of_tip(written("", None), ONE, None) or "")
    assert refusal_of_tip(None, ONE, 7) is None
