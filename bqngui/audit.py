"""The audit log as a page: who did what, from where, with which result.

Core.
"""

from __future__ import annotations

from flask import Blueprint, render_template, request

from bqngui.authorization import needs
from bqngui.shell import desk
from scheduler.views import Role

blueprint = Blueprint("audit", __name__)

_LINES = (100, 200, 500, 1000)


@blueprint.get("/audit")
@needs(Role.ADMINISTRATOR)
def show() -> str:
    """The newest lines, newest first."""
    limit = request.args.get("lines", _LINES[1], type=int)
    limit = limit if limit in _LINES else _LINES[1]
    return render_template(
        "audit/show.html", entries=desk().audit_log(limit), limit=limit, choices=_LINES
    )
