"""How the elements of gradients are distributed: counts of equal bins, of the values or of their magnitudes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradcli.inspection.gradients.statistics import together
from gradcli.kernels.statistics import Array


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of `len(counts)` bins between `len(counts) + 1` rising edges, of which the last bin has both.

    The bins have equal widths. With the scale `log` they are bins of magnitudes, equally wide in their logarithms.
    What is not finite is in no bin; nor, with `log`, are zeros.
    """

    scale: str
    edges: list[float]
    counts: list[int]


def histogram(arrays: Sequence[Array], bins: int, *, log_scale: bool = False) -> Histogram:
    """The histogram of all elements of the arrays, from the smallest to the largest.

    Where there are no elements to count, edges and counts are empty; equal ones share a single bin without width.
    """
    values = together(arrays)
    values = values[np.isfinite(values)].astype(np.float64)
    if log_scale:
        values = np.abs(values[values != 0])
    scale = "log" if log_scale else "linear"
    if values.size == 0:
        return Histogram(scale=scale, edges=[], counts=[])
    low, high = float(values.min()), float(values.max())
    # Halves, as the difference of two large numbers may overflow.
    edges = np.geomspace(low, high, bins + 1) if log_scale else 2 * np.linspace(low / 2, high / 2, bins + 1)
    edges[0], edges[-1] = low, high
    if not (np.diff(edges) > 0).all():  # equal values, or neighbours without room for the edges
        edges = np.array([low, high])
    counts, _ = np.histogram(values, edges)
    return Histogram(scale=scale, edges=edges.tolist(), counts=counts.tolist())
