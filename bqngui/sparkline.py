"""Throughput samples as the coordinates of a small drawing, and rates as words.

The drawing is made on the server as plain SVG attributes: no script and no inline style
is needed, so 256 of them cost nothing in the browser. Downlink is an area with a line,
uplink a dashed line: colour alone says nothing. A gap in the samples breaks the line.

It knows nothing of servers and writes no markup.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scheduler.views import Sample

WIDTH = 240
HEIGHT = 56
GAP_S = 30.0
_TOP = 3.0
_UNITS = ((1_000_000_000, "Tbit/s"), (1_000_000, "Gbit/s"), (1_000, "Mbit/s"))


@dataclass(frozen=True, slots=True)
class Sparkline:
    """SVG path data in a box of `width` by `height`; `peak_kbps` is the top of the scale."""

    width: int
    height: int
    downlink_line: str
    downlink_area: str
    uplink_line: str
    peak_kbps: int
    minutes: int


def sparkline(samples: Sequence[Sample]) -> Sparkline | None:
    """Draw the samples (oldest first); None with fewer than two of them."""
    if len(samples) < 2 or samples[-1].time <= samples[0].time:
        return None
    peak = max(1, *(max(s.downlink_kbps, s.uplink_kbps) for s in samples))
    start, end = samples[0].time, samples[-1].time
    stretches = list(_stretches(samples))

    def place(time: float, rate_kbps: int) -> tuple[float, float]:
        x = (time - start) / (end - start) * WIDTH
        return x, HEIGHT - rate_kbps / peak * (HEIGHT - _TOP)

    down = [[place(s.time, s.downlink_kbps) for s in run] for run in stretches]
    up = [[place(s.time, s.uplink_kbps) for s in run] for run in stretches]
    return Sparkline(
        width=WIDTH,
        height=HEIGHT,
        downlink_line="".join(map(_line, down)),
        downlink_area="".join(map(_area, down)),
        uplink_line="".join(map(_line, up)),
        peak_kbps=peak,
        minutes=max(1, round((end - start) / 60)),
    )


def rate_words(kbps: int | None) -> str:
    """A rate as an operator reads it: three digits and a unit, or a dash if not known."""
    if kbps is None:
        return "–"  # noqa: RUF001
    for size, unit in _UNITS:
        if kbps >= size:
            return f"{_three_digits(kbps / size)} {unit}"
    return f"{kbps} kbit/s"


def newest_total(samples: Iterable[Sample | None]) -> Sample | None:
    """The sum of the newest samples of several servers; None if nobody has one."""
    known = [s for s in samples if s is not None]
    if not known:
        return None
    return Sample(
        time=max(s.time for s in known),
        downlink_kbps=sum(s.downlink_kbps for s in known),
        uplink_kbps=sum(s.uplink_kbps for s in known),
    )


def _three_digits(value: float) -> str:
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def _stretches(samples: Sequence[Sample]) -> Iterable[list[Sample]]:
    run = [samples[0]]
    for before, sample in pairwise(samples):
        if sample.time - before.time > GAP_S:
            yield run
            run = []
        run.append(sample)
    yield run


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _area(points: Sequence[tuple[float, float]]) -> str:
    (first, _), (last, _) = points[0], points[-1]
    return f"{_line(points)}L{last:.1f},{HEIGHT}L{first:.1f},{HEIGHT}Z"
