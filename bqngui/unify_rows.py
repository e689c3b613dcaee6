"""The rows of a unification as the page shows them, and a posted form read into answers.

Each row offers the values of the servers by their names. The radio of a row is named
`take:<row id>` and says proposal, cluster, joiner, both, base or edit; the text of an edit
is `edit:<row id>`. Rows that would change what runs now start without a choice: choosing
anything but the cluster's value is the acknowledgement. Names carry the row id, not its
number, so an answer stays with its row when the list changes meanwhile. A form holds the rows
of one page; the answers to all others stay as they are.

It knows nothing of requests or HTML.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Literal

from bqngui.diff import visible
from configrepo.model import Problem, Severity
from configrepo.unify import Answer, Edit, RowId, Take, UnifyRow, answers_with
from scheduler.views import Unification

_SIDES: tuple[Literal["cluster", "joiner", "both", "base"], ...] = (
    "cluster",
    "joiner",
    "both",
    "base",
)
_ASKED = ("disagreement", "changes-running")
_ORDER = (*_ASKED, "addition", "kept", "same")

PAGE_ROWS = 100
MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Option:
    """One radio of a row. `lines` is the value that it takes; None if that is absent."""

    value: str
    label: str
    lines: tuple[str, ...] | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One row: what each side has, what can be chosen and what was.

    `number` counts through the whole page and names the row's elements.
    """

    number: int
    row: UnifyRow
    options: tuple[Option, ...]
    edit_chosen: bool
    text: str
    base: tuple[str, ...] | None
    cluster: tuple[str, ...] | None
    joiner: tuple[str, ...] | None
    proposal: tuple[str, ...] | None
    open: bool
    changed: bool
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one kind under a heading; `settled` ones are settled and only can be overridden.

    `rows` are those of the page that is shown, the first of them is number `first` of `count`.
    """

    name: str
    title: str
    explanation: str
    rows: tuple[ShownRow, ...]
    settled: bool
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rows of a unification are: questions first, cut into pages."""

    rows: tuple[UnifyRow, ...]
    numbers: Mapping[RowId, int]

    @property
    def pages(self) -> int:
        """How many pages there are; at least one."""
        return max(1, -(-len(self.rows) // PAGE_ROWS))

    @property
    def asked(self) -> int:
        """How many rows want an answer."""
        return sum(row.group in _ASKED for row in self.rows)

    def page_of(self, row: RowId) -> int:
        """The page that a row is on."""
        return 1 + (self.numbers[row] - 1) // PAGE_ROWS

    def groups(self) -> Iterator[tuple[str, int, int]]:
        """Each kind of rows with the number of its first row and how many there are."""
        first = 1
        for name, rows in groupby(self.rows, attrgetter("group")):
            count = sum(1 for _ in rows)
            yield name, first, count
            first += count


@dataclass(frozen=True, slots=True)
class Said:
    """What a posted form says of its rows: None is "as proposed"; all others stay as they are."""

    answers: Mapping[RowId, Answer | None]
    acknowledged: frozenset[RowId]


@dataclass(frozen=True, slots=True)
class Names:
    """What the two sides are called on the page; `running` lists the servers that run now."""

    cluster: str
    joiner: str
    running: str


def names_of(waiting: Unification) -> Names:
    """The names of the two sides, as people say them."""
    if len(waiting.servers) > MOST_NAMED:
        running = f"the {len(waiting.servers)} servers"
        return Names(waiting.cluster_name, f"BQN {waiting.joiner}", running)
    servers = [f"BQN {s}" for s in waiting.servers]
    running = " and ".join(filter(None, [", ".join(servers[:-1]), servers[-1] if servers else ""]))
    return Names(waiting.cluster_name, f"BQN {waiting.joiner}", running)


def places_of(rows: Sequence[UnifyRow]) -> Places:
    """Put the rows in the order of the page."""
    ordered = tuple(sorted(rows, key=lambda row: _ORDER.index(row.group)))
    return Places(ordered, {row.id: number for number, row in enumerate(ordered, 1)})


def groups_of(waiting: Unification, places: Places, page: int) -> tuple[Group, ...]:
    """The rows of a page in their groups, questions first."""
    names = names_of(waiting)
    still_open = frozenset(waiting.open_rows)
    start, end = (page - 1) * PAGE_ROWS, page * PAGE_ROWS
    shown = [
        _shown(row, number, waiting, names, row.id in still_open)
        for number, row in enumerate(places.rows[start:end], start + 1)
    ]
    groups = []
    for name, first, count in places.groups():
        rows = tuple(row for row in shown if row.row.group == name)
        if rows:
            title, explanation = _words(name, names, len(waiting.servers))
            settled = name not in _ASKED
            position = rows[0].number - first + 1
            groups.append(Group(name, title, explanation, rows, settled, position, count))
    return tuple(groups)


def title_of(name: str, waiting: Unification) -> str:
    """The heading of a group."""
    return _words(name, names_of(waiting), len(waiting.servers))[0]


def _words(name: str, names: Names, servers: int) -> tuple[str, str]:
    """Heading and explanation of a group."""
    running = f"what {names.running} run{'s' if servers == 1 else ''} now"
    return {
        "disagreement": ("Disagreements", "Both sides set these in different ways. Choose."),
        "changes-running": (
            f"Changes {running}",
            f"Only {names.joiner} differs from the factory default here. "
            f"Acknowledge each change, or keep {_possessive(names.cluster)} value.",
        ),
        "addition": (f"New for {names.running}", f"{names.joiner} has them; they are added."),
        "kept": (f"Kept from {names.cluster}", f"{names.joiner} gets them."),
        "same": ("The same on both sides", "Nothing changes."),
    }[name]


def read_answers(waiting: Unification, form: Mapping[str, str]) -> Said:
    """Read a posted form; fields of rows that no longer exist are left out."""
    answers: dict[RowId, Answer | None] = {}
    acknowledged: set[RowId] = set()
    for row in waiting.proposal.rows:
        taken = form.get(f"take:{row.id}")
        if taken is None:
            continue
        answers[row.id] = _answer(row, taken, form)
        if row.group == "changes-running" and taken not in ("", "cluster"):
            acknowledged.add(row.id)
    return Said(answers, frozenset(acknowledged))


def answer_open_rows(waiting: Unification, said: Said, side: str) -> Said:
    """Answer every row that is still open in the same way; answers given stay.

    Args:
        waiting: the unification with the rows.
        said: what the form says; what was said before is in `waiting`.
        side: cluster, joiner, or proposal (acknowledge what changes the running servers).
    """
    answers, acknowledged = dict(said.answers), set(said.acknowledged)
    given = {
        *answers_with(waiting.answers, said.answers),
        *(waiting.acknowledged - said.answers.keys()),
        *said.acknowledged,
    }
    for row in waiting.proposal.rows:
        if row.group not in _ASKED or row.id in given:
            continue
        match side:
            case "cluster":
                answers[row.id] = Take("cluster")
            case "joiner":
                answers[row.id] = Take("joiner")
        if row.group == "changes-running" and side in ("joiner", "proposal"):
            acknowledged.add(row.id)
    return Said(answers, frozenset(acknowledged))


def worth_telling(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Without hints: they are about what is there already, not about this unification."""
    return tuple(p for p in problems if p.severity is not Severity.HINT)


def _answer(row: UnifyRow, taken: str, form: Mapping[str, str]) -> Answer | None:
    if taken == "edit":
        return Edit(form.get(f"edit:{row.id}", "").replace("\r\n", "\n").strip("\n"))
    for side in _SIDES:
        if taken == side and (side != "both" or row.can_take_both):
            return Take(side)
    return None


def _shown(
    row: UnifyRow, number: int, waiting: Unification, names: Names, is_open: bool
) -> ShownRow:
    answer = waiting.answers.get(row.id)
    chosen = _chosen(row, answer, row.id in waiting.acknowledged)
    return ShownRow(
        number=number,
        row=row,
        options=_options(row, names, chosen),
        edit_chosen=chosen == "edit",
        text=answer.text if isinstance(answer, Edit) else _starting_text(row),
        base=_lines(row.base),
        cluster=_lines(row.cluster),
        joiner=_lines(row.joiner),
        proposal=_lines(row.proposal),
        open=is_open,
        changed=answer is not None,
        problems=worth_telling(waiting.problems.get(row.id, ())),
    )


def _chosen(row: UnifyRow, answer: Answer | None, acknowledged: bool) -> str:
    match answer:
        case Take(side=side):
            return side
        case Edit():
            return "edit"
        case None if row.group == "disagreement":
            return ""
        case None if row.group == "changes-running" and not acknowledged:
            return ""
        case _:
            return "proposal"


def _options(row: UnifyRow, names: Names, chosen: str) -> tuple[Option, ...]:
    offered = list(_offered(row, names))
    return tuple(
        Option(value, label, _lines(text), value == chosen) for value, label, text in offered
    )


def _offered(row: UnifyRow, names: Names) -> list[tuple[str, str, str | None]]:
    cluster = ("cluster", names.cluster, row.cluster)
    joiner = ("joiner", names.joiner, row.joiner)
    base = ("base", "Factory default", row.base)
    both = ("both", f"Both: {names.cluster} and {names.joiner}", _both(row))
    if row.group == "changes-running":
        keep = ("cluster", f"Keep {_possessive(names.cluster)}", row.cluster)
        return [("proposal", "I acknowledge the change", row.proposal), keep]
    offered = [cluster, joiner] if row.cluster != row.joiner else []
    if row.group != "disagreement":
        offered.insert(0, ("proposal", "As proposed", row.proposal))
    if row.can_take_both:
        offered.append(both)
    if row.base is not None and row.base not in (row.cluster, row.joiner):
        offered.append(base)
    return offered


def _possessive(name: str) -> str:
    return f"{name}'s"


def _both(row: UnifyRow) -> str | None:
    texts = [text for text in (row.cluster, row.joiner) if text is not None]
    return "\n".join(texts) or None


def _starting_text(row: UnifyRow) -> str:
    return row.proposal or row.cluster or row.joiner or row.base or ""


def _lines(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(visible(line) for line in text.splitlines())
