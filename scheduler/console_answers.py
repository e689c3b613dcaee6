"""What the command line on the same machine may ask of the running program.

Whoever may open the console socket owns the state directory, and acts as the local
administrator.

Core: asks the desk.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from scheduler.console import Answer
from scheduler.desk_seam import Desk
from scheduler.errors import RemoteRefused
from scheduler.views import (
    CommitOutcome,
    Committed,
    Person,
    Refused,
    Role,
    TokenMade,
)

OWNER = Person("admin", Role.ADMINISTRATOR, "console", local=True)


def console_answers(desk: Desk, now: Callable[[], datetime]) -> dict[str, Answer]:
    """The questions by name."""
    return {
        "status": lambda _request: _status(desk),
        "token": lambda request: _make_token(desk, request, now()),
    }


def _status(desk: Desk) -> dict[str, Any]:
    view = desk.overview()
    servers = tuple(replace(server, samples=()) for server in view.servers)
    return asdict(replace(view, servers=servers))


def _make_token(desk: Desk, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A token for a user, who is added if new."""
    name, role = str(request["name"]), Role(request["role"])
    known = next((user for user in desk.users() if user.name == name), None)
    if known is None:
        added = desk.put_user(OWNER, name, role, None, uuid.uuid4().hex)
        if not isinstance(added, Committed):
            raise RemoteRefused(_why(added))
    elif known.role is not role:
        raise RemoteRefused(f"{name} is {known.role}, not {role}: a token has its user's role")
    token = f"console-{now:%Y%m%d-%H%M%S}"
    made = desk.create_token(OWNER, name, token, int(request["days"]), uuid.uuid4().hex)
    if not isinstance(made, TokenMade):
        raise RemoteRefused(_why(made))
    sentence = f"Token {token} of {name} ({role}), valid until {made.expires}."
    return {"token": made.text, "sentence": sentence}


def _why(outcome: CommitOutcome) -> str:
    match outcome:
        case Refused(sentence, problems):
            return " ".join([sentence, *(problem.message for problem in problems)])
        case _:
            return "Somebody else changed the same user at the same moment; try again."
