"""Rows of a unification as they are shown, and a posted form as answers."""

from __future__ import annotations

from dataclasses import replace

from bqngui.unify_rows import (
    Said,
    answer_open_rows,
    groups_of,
    names_of,
    read_answers,
    worth_telling,
)
from configrepo.model import Problem, Severity
from configrepo.unify import Edit, RowId, Take
from scheduler.views import Unification
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk

HOURS = RowId("common/profile/time/peak-time.conf|hours")
CLOCK = RowId("common/clock.conf|")


def waiting(desk: FakeDesk | None = None) -> Unification:
    found = (desk or FakeDesk.unifying()).unification()
    assert found is not None
    return found


def test_people_read_the_names_of_servers() -> None:
    names = names_of(waiting())
    assert (names.cluster, names.joiner, names.running) == (
        "the cluster",
        "BQN 2",
        "BQN 0 and BQN 1",
    )
    assert names_of(waiting(FakeDesk.unifying_two())).running == "BQN 0"


def test_questions_come_first_and_every_row_is_there_once() -> None:
    groups = groups_of(waiting())
    assert [g.name for g in groups] == [
        "disagreement",
        "changes-running",
        "addition",
        "kept",
        "same",
    ]
    assert [g.open_count for g in groups] == [3, 2, 0, 0, 0]
    numbers = [row.number for group in groups for row in group.rows]
    assert sorted(numbers) == list(range(1, len(waiting().proposal.rows) + 1))


def test_the_vendors_pair_asks_nothing() -> None:
    groups = groups_of(waiting(FakeDesk.unifying_two()))
    assert all(group.settled for group in groups)
    assert {row.row.title for row in groups[0].rows} == {
        "api rest",
        "ntp",
        "profile dpi speed-tests",
    }


def test_a_disagreement_offers_both_servers_and_nothing_is_chosen() -> None:
    row = next(r for g in groups_of(waiting()) for r in g.rows if r.row.id == HOURS)
    assert [(o.value, o.label) for o in row.options] == [
        ("cluster", "the cluster"),
        ("joiner", "BQN 2"),
    ]
    assert not any(o.chosen for o in row.options)
    assert row.open


def test_what_changes_running_servers_offers_to_keep_the_clusters() -> None:
    row = next(r for g in groups_of(waiting()) for r in g.rows if r.row.id == CLOCK)
    assert [o.label for o in row.options] == ["I acknowledge the change", "Keep the cluster's"]
    assert not any(o.chosen for o in row.options)


def test_a_settled_row_is_chosen_as_proposed_until_it_is_overridden() -> None:
    before = waiting()
    row = before.proposal.rows[-1]
    group = groups_of(before)[-1]
    assert next(o for o in group.rows[-1].options if o.chosen).value == "proposal"
    after = replace(before, answers={row.id: Edit("x")})
    shown = groups_of(after)[-1].rows[-1]
    assert shown.edit_chosen
    assert shown.text == "x"
    assert shown.changed


def test_both_is_offered_only_where_it_makes_sense() -> None:
    found = waiting()
    row = replace(found.proposal.rows[0], can_take_both=True)
    proposal = replace(found.proposal, rows=(row,))
    group = groups_of(replace(found, proposal=proposal))[0]
    assert [o.value for o in group.rows[0].options] == ["cluster", "joiner", "both"]
    assert read_answers((row,), {f"take:{row.id}": "both"}).answers == {row.id: Take("both")}
    plain = replace(row, can_take_both=False)
    assert read_answers((plain,), {f"take:{row.id}": "both"}).answers == {}


def test_the_factory_default_is_offered_where_it_is_a_third_value() -> None:
    found = waiting()
    row = replace(found.proposal.rows[0], base="downlink rate 1")
    proposal = replace(found.proposal, rows=(row,))
    values = [o.value for o in groups_of(replace(found, proposal=proposal))[0].rows[0].options]
    assert values == ["cluster", "joiner", "base"]


def test_a_posted_form_becomes_answers_and_acknowledgements() -> None:
    rows = waiting().proposal.rows
    said = read_answers(
        rows,
        {
            f"take:{HOURS}": "edit",
            f"edit:{HOURS}": "hours 20:00-22:00\r\n",
            f"take:{CLOCK}": "proposal",
            "take:common/dos.conf|minimum-rate": "cluster",
            "take:common/gone.conf|": "joiner",
            f"take:{rows[0].id}": "nonsense",
        },
    )
    assert said.answers == {
        HOURS: Edit("hours 20:00-22:00"),
        RowId("common/dos.conf|minimum-rate"): Take("cluster"),
    }
    assert said.acknowledged == {CLOCK}


def test_an_own_value_for_what_runs_acknowledges_the_change() -> None:
    said = read_answers(
        waiting().proposal.rows,
        {f"take:{CLOCK}": "edit", f"edit:{CLOCK}": "clock timezone Europe/Paris"},
    )
    assert said.acknowledged == {CLOCK}


def test_all_open_rows_are_answered_at_once_and_answers_stay() -> None:
    desk = FakeDesk.unifying()
    given = Said({HOURS: Edit("hours 20:00-22:00")}, frozenset({CLOCK}))
    for side, open_left in (("cluster", 0), ("joiner", 0), ("proposal", 2), ("nonsense", 3)):
        said = answer_open_rows(waiting(desk), given, side)
        assert said.answers[HOURS] == Edit("hours 20:00-22:00")
        assert CLOCK not in said.answers
        kept = desk.answer(ADMINISTRATOR, said.answers, said.acknowledged)
        assert isinstance(kept, Unification)
        assert len(kept.open_rows) == open_left, side


def test_what_a_reader_cannot_see_is_written_out() -> None:
    found = waiting()
    row = replace(found.proposal.rows[0], cluster="rate\u202e1")
    proposal = replace(found.proposal, rows=(row,))
    option = groups_of(replace(found, proposal=proposal))[0].rows[0].options[0]
    assert option.lines == ("rate\\u202e1",)


def test_hints_are_not_told_here() -> None:
    problems = [Problem(severity, 1, 1, "x") for severity in Severity]
    told = [p.severity for p in worth_telling(problems)]
    assert told == [Severity.ERROR, Severity.WARNING]
