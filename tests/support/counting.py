"""Counts calls: what a test says about work, where a time would depend on the machine."""

from __future__ import annotations

import cProfile
from collections.abc import Callable


def calls_of(act: Callable[[], object], function: str, module: str) -> int:
    """How often a function of a module was called while `act` ran in this thread.

    Args:
        act: what is done.
        function: the function's bare name.
        module: the end of its file's path, such as "configrepo/parser.py".
    """
    profile = cProfile.Profile()
    profile.runcall(act)
    return sum(
        entry.callcount
        for entry in profile.getstats()
        if not isinstance(entry.code, str)
        and entry.code.co_name == function
        and entry.code.co_filename.endswith(module)
    )
