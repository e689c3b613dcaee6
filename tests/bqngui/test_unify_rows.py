"""Rows of a unification as they are shown, and a posted form as answers."""

from __future__ import annotations

from dataclasses import replace

from bqngui.unify_rows import (
    PAGE_ROWS,
    Group,
    Said,
    answer_open_rows,
    groups_of,
    names_of,
    places_of,
    read_answers,
    worth_telling,
)
from configrepo.model import Problem, ServerId, Severity
from configrepo.unify import Edit, RowId, Take
from scheduler.views import Unification
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk

HOURS = RowId("common/profile/time/peak-time.conf|hours")
CLOCK = RowId("common/clock.conf|")


def laid_out(waiting: Unification, page: int = 1) -> tuple[Group, ...]:
    return groups_of(waiting, places_of(waiting.proposal.rows), page)


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
    groups = laid_out(waiting())
    assert [g.name for g in groups] == [
        "disagreement",
        "changes-running",
        "addition",
        "kept",
        "same",
    ]
    assert [sum(row.open for row in g.rows) for g in groups] == [3, 2, 0, 0, 0]
    numbers = [row.number for group in groups for row in group.rows]
    assert sorted(numbers) == list(range(1, len(waiting().proposal.rows) + 1))


def test_the_vendors_pair_asks_nothing() -> None:
    groups = laid_out(waiting(FakeDesk.unifying_two()))
    assert all(group.settled for group in groups)
    assert {row.row.title for row in groups[0].rows} == {
        "api rest",
        "ntp",
        "profile dpi speed-tests",
    }


def test_a_disagreement_offers_both_servers_and_nothing_is_chosen() -> None:
    row = next(r for g in laid_out(waiting()) for r in g.rows if r.row.id == HOURS)
    assert [(o.value, o.label) for o in row.options] == [
        ("cluster", "the cluster"),
        ("joiner", "BQN 2"),
    ]
    assert not any(o.chosen for o in row.options)
    assert row.open


def test_what_changes_running_servers_offers_to_keep_the_clusters() -> None:
    row = next(r for g in laid_out(waiting()) for r in g.rows if r.row.id == CLOCK)
    assert [o.label for o in row.options] == ["I acknowledge the change", "Keep the cluster's"]
    assert not any(o.chosen for o in row.options)


def test_a_settled_row_is_chosen_as_proposed_until_it_is_overridden() -> None:
    before = waiting()
    row = before.proposal.rows[-1]
    group = laid_out(before)[-1]
    assert next(o for o in group.rows[-1].options if o.chosen).value == "proposal"
    after = replace(before, answers={row.id: Edit("x")})
    shown = laid_out(after)[-1].rows[-1]
    assert shown.edit_chosen
    assert shown.text == "x"
    assert shown.changed


def test_both_is_offered_only_where_it_makes_sense() -> None:
    found = waiting()
    row = replace(found.proposal.rows[0], can_take_both=True)
    asked = replace(found, proposal=replace(found.proposal, rows=(row,)))
    assert [o.value for o in laid_out(asked)[0].rows[0].options] == ["cluster", "joiner", "both"]
    assert read_answers(asked, {f"take:{row.id}": "both"}).answers == {row.id: Take("both")}
    plain = replace(row, can_take_both=False)
    asked = replace(found, proposal=replace(found.proposal, rows=(plain,)))
    assert read_answers(asked, {f"take:{row.id}": "both"}).answers == {row.id: None}


def test_the_factory_default_is_offered_where_it_is_a_third_value() -> None:
    found = waiting()
    row = replace(found.proposal.rows[0], base="downlink rate 1")
    proposal = replace(found.proposal, rows=(row,))
    values = [o.value for o in laid_out(replace(found, proposal=proposal))[0].rows[0].options]
    assert values == ["cluster", "joiner", "base"]


def test_a_posted_form_becomes_answers_and_acknowledgements() -> None:
    rows = waiting().proposal.rows
    said = read_answers(
        waiting(),
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
        CLOCK: None,
        rows[0].id: None,
    }
    assert said.acknowledged == {CLOCK}


def test_a_form_says_nothing_of_rows_that_it_does_not_answer() -> None:
    before = replace(waiting(), answers={HOURS: Take("joiner")}, acknowledged=frozenset({CLOCK}))
    other = RowId("common/dos.conf|minimum-rate")
    said = read_answers(before, {f"take:{other}": "cluster", f"edit:{HOURS}": "x"})
    assert said == Said({other: Take("cluster")}, frozenset())
    same = before.proposal.rows[-1].id
    assert read_answers(before, {f"take:{same}": "proposal"}) == Said({same: None}, frozenset())


def test_a_long_list_is_cut_into_pages_and_every_row_is_on_one() -> None:
    found = waiting()
    first = found.proposal.rows[0]
    many = tuple(replace(first, id=RowId(f"{first.path}|k{n}")) for n in range(2 * PAGE_ROWS))
    long = replace(found, proposal=replace(found.proposal, rows=many + found.proposal.rows))
    places = places_of(long.proposal.rows)
    assert places.pages == 3
    pages = [laid_out(long, page) for page in (1, 2, 3)]
    shown = [row for groups in pages for group in groups for row in group.rows]
    assert [row.number for row in shown] == list(range(1, len(long.proposal.rows) + 1))
    assert all(places.page_of(row.row.id) == 1 + (row.number - 1) // PAGE_ROWS for row in shown)
    (second,) = pages[1]
    assert (second.first, len(second.rows)) == (PAGE_ROWS + 1, PAGE_ROWS)
    assert second.count == pages[0][0].count == pages[2][0].count == 2 * PAGE_ROWS + 3
    assert pages[2][0].first == 2 * PAGE_ROWS + 1
    kinds = list(places.groups())
    assert kinds[0] == ("disagreement", 1, 2 * PAGE_ROWS + 3)
    assert kinds[1][:2] == ("changes-running", 2 * PAGE_ROWS + 4)


def test_many_servers_are_counted_in_headings() -> None:
    crowd = replace(waiting(), servers=tuple(ServerId(n) for n in range(255)))
    assert names_of(crowd).running == "the 255 servers"
    titles = [group.title for group in laid_out(crowd)]
    assert "Changes what the 255 servers run now" in titles


def test_an_own_value_for_what_runs_acknowledges_the_change() -> None:
    said = read_answers(
        waiting(),
        {f"take:{CLOCK}": "edit", f"edit:{CLOCK}": "clock timezone Europe/Paris"},
    )
    assert said.acknowledged == {CLOCK}


def test_all_open_rows_are_answered_at_once_and_answers_stay() -> None:
    given = Said({HOURS: Edit("hours 20:00-22:00")}, frozenset({CLOCK}))
    for side, open_left in (("cluster", 0), ("joiner", 0), ("proposal", 2), ("nonsense", 3)):
        desk = FakeDesk.unifying()
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
    option = laid_out(replace(found, proposal=proposal))[0].rows[0].options[0]
    assert option.lines == ("rate\\u202e1",)


def test_hints_are_not_told_here() -> None:
    problems = [Problem(severity, 1, 1, "x") for severity in Severity]
    told = [p.severity for p in worth_telling(problems)]
    assert told == [Severity.ERROR, Severity.WARNING]
