"""Wrong proofs of an open invitation: who sent how many, and when that is too many.

A join code holds 128 random bits, so nobody finds it by trying; what is limited is noise.
Counted all together, five wrong tries of any stranger would close an invitation that
somebody waits for. So five count for each address (of IPv6 each /64), and only many from
several addresses close the invitation. The page shows who tried.

Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

EACH = 5
ALL = 50


@dataclass(frozen=True, slots=True)
class Tries:
    """Wrong proofs so far, by source."""

    wrong: Mapping[str, int] = field(default_factory=dict)

    def after(self, source: str) -> Tries:
        """One more from that source."""
        key = _counted_as(source)
        return Tries({**self.wrong, key: self.wrong.get(key, 0) + 1})

    def left(self, source: str) -> int:
        """How often that source may still try."""
        return max(0, EACH - self.wrong.get(_counted_as(source), 0))

    @property
    def too_many(self) -> bool:
        """Whether the invitation is closed for everybody."""
        return sum(self.wrong.values()) >= ALL


def _counted_as(source: str) -> str:
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if address.version == 4:
        return source
    return str(ipaddress.ip_network((int(address), 64), strict=False))
