"""What a state looks like: an icon, a word and a tone, never a colour alone.

Icons are names of Bootstrap Icons. A word that this table does not know is shown as it is.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from scheduler.views import ServerView

Tone = Literal["good", "warn", "bad", "info", "quiet"]


@dataclass(frozen=True, slots=True)
class Badge:
    """One mark on a page."""

    icon: str
    text: str
    tone: Tone


_ROLES: dict[str, tuple[str, Tone]] = {
    "primary": ("star-fill", "info"),
    "secondary": ("arrow-repeat", "quiet"),
    "alone": ("box", "quiet"),
    "candidate": ("hourglass-split", "warn"),
}
_STATES: dict[str, tuple[str, Tone]] = {
    "ready": ("check-circle-fill", "good"),
    "alone": ("check-circle-fill", "good"),
    "complete": ("check-circle-fill", "good"),
    "suspect": ("question-circle-fill", "warn"),
    "alone since": ("exclamation-triangle-fill", "warn"),
    "indirect": ("signpost-split-fill", "warn"),
    "paused": ("pause-circle-fill", "warn"),
    "degraded": ("exclamation-triangle-fill", "warn"),
    "joining": ("hourglass-split", "info"),
    "starting": ("hourglass-split", "info"),
    "unreachable": ("x-octagon-fill", "bad"),
    "conflict": ("x-octagon-fill", "bad"),
    "clone": ("x-octagon-fill", "bad"),
    "incompatible": ("x-octagon-fill", "bad"),
    "split": ("x-octagon-fill", "bad"),
}
_SYNCS: dict[str, tuple[str, Tone]] = {
    "in sync": ("check2-all", "good"),
    "behind": ("clock-history", "warn"),
    "applying": ("arrow-repeat", "info"),
    "failed": ("x-octagon-fill", "bad"),
    "drifted": ("exclamation-triangle-fill", "bad"),
    "unreachable": ("question-circle", "quiet"),
}
_WORSE: tuple[Tone, ...] = ("quiet", "good", "info", "warn", "bad")
_UNKNOWN: tuple[str, Tone] = ("question-circle", "quiet")

# What the words of the cluster mean, for the page that shows them.
MEANINGS = {
    "alone": "This server is not in a cluster; it runs its own configuration.",
    "ready": "Every server answers, and all of them follow the same primary.",
    "degraded": "Nobody leads, or at least one server is not ready: its row says why.",
    "split": "More than one server leads, after a cut of the network. "
    "Both histories are kept and will be merged.",
    "paused": "All is well, but no server takes the lead back by itself and no rollout goes on, "
    "until somebody resumes.",
}


def role_badge(role: str) -> Badge:
    """The mark of a role."""
    icon, tone = _ROLES.get(role, _UNKNOWN)
    return Badge(icon, "role unknown" if role == "unknown" else role, tone)


def state_badge(state: str, detail: str = "") -> Badge:
    """The mark of the state of a server or of the cluster; a detail completes the word."""
    icon, tone = _STATES.get(state, _UNKNOWN)
    return Badge(icon, f"{state} {detail}".rstrip(), tone)


def status_badge(status: str) -> Badge:
    """The mark of the status: complete, or how many of how many."""
    icon, tone = _STATES.get(status, ("pie-chart-fill", "warn"))
    return Badge(icon, status, tone)


def sync_badge(server: ServerView) -> Badge:
    """The mark that says whether a server runs what was committed."""
    icon, tone = _SYNCS.get(server.sync, _UNKNOWN)
    text = "sync unknown" if server.sync in ("unknown", "unreachable") else server.sync
    if server.sync == "behind" and server.behind:
        text = f"behind by {server.behind}"
    return Badge(icon, text, tone)


def replica_badge(state: str, behind: int | None) -> Badge:
    """The mark of a server on the replication page."""
    icon, tone = _SYNCS.get(state, _UNKNOWN)
    return Badge(icon, f"behind by {behind}" if state == "behind" and behind else state, tone)


def worst(tones: Iterable[Tone]) -> Tone:
    """The tone of a whole that has parts with these tones."""
    return max(tones, key=_WORSE.index)
