"""Matplotlib's figures, as all PNG plots begin and end: without windows, the same bytes for the same numbers."""

from __future__ import annotations

import io
from typing import Any

from gradcli.errors import UsageError


def require_matplotlib() -> None:
    """UsageError if matplotlib, which is an extra, is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(f"png needs matplotlib ({error}); pip install 'gradcli[plot]' brings it") from None


def figure_with_axes(width: float, height: float, title: str, x: str, y: str) -> tuple[Any, Any]:
    """A figure of this size in inches, and its axes with title and labels; UsageError without matplotlib."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: nothing is looked for that shows windows.
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, parse_math=False)
    return figure, axes


def figure_png(figure: Any) -> bytes:
    """The figure as a PNG file, which does not tell the version that wrote it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
