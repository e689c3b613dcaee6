from __future__ import annotations

from configrepo.model import ServerId
from scheduler.elections_seam import IfDies
from scheduler.what_if import ServerFacts, WhatIfFacts, what_if

HEADS = ["c1", "c2", "c3"]


def missing(head: str, of: str) -> int | None:
    if "foreign" in (head, of):
        return None
    return max(0, HEADS.index(head) - HEADS.index(of))


def server(
    number: int, head: str | None = "c3", answers: bool = True, eligible: bool = True
) -> ServerFacts:
    return ServerFacts(ServerId(number), answers, eligible, head)


def asked(*servers: ServerFacts, primary: int | None = 0, drafts: int = 0) -> list[IfDies]:
    leader = None if primary is None else ServerId(primary)
    return list(what_if(WhatIfFacts(ServerId(0), leader, servers, drafts, missing)))


def test_the_next_that_answers_leads_and_nothing_is_lost() -> None:
    first, second = asked(server(0), server(1))
    assert (first.leads, first.lost, first.kept_on) == (1, 0, (1,))
    assert first.sentence == "BQN 1 would lead, as the first of those that answer."
    assert "Every commit is on another server too" in first.replicated
    assert second.sentence == "BQN 0 goes on leading."


def test_what_no_other_has_is_counted() -> None:
    first = asked(server(0), server(1, "c1"), server(2, "c2"))[0]
    assert (first.leads, first.lost, first.kept_on) == (1, 1, ())
    assert first.replicated == "1 commit would not be replicated yet."


def test_who_does_not_answer_or_shall_not_lead_is_passed_over() -> None:
    first = asked(server(0), server(1, answers=False), server(2, eligible=False), server(3))[0]
    assert first.leads == 3
    last = asked(server(0), server(2, eligible=False))[0]
    assert last.leads == 2
    assert "although it shall not" in last.sentence


def test_a_server_that_is_gone_already_says_so() -> None:
    gone = asked(server(0), server(1, answers=False))[1]
    assert gone.sentence == "BQN 1 does not answer already."
    assert gone.lost is None
    assert "not known here" in gone.replicated


def test_alone_nobody_would_lead() -> None:
    (only,) = asked(server(0))
    assert (only.leads, only.lost) == (None, None)
    assert only.sentence == "Nobody would lead: no other server answers."
    assert "No other server answers" in only.replicated


def test_what_cannot_be_known_is_not_guessed() -> None:
    first = asked(server(0, "foreign"), server(1))[0]
    assert first.lost is None
    assert "not known" in first.replicated


def test_unfinished_changes_of_this_server_are_counted() -> None:
    first, second = asked(server(0), server(1), drafts=2)
    assert "2 unfinished changes or answers are kept only here." in first.replicated
    assert "unfinished" not in second.replicated
