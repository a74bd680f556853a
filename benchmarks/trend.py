"""Cliffs: points of a measured curve that lie above what their neighbours lead one to expect."""

from __future__ import annotations

import math
from collections.abc import Sequence

CLIFF = 1.3
"""A point more than 30 % above its neighbours' trend is a cliff."""


def over_trend(work: Sequence[float], cost: Sequence[float]) -> list[float]:
    """Each cost (time or memory of a whole batch) divided by its neighbours' trend; `work` (pixels) increases.

    The trend is the straight line, both axes logarithmic, through the points before and after. At the ends, where a
    line would be a guess, the bounds are plain ones: the least work costs no more than the one after it, and the most
    no more than its share of the one before it. A single point has no trend: its ratio is 1.
    """
    if len(cost) < 2:
        return [1.0] * len(cost)
    between = [
        cost[middle] / _line_at(work[middle], (work[before], cost[before]), (work[after], cost[after]))
        for before, middle, after in zip(range(len(cost)), range(1, len(cost)), range(2, len(cost)), strict=False)
    ]
    return [cost[0] / cost[1], *between, (cost[-1] / cost[-2]) / (work[-1] / work[-2])]


def _line_at(x: float, left: tuple[float, float], right: tuple[float, float]) -> float:
    slope = math.log(right[1] / left[1]) / math.log(right[0] / left[0])
    return left[1] * math.exp(slope * math.log(x / left[0]))
