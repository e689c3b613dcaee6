"""What the pages ask about staged commits.

Pure.
"""

from __future__ import annotations

from typing import Protocol

from scheduler.apply_turn import Staging, Turn


class StagingDesk(Protocol):
    """The part of the desk for *one canary server first*."""

    def preset(self) -> Staging | None:
        """How commits are staged where the form says nothing; None: all servers at once."""
        ...

    def turn(self) -> Turn:
        """What this server applies now, and what it waits for."""
        ...
