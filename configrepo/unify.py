"""What the Unify page works on: the rows of a merge, the answers, the settled result.

`propose` merges and explains; `settle` takes the answers and gives the files, or says
which rows are still open or which answers cannot be read. Rules: a disagreement needs an
answer; a row that would replace or remove what the running servers have needs to be
acknowledged, or answered with the cluster's value; every other row may be overridden.

Whether the result makes sense is not decided here but in `configrepo.checks`.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NewType

from configrepo.errors import UnreadableConfig
from configrepo.layout import holds_many, parse_block_file
from configrepo.merge import Disagreement, LineMerge, Row, merge_files, opener_key
from configrepo.model import Files, Problem
from configrepo.placing import put_value

RowId = NewType("RowId", str)
Group = Literal["disagreement", "changes-running", "addition", "kept", "same"]
Side = Literal["cluster", "joiner", "both", "base"]

_GROUPS: tuple[Group, ...] = ("disagreement", "changes-running", "addition", "kept", "same")
_SIDES: tuple[Side, ...] = ("cluster", "joiner", "both", "base")


@dataclass(frozen=True, slots=True)
class Take:
    """Take one side's value. `both` exists only where the row's kind allows it."""

    side: Side


@dataclass(frozen=True, slots=True)
class Edit:
    """Take this text (canonical or not; it is read like any input). Empty removes."""

    text: str


Answer = Take | Edit


@dataclass(frozen=True, slots=True)
class UnifyRow:
    """One difference, with what each side has and what is proposed.

    `group`: disagreement (must be answered), changes-running (replaces or removes what
    the running servers have; must be acknowledged), addition (new for the running
    servers), kept (only the joiner changes), same (both made the same change).
    Values are canonical lines joined by newlines; None is absent. `proposal` is None
    both for "removed" and, with group disagreement, for "no proposal".
    """

    id: RowId
    path: str
    title: str
    key: str | None
    base: str | None
    cluster: str | None
    joiner: str | None
    proposal: str | None
    reason: str
    group: Group
    can_take_both: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """All rows of a unification; server-specific files are listed and left alone.

    `files` is the merge as proposed, with the cluster's value where something disagrees.
    """

    rows: tuple[UnifyRow, ...]
    server_specific: Files = field(default_factory=dict)
    files: Files = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """Every row is settled; these are the files."""

    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class StillOpen:
    """Rows that need an answer or an acknowledgement, with a sentence for each."""

    row_ids: tuple[RowId, ...]
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Invalid:
    """Answers that cannot be read. Lines of the problems count within the answer."""

    problems_by_row: dict[str, tuple[Problem, ...]]


# --- proposing ----------------------------------------------------------------------


def propose(
    base: Files,
    cluster: Files,
    joiner: Files,
    names: tuple[str, str],
    line_merge: LineMerge = lambda base, a, b: None,
) -> Proposal:
    """Merge the joiner's files with the cluster's, and say why for every row.

    Args:
        base: the common ancestor (the factory default).
        cluster: what the running servers (at the first join: this server) have.
        joiner: what the joining server has.
        names: what people call the cluster and the joiner.
        line_merge: how undefined blocks are merged (`configrepo.git.merge_lines`); without
            it, one that both sides changed is asked.

    Raises:
        UnreadableConfig: if a file that differs cannot be read.
    """
    merged = merge_files(base, cluster, joiner, line_merge)
    titles = _Titles((cluster, joiner, base))
    rows = [_asked(one, names, titles) for one in merged.disagreements]
    rows += [_told(row, names, titles) for row in merged.settled]
    rows.sort(key=lambda row: _GROUPS.index(row.group))
    specific = {
        path: text
        for files in (joiner, cluster)
        for path, text in files.items()
        if path.startswith("servers/")
    }
    return Proposal(tuple(rows), specific, merged.files)


def row_id(path: str, key: str | None) -> RowId:
    """The id of the row for a key of a file."""
    return RowId(f"{path}|{key or ''}")


class _Titles:
    """What a block is called: its opener."""

    def __init__(self, sources: tuple[Files, ...]) -> None:
        self._sources = sources

    def title(self, path: str, key: str | None) -> str:
        if key is not None and holds_many(path):
            return key
        text = next(files[path] for files in self._sources if path in files)
        block = parse_block_file(path, text)[0]
        flat = block.row is not None and block.row.flat
        return opener_key(block) if flat else block.text


def _asked(one: Disagreement, names: tuple[str, str], titles: _Titles) -> UnifyRow:
    cluster, joiner = names
    if one.a is None:
        reason = f"{cluster} removed it and {joiner} changed it."
    elif one.b is None:
        reason = f"{joiner} removed it and {cluster} changed it."
    elif one.base is None:
        reason = f"{cluster} and {joiner} both added it, with different values."
    else:
        reason = f"{cluster} and {joiner} both changed it, in different ways."
    return UnifyRow(
        id=row_id(one.path, one.key),
        path=one.path,
        title=titles.title(one.path, one.key),
        key=one.key,
        base=one.base,
        cluster=one.a,
        joiner=one.b,
        proposal=None,
        reason=_sentence(reason),
        group="disagreement",
        can_take_both=_undefined(one.path) and one.a is not None and one.b is not None,
    )


def _told(row: Row, names: tuple[str, str], titles: _Titles) -> UnifyRow:
    return UnifyRow(
        id=row_id(row.path, row.key),
        path=row.path,
        title=titles.title(row.path, row.key),
        key=row.key,
        base=row.base,
        cluster=row.a,
        joiner=row.b,
        proposal=row.result,
        reason=_sentence(_why(row, *names)),
        group=_group(row),
    )


def _undefined(path: str) -> bool:
    return path.endswith("/undefined.conf")


def _group(row: Row) -> Group:
    match row.reason:
        case "same-change":
            return "same"
        case "only-a":
            return "kept"
        case "only-b":
            return "addition" if row.a is None else "changes-running"
        case "by-lines":
            kept = set((row.a or "").split("\n")) <= set((row.result or "").split("\n"))
            return "addition" if kept else "changes-running"


def _why(row: Row, cluster: str, joiner: str) -> str:
    match row.reason:
        case "same-change":
            return _why_same(row, cluster, joiner)
        case "only-a":
            return _why_one(row, cluster, joiner)
        case "only-b":
            return _why_one(row, joiner, cluster)
        case "by-lines":
            return f"{cluster} and {joiner} changed different lines; all changes are kept."


def _why_same(row: Row, cluster: str, joiner: str) -> str:
    if row.result is None:
        return f"{cluster} and {joiner} both removed it."
    return f"{cluster} and {joiner} have the same value, unlike the factory default."


def _why_one(row: Row, changed: str, unchanged: str) -> str:
    if row.base is None:
        return f"only {changed} has it; {unchanged} and the factory default do not."
    if row.result is None:
        return f"{changed} removed it; {unchanged} still has the factory default."
    return f"only {changed} changed it; {unchanged} still has the factory default."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- settling -----------------------------------------------------------------------


def settle(
    proposal: Proposal, answers: Mapping[RowId, Answer], acknowledged: frozenset[RowId]
) -> Settled | StillOpen | Invalid:
    """Apply the answers to the proposal."""
    still_open = [row for row in proposal.rows if _is_open(row, answers, acknowledged)]
    if still_open:
        return StillOpen(
            tuple(row.id for row in still_open), tuple(_open_sentence(row) for row in still_open)
        )
    files = dict(proposal.files)
    invalid: dict[str, tuple[Problem, ...]] = {}
    for row in proposal.rows:
        answer = answers.get(row.id)
        if answer is None:
            continue
        value = _value(row, answer)
        if isinstance(answer, Take) and value == _held(row):
            continue
        try:
            put_value(files, row.path, row.key, value)
        except UnreadableConfig as error:
            invalid[row.id] = error.problems
    return Invalid(invalid) if invalid else Settled(files)


def _is_open(
    row: UnifyRow, answers: Mapping[RowId, Answer], acknowledged: frozenset[RowId]
) -> bool:
    answer = answers.get(row.id)
    match row.group:
        case "disagreement":
            return answer is None
        case "changes-running":
            kept = answer is not None and _value(row, answer) == row.cluster
            return not kept and row.id not in acknowledged
        case _:
            return False


def _open_sentence(row: UnifyRow) -> str:
    what = row.title if row.key is None or row.key == row.title else f"{row.key} of {row.title}"
    if row.group == "disagreement":
        return f"choose a value for {what}"
    return f"acknowledge that {what} changes what the running servers have, or keep it"


def _held(row: UnifyRow) -> str | None:
    """The value that the files of the proposal hold."""
    return row.cluster if row.group == "disagreement" else row.proposal


def _value(row: UnifyRow, answer: Answer) -> str | None:
    match answer:
        case Edit(text):
            return text if text.strip() else None
        case Take("cluster"):
            return row.cluster
        case Take("joiner"):
            return row.joiner
        case Take("base"):
            return row.base
        case Take():
            return _both(row)


def _both(row: UnifyRow) -> str | None:
    if not row.can_take_both or row.cluster is None or row.joiner is None:
        return _held(row)
    lines = (*row.cluster.split("\n"), *row.joiner.split("\n")[1:])
    return "\n".join(dict.fromkeys(lines))


def problems_by_row(
    proposal: Proposal, problems: tuple[Problem, ...]
) -> dict[str, tuple[Problem, ...]]:
    """Problems of the result at the rows that they are about ("" where there is none)."""
    ids = {row.id for row in proposal.rows}
    by_path = {row.path: row.id for row in reversed(proposal.rows)}
    found: dict[str, tuple[Problem, ...]] = {}
    for problem in problems:
        path = problem.path or ""
        places = (row_id(path, problem.key), row_id(path, None))
        row = next((place for place in places if place in ids), by_path.get(path, ""))
        found[row] = (*found.get(row, ()), problem)
    return found


def answers_with(
    before: Mapping[RowId, Answer], said: Mapping[RowId, Answer | None]
) -> dict[RowId, Answer]:
    """The answers with those that were said now; None leaves a row to the proposal again."""
    return {row: answer for row, answer in {**before, **said}.items() if answer is not None}


# --- keeping ------------------------------------------------------------------------


def answers_to_json(answers: Mapping[RowId, Answer]) -> dict[str, dict[str, str]]:
    """Answers as JSON values."""
    return {
        row: {"take": answer.side} if isinstance(answer, Take) else {"edit": answer.text}
        for row, answer in answers.items()
    }


def answers_from_json(value: object) -> dict[RowId, Answer]:
    """Answers back from `answers_to_json`; raises ValueError if it is not one."""
    if not isinstance(value, dict):
        raise ValueError("answers are an object")
    return {RowId(str(row)): _answer_from_json(answer) for row, answer in value.items()}


def _answer_from_json(value: object) -> Answer:
    match value:
        case {"take": str(side)}:
            for known in _SIDES:
                if side == known:
                    return Take(known)
        case {"edit": str(text)}:
            return Edit(text)
    raise ValueError("an answer is an object with `take` or `edit`")
