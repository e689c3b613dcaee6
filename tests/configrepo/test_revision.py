from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configrepo.revision import (
    CommitId,
    Person,
    RefUpdate,
    compose_message,
    is_ref_name,
    split_message,
)

GOOD = (
    "refs/heads/cluster",
    "refs/heads/server/0",
    "refs/terms/000000000007-012",
    "refs/bqn/running/255",
    "refs/notes/apply-3",
    "refs/bqn/drafts/Ana.Ruiz",
)
BAD = (
    "HEAD",
    "refs/heads",
    "refs/heads/",
    "refs/heads/../x",
    "refs/heads/a..b",
    "refs/heads/x.lock",
    "refs/heads/x.",
    "refs/heads/a b",
    "refs/heads/a\nupdate refs/heads/b",
    "refs/heads/--upload-pack=x",
    "refs/heads/@{-1}",
    "refs//heads/x",
    "refs/heads/x\0",
    "refs/heads/é",
    "--all",
    "refs/heads/" + "a" * 300,
)


@pytest.mark.parametrize("name", GOOD)
def test_the_refs_of_this_product_are_ref_names(name: str) -> None:
    assert is_ref_name(name)


@pytest.mark.parametrize("name", BAD)
def test_other_names_never_reach_git(name: str) -> None:
    assert not is_ref_name(name)
    with pytest.raises(ValueError, match="not a ref name"):
        RefUpdate(name, None, None)


def test_an_update_takes_only_full_commit_ids() -> None:
    with pytest.raises(ValueError, match="not a commit id"):
        RefUpdate("refs/heads/x", None, CommitId("HEAD\n"))


def test_a_message_comes_back_with_its_trailers() -> None:
    text = compose_message("Slow down\r\n\r\nThe link is full.  \n", {"Server": "0", "Term": "7"})
    assert text == "Slow down\n\nThe link is full.\n\nServer: 0\nTerm: 7\n"
    assert split_message(text) == (
        "Slow down",
        "Slow down\n\nThe link is full.",
        {"Server": "0", "Term": "7"},
    )


def test_what_a_person_types_never_becomes_a_trailer() -> None:
    text = compose_message("Nice\n\nRequest-Id: forged", {"Request-Id": "real"})
    assert split_message(text)[2] == {"Request-Id": "real"}


def test_a_trailer_that_could_not_be_read_back_is_refused() -> None:
    for key, value in (("Request-Id", "a\nTerm: 9"), ("request id", "x"), ("Term", "a\x00")):
        with pytest.raises(ValueError, match="not a trailer"):
            compose_message("x", {key: value})


def test_an_empty_message_says_so() -> None:
    assert compose_message(" \n", {}) == "(no message)\n"


@given(st.text())
def test_any_words_make_a_message_that_git_accepts(words: str) -> None:
    text = compose_message(words, {"Server": "1"})
    assert split_message(text)[2] == {"Server": "1"}
    assert "\x00" not in text
    assert text.endswith("\n\nServer: 1\n")


@given(st.text(), st.text())
def test_a_name_cannot_forge_the_header_of_a_commit(name: str, email: str) -> None:
    ident = Person(name, email).ident()
    assert ident.count("<") == ident.count(">") == 1
    assert ident.endswith(">")
    assert not ident.startswith(" ")
    assert "\n" not in ident
