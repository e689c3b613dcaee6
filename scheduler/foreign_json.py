"""JSON that another server, or a stranger, has sent.

Half a character (a lone surrogate) is no text: it could be written into no commit, and a page
that shows it would be an error page. Python's `json` lets it in, as an escape and as raw bytes.

Pure.
"""

from __future__ import annotations

import json
import re

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""May be half a character as JSON can escape it; two of them can be a whole one."""


def foreign_json(data: bytes) -> object:
    """What was sent, as UTF-8.

    Raises:
        ValueError: it is no JSON, no UTF-8, or holds half a character.
        RecursionError: it is nested too deeply.
    """
    value: object = json.loads(data.decode())
    if _HALF.search(data):
        json.dumps(value, ensure_ascii=False).encode()
    return value
