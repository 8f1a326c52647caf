"""Whether something grows: a line through what was measured after the warm-up, and how sure it is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, sqrt
from statistics import fmean

WARM_UP = 1 / 3
"""Share of the run that is left out: caches fill, code is loaded, the allocator learns what it will need."""

BLOCKS = 12
"""Samples are averaged in so many blocks before the line is drawn: neighbours resemble each other, and taken one by
one they would make the line look surer than it is."""

_T = 4.587
"""Student's t for 10 degrees of freedom (12 blocks, 2 parameters): 99.9 % of lines through noise lie within ± this many
standard errors. So sure, because some thirty figures are judged at once."""


@dataclass(frozen=True)
class Trend:
    """How one figure went.

    Attributes:
        start, end: means of the first and last block after the warm-up.
        slope: per hour.
        error: half of the slope's 99.9 % interval, per hour.
        hours: what the line is drawn through.
    """

    start: float
    end: float
    slope: float
    error: float
    hours: float

    def rises(self, allowed: float, floor: float) -> bool:
        """Whether it grows for certain by more than is allowed.

        Args:
            allowed: growth per hour that is by design, or no matter.
            floor: growth over the whole line below which it is noise.
        """
        return self.slope - self.error > allowed and self.slope * self.hours > floor


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend | None:
    """Least squares through the block means after the warm-up; None where there are too few samples."""
    if not seconds:
        return None
    begin, last = seconds[0], seconds[-1]
    warm = begin + (last - begin) * WARM_UP
    blocks: list[list[tuple[float, float]]] = [[] for _ in range(BLOCKS)]
    for at, value in zip(seconds, values, strict=True):
        if at >= warm and not isnan(value):  # a window without messages has no times
            blocks[min(BLOCKS - 1, int((at - warm) / (last - warm) * BLOCKS))].append((at, value))
    if not all(blocks):
        return None
    x = [fmean(at for at, _ in block) / 3600 for block in blocks]
    y = [fmean(value for _, value in block) for block in blocks]
    middle_x, middle_y = fmean(x), fmean(y)
    spread = sum((at - middle_x) ** 2 for at in x)
    slope = sum((at - middle_x) * (value - middle_y) for at, value in zip(x, y, strict=True)) / spread
    rest = sum((value - middle_y - slope * (at - middle_x)) ** 2 for at, value in zip(x, y, strict=True))
    error = _T * sqrt(rest / (BLOCKS - 2) / spread)
    return Trend(y[0], y[-1], slope, error, (last - warm) / 3600)
