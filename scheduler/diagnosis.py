"""From findings to words: what is the same is said once, what is not is said one by one.

Rules:
1. A port that is refused or filtered at an address that is translated is *port not forwarded*:
   the server itself says which of the addresses that others dial it has.
2. Exceptions with the same check and cause are put together by their target if at least
   `TOGETHER` servers have them, or all others do, then by their source; the rest stay one by
   one. Targets
   that the same servers do not reach are put together again, as a cut leaves them.
3. The harmful come first.

Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from configrepo.members import Member
from configrepo.model import ServerId
from scheduler import causes
from scheduler.doctor_seam import Diagnosis, Line
from scheduler.findings import Finding, Pair, Standpoint
from scheduler.firewall_rules import rules_for

CONTROL = "control port"
SSH = "SSH"
ASKING = "doctor"
TOGETHER = 3
MATRIX_SERVERS = 16


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found.

    `not_asked` holds the servers that could not be asked: cause and sentence.
    """

    members: tuple[Member, ...]
    pairs: Sequence[Pair]
    not_asked: Mapping[ServerId, tuple[str, str]]
    standpoints: Mapping[ServerId, Standpoint]


@dataclass(frozen=True, slots=True)
class _Trouble:
    source: ServerId
    target: ServerId
    what: str
    cause: str
    detail: str


def diagnose(facts: Facts) -> Diagnosis:
    """Put what was found into words."""
    ids = tuple(member.id for member in facts.members)
    known = {member.id: member for member in facts.members}
    found = [_refined(pair, known, facts.standpoints) for pair in facts.pairs]
    lines = [*_asking_lines(facts, ids), *_lines(found, facts)]
    return Diagnosis(
        ok=sum(pair.fine for pair in found),
        untried=len(ids) * (len(ids) - 1) - len(found),
        lines=tuple(sorted(lines, key=lambda line: (line.harmless, -line.pairs, line.targets))),
        servers=ids,
        matrix=tuple(found) if len(ids) <= MATRIX_SERVERS else (),
    )


def _refined(
    pair: Pair, known: Mapping[ServerId, Member], standpoints: Mapping[ServerId, Standpoint]
) -> Pair:
    place, target = standpoints.get(pair.target), known.get(pair.target)
    if pair.fine or place is None or target is None:
        return pair
    if target.seen_by(pair.source).address not in place.foreign:
        return pair
    return Pair(pair.source, pair.target, _not_forwarded(pair.control), _not_forwarded(pair.ssh))


def _not_forwarded(finding: Finding) -> Finding:
    if finding.cause not in (causes.REFUSED, causes.FILTERED):
        return finding
    return Finding(causes.PORT_NOT_FORWARDED, finding.ms, finding.detail)


def _troubles(pairs: Iterable[Pair]) -> Iterable[_Trouble]:
    for pair in pairs:
        for what, finding in ((CONTROL, pair.control), (SSH, pair.ssh)):
            if finding.cause != causes.OK:
                yield _Trouble(pair.source, pair.target, what, finding.cause, finding.detail)


def _lines(pairs: Iterable[Pair], facts: Facts) -> Iterable[Line]:
    same: dict[tuple[str, str], list[_Trouble]] = defaultdict(list)
    for trouble in _troubles(pairs):
        same[trouble.what, trouble.cause].append(trouble)
    known = {member.id: member for member in facts.members}
    for troubles in same.values():
        enough = max(2, min(TOGETHER, len(known) - 1))
        by_target, rest = _together(troubles, enough, lambda trouble: trouble.target)
        by_source, rest = _together(rest, enough, lambda trouble: trouble.source)
        groups = [*_cuts(by_target), *by_source, *([trouble] for trouble in rest)]
        yield from (_line(group, known, facts.standpoints) for group in groups)


def _together(
    troubles: list[_Trouble], enough: int, key: Callable[[_Trouble], ServerId]
) -> tuple[list[list[_Trouble]], list[_Trouble]]:
    """Those that share a server with enough others, and the rest."""
    groups: dict[ServerId, list[_Trouble]] = defaultdict(list)
    for trouble in troubles:
        groups[key(trouble)].append(trouble)
    large = [group for group in groups.values() if len(group) >= enough]
    rest = [one for group in groups.values() if len(group) < enough for one in group]
    return large, rest


def _cuts(groups: list[list[_Trouble]]) -> list[list[_Trouble]]:
    """Join the groups of targets that the same servers do not reach, or not one another."""
    for alike in (_sources, _everybody):
        same: dict[frozenset[ServerId], list[list[_Trouble]]] = defaultdict(list)
        for group in groups:
            same[alike(group)].append(group)
        groups = []
        for some in same.values():
            together = len(some) >= TOGETHER
            groups += [[one for group in some for one in group]] if together else some
    return groups


def _sources(group: list[_Trouble]) -> frozenset[ServerId]:
    return frozenset(trouble.source for trouble in group)


