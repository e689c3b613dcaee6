"""Which page group a block belongs to, by its path in the repository.

Pure.
"""

from __future__ import annotations

_SECTIONS = (
    ("common/profile/", "Profiles"),
    ("common/policy/rate/", "Rates"),
    ("common/rules/rate", "Rates"),
    ("common/policy/flow/", "Flows"),
    ("common/rules/flow", "Flows"),
    ("common/policy/monitor/", "Monitoring"),
    ("common/rules/monitor", "Monitoring"),
    ("common/subscriber-group/", "Groups"),
    ("common/api/", "REST API"),
    ("common/clock", "Time"),
    ("common/ntp", "Time"),
    ("common/user/", "Users"),
    ("common/undefined", "Undefined"),
    ("common/", "General"),
)


def section_of(path: str) -> str:
    """The group of a block; server-specific ones are Interfaces or Undefined."""
    if path.startswith("servers/"):
        return "Undefined" if path.endswith("/undefined.conf") else "Interfaces"
    return next((name for prefix, name in _SECTIONS if path.startswith(prefix)), "General")
