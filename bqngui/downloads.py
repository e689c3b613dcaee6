"""Answers that a browser saves as a file.

Edge: HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response

from bqngui.patch import patch
from scheduler.views import FileChange


def patch_answer(changes: Sequence[FileChange], name: str) -> Response:
    """All differences as one text that `git apply` takes; `name` is the file without ending."""
    return Response(
        patch(changes),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.patch"'},
    )