def _everybody(group: list[_Trouble]) -> frozenset[ServerId]:
    return _sources(group) | {trouble.target for trouble in group}


def _line(
    group: list[_Trouble],
    known: Mapping[ServerId, Member],
    standpoints: Mapping[ServerId, Standpoint],
) -> Line:
    first = group[0]
    sources, targets = sorted(_sources(group)), sorted({trouble.target for trouble in group})
    harmless = first.cause in causes.REACHED
    line = Line(
        what=first.what,
        cause=first.cause,
        harmless=harmless,
        sources=tuple(sources),
        targets=tuple(targets),
        sentence=_sentence(group, sources, targets, known),
        advice=f"Look at BQN {sources[0]} first: its own firewall, address and routes",
    )
    if len(targets) > 1 and len(sources) == 1:
        return line
    members = [known[target] for target in targets if target in known]
    if len(sources) == 1:
        members = [member.seen_by(sources[0]) for member in members]
    ports = sorted(_port(first.what, member) for member in members)
    source = known.get(sources[0]) if len(sources) == 1 else None
    only = members[0] if len(members) == 1 else None
    port = str(ports[0]) if ports[0] == ports[-1] else f"{ports[0]}-{ports[-1]}"
    return replace(
        line,
        advice=_advice(first.cause, only.address if only else "these servers", port, first.what),
        rules=rules_for(
            first.cause,
            port,
            ranges(targets),
            only.address if only else "",
            source.address if source else "",
            _inside(first.what, known[targets[0]], standpoints) if only else ("", ""),
        ),
    )


def _inside(
    what: str, member: Member, standpoints: Mapping[ServerId, Standpoint]
) -> tuple[str, str]:
    """Where a server is behind its router: its address, and the port that has no override."""
    return standpoints.get(member.id, Standpoint()).inside, str(_port(what, member))


def _sentence(
    group: list[_Trouble],
    sources: list[ServerId],
    targets: list[ServerId],
    known: Mapping[ServerId, Member],
) -> str:
    first = group[0]
    reason = first.detail or causes.said(first.cause)
    member = known.get(targets[0]) if len(targets) == 1 else None
    if member is not None and len(sources) == 1:
        member = member.seen_by(sources[0])
    if len(sources) > 1 and set(sources) & set(targets):
        named = f"{len(sources)} servers ({ranges(sources)})"
        return f"{named} do not reach one another {_lane(first.what, True)}: {reason}."
    whom = _whom(targets, first.what, member, len(known))
    subject, verb = _who(sources, len(known))
    if first.cause in causes.REACHED:
        verb = "reaches" if len(sources) == 1 else "reach"
        named = ranges(sources) if len(sources) > 1 else subject
        return f"{named} {verb} {whom}, but {reason}."
    return f"{subject} {verb} {whom}: {reason}."


def _port(what: str, member: Member) -> int:
    return member.control_port if what == CONTROL else member.ssh_port


def _advice(cause: str, address: str, port: str, what: str) -> str:
    if what == SSH and cause == causes.WRONG_IDENTITY:
        return (
            f"The host key at {address} is not the pinned one. If it was installed anew, "
            f"remove it from the cluster and add it again; if not, TCP {port} leads to another "
            f"machine"
        )
    return causes.advice(cause, address, port, what, "the rule below")


def _asking_lines(facts: Facts, ids: tuple[ServerId, ...]) -> Iterable[Line]:
    for server, (cause, sentence) in sorted(facts.not_asked.items()):
        yield Line(
            what=ASKING,
            cause=cause,
            harmless=False,
            sources=(server,),
            targets=tuple(other for other in ids if other != server),
            sentence=f"BQN {server} could not be asked what it reaches: {sentence}.",
            advice=f"See who reaches BQN {server}, then run the doctor again",
        )


def _who(sources: Sequence[ServerId], servers: int) -> tuple[str, str]:
    """The subject of a sentence about what does not work, and its verb."""
    if len(sources) == 1:
        return f"BQN {sources[0]}", "does not reach"
    if len(sources) == servers - 1:
        return "No other server", "reaches"
    return f"{len(sources)} servers ({ranges(sources)})", "do not reach"


def _whom(targets: Sequence[ServerId], what: str, member: Member | None, servers: int) -> str:
    if member is not None:
        return f"BQN {member.id} {_lane(what)} ({member.address}, TCP {_port(what, member)})"
    every = "any other server" if len(targets) == servers - 1 else ""
    return f"{every or f'{len(targets)} servers ({ranges(targets)})'} {_lane(what, every == '')}"


def _lane(what: str, many: bool = False) -> str:
    ports = "their control ports" if many else "its control port"
    return "over SSH" if what == SSH else f"on {ports}"


def ranges(ids: Sequence[ServerId]) -> str:
    """Server ids in words: "BQN 0-2, 4"."""
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"BQN {', '.join(words)}"
