"""What the pages show of the mirror on an external Git server.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class MirrorView:
    """The mirror as this server sees it.

    `state`: waiting (nothing was tried yet), current, failed, or elsewhere (another server
    leads and pushes). `sentence` says it in words; times are UTC.
    """

    url: str
    state: Literal["waiting", "current", "failed", "elsewhere"]
    sentence: str
    last_success: datetime | None = None
    next_try_s: int | None = None


class MirrorDesk(Protocol):
    """The part of the desk for the mirror."""

    def state(self) -> MirrorView | None:
        """How the mirror stands; None if no mirror is configured on this server."""
        ...
