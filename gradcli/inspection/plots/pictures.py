"""Curves and maps as PNG files, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcli.inspection.plots.curves import Axes, Curve
from gradcli.inspection.plots.figures import figure_png, figure_with_axes

WIDTH, HEIGHT = 8.0, 5.0


def plot_curves(curves: Sequence[Curve], axes: Axes, title: str, marks: Mapping[str, float] | None = None) -> bytes:
    """A PNG file of the curves, with vertical lines by name; UsageError if matplotlib is not installed.

    The x axis reaches over all points, also those whose y is not finite, which are not drawn.
    """
    figure, plot = figure_with_axes(WIDTH, HEIGHT, title, axes.x, axes.y)
    for curve in curves:
        plot.plot(curve.xs, curve.ys, label=curve.label)
        plot.update_datalim([(x, 0.0) for x in curve.xs], updatey=False)
    for number, (name, x) in enumerate((marks or {}).items()):
        plot.axvline(x, label=f"{name}: {x:.4g}", color="grey", linestyle=("--", ":")[number % 2])
    if axes.log_x:
        plot.set_xscale("log")
    plot.legend()
    plot.grid(alpha=0.3)
    return figure_png(figure)


def plot_map(
    values: NDArray[np.float64], xs: Sequence[float], ys: Sequence[float], axes: Axes, title: str, label: str
) -> bytes:
    """A PNG file of numbers (ys, xs), called `label`, as colours with contour lines; UsageError without matplotlib."""
    figure, plot = figure_with_axes(WIDTH, HEIGHT, title, axes.x, axes.y)
    shown = np.ma.masked_invalid(values)
    image = plot.pcolormesh(xs, ys, shown, cmap="viridis", shading="nearest")
    figure.colorbar(image, ax=plot, label=label)
    if shown.count() and shown.min() < shown.max():
        plot.contour(xs, ys, shown, levels=12, colors="white", linewidths=0.6)
    return figure_png(figure)
