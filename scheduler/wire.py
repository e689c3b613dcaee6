"""The values that travel between servers, as JSON and back.

A change goes from the GUI of a secondary to the primary, its outcome comes back. What
arrives is checked field by field: a wrong shape raises `RemoteRefused` with a sentence,
never anything else.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from configrepo.merge import Disagreement
from configrepo.model import Problem, ServerId, Severity
from configrepo.unify import Answer, RowId, answers_from_json, answers_to_json
from scheduler.errors import RemoteRefused
from scheduler.views import CommitOutcome, Committed, Disagreed, Person, Refused, Role

FORWARDED = frozenset({"Reverts-To", "Canary", "Canary-Pause"})
"""What a secondary may say in a commit; everything else the primary says itself."""
MESSAGE_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A change of the configuration against the commit `base`.

    `changes` maps a path to its new text, or None to remove it; secrets are sealed.
    `choices` settle disagreements with what was committed meanwhile. The same
    `request_id` is committed once, however often it is sent.
    """

    base: str
    changes: Mapping[str, str | None]
    message: str
    request_id: str
    choices: Mapping[RowId, Answer] = field(default_factory=dict)
    trailers: Mapping[str, str] = field(default_factory=dict)


def request_to_json(request: ChangeRequest, person: Person) -> dict[str, Any]:
    """A change and who asks for it. The role is not sent: the primary knows better."""
    return {
        "base": request.base,
        "changes": dict(request.changes),
        "message": request.message,
        "request_id": request.request_id,
        "choices": answers_to_json(request.choices),
        "trailers": dict(request.trailers),
        "person": {"name": person.name, "address": person.address, "local": person.local},
    }


def request_from_json(stored: Mapping[str, Any]) -> tuple[ChangeRequest, Person]:
    """The inverse of `request_to_json`; the person comes back as a viewer.

    Raises:
        RemoteRefused: a field is missing or has the wrong type.
    """
    try:
        changes = {str(path): _text_or_none(text) for path, text in stored["changes"].items()}
        request = ChangeRequest(
            base=_text(stored["base"]),
            changes=changes,
            message=_text(stored["message"])[:MESSAGE_CHARACTERS],
            request_id=_text(stored["request_id"]),
            choices=answers_from_json(stored["choices"]),
            trailers={k: _text(v) for k, v in stored["trailers"].items() if k in FORWARDED},
        )
        person = Person(
            name=_text(stored["person"]["name"]),
            role=Role.VIEWER,
            address=_text(stored["person"]["address"]),
            local=stored["person"]["local"] is True,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RemoteRefused(f"a change arrived in a wrong form ({error!r})") from error
    return request, person


def outcome_to_json(outcome: CommitOutcome) -> dict[str, Any]:
    """The outcome of a change."""
    match outcome:
        case Committed():
            return {"committed": asdict(outcome)}
        case Refused():
            return {"refused": asdict(outcome)}
        case Disagreed():
            return {"disagreed": asdict(outcome)}


def outcome_from_json(stored: Mapping[str, Any]) -> CommitOutcome:
    """The inverse of `outcome_to_json`.

    Raises:
        RemoteRefused: it has the wrong form.
    """
    try:
        match dict(stored):
            case {"committed": values}:
                return Committed(**{**values, "written_by": ServerId(values["written_by"])})
            case {"refused": values}:
                return Refused(values["sentence"], tuple(map(_problem, values["problems"])))
            case {"disagreed": values}:
                return Disagreed(tuple(Disagreement(**d) for d in values["disagreements"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteRefused(f"the primary answered in a wrong form ({error!r})") from error
    raise RemoteRefused("the primary answered in a wrong form")


def _problem(stored: Mapping[str, Any]) -> Problem:
    return Problem(**{**stored, "severity": Severity(stored["severity"])})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)
