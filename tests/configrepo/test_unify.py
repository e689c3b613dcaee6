import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.checks import check_files
from configrepo.git import merge_lines
from configrepo.layout import files_of
from configrepo.parser import read_partly
from configrepo.unify import (
    Answer,
    Edit,
    Invalid,
    Proposal,
    RowId,
    Settled,
    StillOpen,
    Take,
    UnifyRow,
    answers_from_json,
    answers_to_json,
    problems_by_row,
    propose,
    row_id,
    settle,
)
from tests.support.configurations import common_files, configuration
from tests.support.counting import calls_of

HOURS = row_id("common/profile/time/peak-time.conf", "hours")
DOWN = row_id("common/policy/rate/rate-20Mbps.conf", "downlink rate")
UP = row_id("common/policy/rate/rate-20Mbps.conf", "uplink rate")
CLOCK = row_id("common/clock.conf", None)
DOS = row_id("common/dos.conf", "minimum-rate")
NOBODY: frozenset[RowId] = frozenset()


def pair() -> Proposal:
    base, cluster, joiner = map(common_files, ("factory", "bqn0-v1", "bqn1-v1"))
    return propose(base, cluster, joiner, ("BQN 0", "BQN 1"))


def settled(outcome: Settled | StillOpen | Invalid) -> dict[str, str]:
    assert isinstance(outcome, Settled), outcome
    return outcome.files


@pytest.fixture(name="third", scope="module")
def _third() -> Proposal:
    cluster = settled(settle(pair(), {}, NOBODY))
    return propose(
        common_files("factory"), cluster, common_files("bqn2-v1"), ("the cluster", "BQN 2")
    )


def test_the_first_pair_asks_nothing_and_says_why() -> None:
    proposal = pair()
    told = {row.id: row for row in proposal.rows if row.group != "same"}
    assert {row.group for row in told.values()} == {"addition", "kept"}
    assert len(told) == 6
    ntp = told[row_id("common/ntp.conf", "server 216.229.0.50")]
    assert ntp.title == "ntp"
    assert ntp.reason == "Only BQN 1 has it; BQN 0 and the factory default do not."


def test_the_third_server_asks_three_keys_and_changes_two(third: Proposal) -> None:
    groups: dict[str, set[str]] = {}
    for row in third.rows:
        groups.setdefault(row.group, set()).add(row.id)
    assert groups["disagreement"] == {HOURS, DOWN, UP}
    assert groups["changes-running"] == {CLOCK, DOS}
    assert third.rows[0].group == "disagreement"
    clock = next(row for row in third.rows if row.id == CLOCK)
    assert clock.title == "clock timezone"
    assert clock.reason == "Only BQN 2 changed it; the cluster still has the factory default."
    outcome = settle(third, {}, NOBODY)
    assert isinstance(outcome, StillOpen)
    assert set(outcome.row_ids) == {HOURS, DOWN, UP, CLOCK, DOS}
    assert "choose a value for hours of profile time peak-time" in outcome.sentences


def test_answers_settle_it(third: Proposal) -> None:
    answers: dict[RowId, Answer] = {
        HOURS: Take("joiner"),
        DOWN: Take("cluster"),
        UP: Edit("uplink  rate 04500"),
        CLOCK: Take("cluster"),
    }
    outcome = settle(third, answers, NOBODY)
    assert isinstance(outcome, StillOpen)
    assert outcome.row_ids == (DOS,)
    files = settled(settle(third, answers, frozenset({DOS})))
    assert " hours 18:00-24:00\n" in files["common/profile/time/peak-time.conf"]
    rates = files["common/policy/rate/rate-20Mbps.conf"]
    assert " downlink rate 20000 burst" in rates
    assert " uplink rate 4500\n" in rates
    assert files["common/clock.conf"] == "clock timezone Europe/Madrid\n"
    assert " minimum-rate 80000\n" in files["common/dos.conf"]
    assert not any(problem.severity == "error" for problem in check_files(files))


def test_every_row_can_be_overridden(third: Proposal) -> None:
    group = row_id("common/policy/rate/rate-100Mbps.conf", None)
    rule = row_id("common/rules/rate.conf", "rule access plan-100M")
    answers: dict[RowId, Answer] = {row.id: Take("cluster") for row in third.rows}
    answers |= {group: Take("base"), rule: Edit("")}
    files = settled(settle(third, answers, NOBODY))
    assert "common/policy/rate/rate-100Mbps.conf" not in files
    assert "plan-100M" not in files["common/rules/rate.conf"]
    everything: dict[RowId, Answer] = {row.id: Take("joiner") for row in third.rows}
    acknowledged = frozenset({CLOCK, DOS})
    assert settled(settle(third, everything, acknowledged)) == common_files("bqn2-v1")


def test_an_answer_that_cannot_be_read_is_invalid_at_its_row(third: Proposal) -> None:
    answers: dict[RowId, Answer] = {
        HOURS: Edit("hours late"),
        DOWN: Take("joiner"),
        UP: Edit("acm off"),
    }
    outcome = settle(third, answers, frozenset({CLOCK, DOS}))
    assert isinstance(outcome, Invalid)
    assert set(outcome.problems_by_row) == {HOURS, UP}


