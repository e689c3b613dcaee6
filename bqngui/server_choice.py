"""Which server and which revision a page is asked about, from its address.

Edge: HTTP.
"""

from __future__ import annotations

import re

from flask import abort, request

from configrepo.model import ServerId
from scheduler.views import Overview, ServerView

_REVISION = re.compile(r"[0-9a-f]{40}")
_ID = re.compile(r"[0-9]{1,3}")


def chosen_server(overview: Overview, field: str = "server") -> ServerView:
    """The member that the address or the form names; this server if it names none."""
    wanted = request.values.get(field, "")
    if wanted and not _ID.fullmatch(wanted):
        abort(404, f"{wanted[:40]} is not the id of a server.")
    found = overview.server(ServerId(int(wanted)) if wanted else overview.me)
    if found is None:
        abort(404, f"BQN {wanted} is not a member of this cluster.")
    return found


def revision_asked() -> str | None:
    """The revision that the address names; None for the newest."""
    wanted = request.args.get("revision")
    if wanted and not is_revision(wanted):
        abort(404, "A revision has 40 hexadecimal digits.")
    return wanted or None


def is_revision(text: str) -> bool:
    """Whether the text could be a commit id."""
    return _REVISION.fullmatch(text) is not None
