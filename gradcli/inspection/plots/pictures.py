"""Curves and maps as PNG files, drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.inspection.confusion_plot import require_matplotlib
from gradcli.inspection.plots.curves import Axes, Curve


def plot_curves(curves: Sequence[Curve], axes: Axes, title: str, marks: Mapping[str, float] | None = None) -> bytes:
    """A PNG file of the curves, with vertical lines by name; UsageError if matplotlib is not installed."""
    figure, plot = _figure(title, axes)
    for curve in curves:
        plot.plot(curve.xs, curve.ys, label=curve.label)
    for number, (name, x) in enumerate((marks or {}).items()):
        plot.axvline(x, label=f"{name}: {x:.4g}", color="grey", linestyle=("--", ":")[number % 2])
    if axes.log_x:
        plot.set_xscale("log")
    plot.legend()
    plot.grid(alpha=0.3)
    return _png(figure)


def plot_map(values: NDArray[np.float64], xs: Sequence[float], ys: Sequence[float], axes: Axes, title: str) -> bytes:
    """A PNG file of numbers (ys, xs) as colours with contour lines; UsageError if matplotlib is not installed."""
    figure, plot = _figure(title, axes)
    shown = np.ma.masked_invalid(values)
    image = plot.pcolormesh(xs, ys, shown, cmap="viridis", shading="nearest")
    figure.colorbar(image, ax=plot, label="loss")
    if shown.count() and shown.min() < shown.max():
        plot.contour(xs, ys, shown, levels=12, colors="white", linewidths=0.6)
    return _png(figure)


def _figure(title: str, axes: Axes) -> tuple[Any, Any]:
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: nothing is looked for that shows windows.
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.add_subplot()
    plot.set(xlabel=axes.x, ylabel=axes.y)
    plot.set_title(title, parse_math=False)
    return figure, plot


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