def test_problems_of_the_result_are_told_at_their_rows(third: Proposal) -> None:
    files = dict(third.files)
    files["common/dos.conf"] = "dos\n minimum-rate 9999999999\n"
    files["common/rules/rate.conf"] = "rules rate\n rule policy gone\n"
    files["common/snmp.conf"] = "snmp\n client x\n"
    files["common/user/x.conf"] = "user x\n token t sha256 ab expires 2026-01-01\n"
    errors = tuple(p for p in check_files(files) if p.severity == "error")
    found = problems_by_row(third, errors)
    assert {row.partition("|")[0] for row in found} == {
        "common/dos.conf",
        "common/rules/rate.conf",
        "common/snmp.conf",
        "",
    }
    assert DOS in found


def one_row(base: str | None, cluster: str | None, joiner: str | None) -> UnifyRow:
    path = "common/undefined.conf"
    one, two, three = ({} if text is None else {path: text} for text in (base, cluster, joiner))
    (row,) = propose(one, two, three, ("BQN 0", "BQN 1"), merge_lines).rows
    return row


@pytest.mark.parametrize(
    ("base", "cluster", "joiner", "group", "reason"),
    [
        ("x\n", None, "x\n y\n", "disagreement", "BQN 0 removed it and BQN 1 changed it."),
        ("x\n", "x\n y\n", None, "disagreement", "BQN 1 removed it and BQN 0 changed it."),
        ("x\n", "x\n a\n", "x\n b\n", "disagreement",
         "BQN 0 and BQN 1 both changed it, in different ways."),
        ("x\n", "x\n", None, "changes-running",
         "BQN 1 removed it; BQN 0 still has the factory default."),
        ("x\n", None, None, "same", "BQN 0 and BQN 1 both removed it."),
        ("x\n", None, "x\n", "kept", "BQN 0 removed it; BQN 1 still has the factory default."),
        ("x\n a\n b\n c\n d\n e\n", "x\n a\n b\n c\n d\n E\n", "x\n A\n b\n c\n d\n e\n",
         "changes-running", "BQN 0 and BQN 1 changed different lines; all changes are kept."),
    ],
)  # fmt: skip
def test_every_row_says_who_had_what(
    base: str | None, cluster: str | None, joiner: str | None, group: str, reason: str
) -> None:
    row = one_row(base, cluster, joiner)
    assert (row.group, row.reason) == (group, reason)


def test_both_sides_of_an_undefined_block_can_be_taken() -> None:
    path = "common/undefined.conf"
    proposal = propose({}, {path: "x\n same\n a\n"}, {path: "x\n same\n b\n"}, ("BQN 0", "BQN 1"))
    (row,) = proposal.rows
    assert row.can_take_both
    files = settled(settle(proposal, {row.id: Take("both")}, NOBODY))
    assert files == {path: "x\n same\n a\n b\n"}


def test_without_git_an_undefined_block_that_both_changed_is_asked() -> None:
    path = "common/undefined.conf"
    trees = [{path: f"x\n{lines}"} for lines in (" a\n b\n c\n", " A\n b\n c\n", " a\n b\n C\n")]
    (row,) = propose(trees[0], trees[1], trees[2], ("BQN 0", "BQN 1")).rows
    assert row.group == "disagreement"


def test_answers_survive_json() -> None:
    answers: dict[RowId, Answer] = {HOURS: Take("joiner"), UP: Edit("uplink rate 1\nü")}
    assert answers_from_json(json.loads(json.dumps(answers_to_json(answers)))) == answers


@pytest.mark.parametrize(
    "value", [[], None, {"x": 1}, {"x": {}}, {"x": {"take": "mine"}}, {"x": {"edit": 1}}]
)
def test_what_are_no_answers_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="answer"):
        answers_from_json(value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_taking_one_side_everywhere_gives_that_side(seed: int) -> None:
    base, cluster, joiner = (
        {
            path: text
            for path, text in files_of(read_partly(configuration(seed + n)).document, "0").items()
            if not path.endswith("comments.conf")
        }
        for n in range(3)
    )
    proposal = propose(base, cluster, joiner, ("A", "B"))
    everybody = frozenset(row.id for row in proposal.rows)
    answers: dict[RowId, Answer] = {row.id: Take("cluster") for row in proposal.rows}
    files = settled(settle(proposal, answers, everybody))
    assert lines(files) == lines(cluster)


def lines(files: dict[str, str]) -> dict[str, set[str]]:
    return {
        path: {line for line in text.splitlines() if not line.lstrip().startswith("!")}
        for path, text in files.items()
    }


def test_another_answer_costs_that_answer_and_not_all_again() -> None:
    rates = {
        f"common/policy/rate/r{n}.conf": f"policy rate r{n}\n downlink rate {{}}\n"
        for n in range(40)
    }
    ours = {path: text.format(7001) for path, text in rates.items()}
    theirs = {path: text.format(7002) for path, text in rates.items()}
    proposal = propose({}, ours, theirs, ("BQN 0", "BQN 1"))
    answers: dict[RowId, Answer] = {row.id: Take("joiner") for row in proposal.rows}
    made: list[object] = []

    def answered() -> int:
        act = lambda: made.append(settle(proposal, answers, NOBODY))  # noqa: E731
        return calls_of(act, "_text_with", "configrepo/placing.py")

    assert answered() == 40
    row = proposal.rows[3]
    answers[row.id] = Edit("downlink rate 7003")
    assert answered() == 1
    assert made[1] == Settled({**theirs, row.path: theirs[row.path].replace("7002", "7003")})
