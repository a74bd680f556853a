"""The confusion matrix as a picture, drawn with matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcli.inspection.plots.figures import figure_png, figure_with_axes

_MOST_NAMES = 60  # with more classes they would be too small to read
_MOST_COUNTS = 25
_LONGEST_NAME = 24


def plot_confusion(confusion: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """A PNG file of a confusion matrix (classes, classes): rows are the images' classes, columns the predicted ones.

    Colours are shares of the row, so that large classes don't outshine small ones; up to 25 classes the counts are
    written into the cells, up to 60 the names beside. UsageError if matplotlib is not installed.
    """
    count = len(classes)
    side = min(max(4.0, 2.0 + 0.45 * min(count, _MOST_NAMES)), 24.0)
    figure, axes = figure_with_axes(side + 1, side, title, "predicted", "class")
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the class")
    if count <= _MOST_NAMES:
        names = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in classes]
        axes.set_xticks(range(count), names, rotation=90, parse_math=False)
        axes.set_yticks(range(count), names, parse_math=False)
    if count <= _MOST_COUNTS:
        for row, column in np.argwhere(confusion):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = str(confusion[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it draws a box for letters that its font doesn't have
        return figure_png(figure)
