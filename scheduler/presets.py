"""The times of the election, as two presets, and the rules between them.

The rules keep a slow heartbeat from looking like a death and a recovered server from
acting before it has heard the others; values that break one are refused.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """All in seconds.

    tick: how often the rules are applied. hb: between two heartbeats. suspect, dead:
    silence until a server is suspected, and not known any more. claim: how long a
    candidate waits unopposed. boot: how long a started server only listens. preempt: how
    long a lower id watches a higher primary before it asks it to hand over. handover: how
    long it waits for the answer. catch_up: how long it fetches before it leads anyway.
    """

    tick_s: float
    hb_s: float
    suspect_s: float
    dead_s: float
    claim_s: float
    boot_s: float
    preempt_s: float
    handover_s: float = 5.0
    catch_up_s: float = 10.0

    @property
    def stall_s(self) -> float:
        """A gap between two own ticks from which on the silence of others is our own."""
        return max(0.3, 2.4 * self.tick_s)

    @property
    def dial_s(self) -> float:
        """How long one attempt to open a connection may take: a lost packet is not waited for."""
        return max(1.0, 1.5 * self.hb_s)

    @property
    def step_down_s(self) -> float:
        """An own pause after which a primary no longer trusts that it leads."""
        return self.dead_s - self.hb_s


LAN = Timing(
    tick_s=0.1, hb_s=0.4, suspect_s=1.2, dead_s=2.8, claim_s=0.4, boot_s=3.2, preempt_s=9.0
)
WAN = Timing(
    tick_s=0.25,
    hb_s=2.0,
    suspect_s=6.0,
    dead_s=20.0,
    claim_s=2.0,
    boot_s=22.0,
    preempt_s=60.0,
    handover_s=15.0,
    catch_up_s=30.0,
)
PRESETS = {"lan": LAN, "wan": WAN}

# A product of decimal fractions misses its value by a rounding error.
_ROUNDING = 1e-9


def broken_rules(timing: Timing) -> tuple[str, ...]:
    """The rules that a timing breaks, each as a sentence; none if it may be used."""
    t = timing
    rules = (
        (t.tick_s, 0.001, "tick must be at least a millisecond"),
        (t.hb_s, 4 * t.tick_s, "heartbeat must be at least 4 ticks"),
        (t.suspect_s, 3 * t.hb_s, "suspect must be at least 3 heartbeats"),
        (t.dead_s, 2 * t.suspect_s + t.hb_s, "dead must be at least 2 suspect and a heartbeat"),
        (t.claim_s, t.hb_s, "claim must be at least a heartbeat"),
        (t.boot_s, t.dead_s + t.hb_s, "boot must be at least dead and a heartbeat"),
        (t.preempt_s, 3 * t.dead_s, "preempt must be at least 3 times dead"),
        (t.handover_s, 2 * t.hb_s, "handover must be at least 2 heartbeats"),
        (t.catch_up_s, t.hb_s, "catch-up must be at least a heartbeat"),
    )
    return tuple(sentence for value, least, sentence in rules if value < least - _ROUNDING)
