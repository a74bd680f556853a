"""A curve to plot: its points, its name and the character that draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in order of x; those that are not finite are left out of plots."""

    label: str
    marker: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes are called; with `log_x`, x is drawn by its logarithm and all of it must be above 0."""

    x: str
    y: str
    log_x: bool = False
