"""Rate limits by source: a bucket of tokens each, with a bound on how many are remembered.

Pure.
"""

from __future__ import annotations

from collections import OrderedDict


class TokenBuckets:
    """One bucket per source. Not locked: its owner calls it from one thread or under a lock."""

    def __init__(self, rate_per_s: float, burst: int, remembered: int = 1024) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._remembered = remembered
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, source: str, now: float) -> bool:
        """Take a token; False if there is none. `now` is monotonic, in seconds."""
        tokens, then = self._buckets.pop(source, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - then) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[source] = (tokens - 1.0 if allowed else tokens, now)
        while len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)
        return allowed
