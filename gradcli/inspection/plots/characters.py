"""Curves in plain characters, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gradcli.inspection.plots.curves import Axes, Curve

HEIGHT = 14
_NARROWEST = 20
_LABEL_WIDTH = 10
_SHADES = " .:-=+*#%@"


def character_plot(
    curves: Sequence[Curve], axes: Axes, width: int, marks: Mapping[str, float] | None = None
) -> list[str]:
    """Lines of at most `width` characters (at least 31): the curves, y upwards, the axes' ends, and what marks mean.

    The x axis reaches over all points, also those whose y is not finite, which are not drawn. `marks` are vertical
    lines by name. A point hides those of curves before it. Without a finite point, one line says so.
    """
    columns = max(width - _LABEL_WIDTH - 1, _NARROWEST)
    points = [_finite(curve, axes) for curve in curves]
    ys = np.concatenate([each[1] for each in points])
    if not ys.size:
        return [f"{axes.y}: no finite number to plot"]
    reach = np.concatenate([_scaled(np.asarray(curve.xs, np.float64), axes) for curve in curves])
    left, right, bottom, top = reach.min(), reach.max(), ys.min(), ys.max()
    canvas = np.full((HEIGHT, columns), " ")
    for x in (marks or {}).values():
        column = _place(_scaled(np.array([x]), axes), left, right, columns)[0]
        canvas[:, column] = "|"
    for curve, (curve_xs, curve_ys) in zip(curves, points, strict=True):
        rows = HEIGHT - 1 - _place(curve_ys, bottom, top, HEIGHT)
        canvas[rows, _place(curve_xs, left, right, columns)] = curve.marker
    labels = {0: f"{top:.4g}", HEIGHT - 1: f"{bottom:.4g}"}
    lines = [f"{labels.get(row, ''):>{_LABEL_WIDTH}}|{''.join(cells)}".rstrip() for row, cells in enumerate(canvas)]
    ends = [f"{10**end if axes.log_x else end:.4g}" for end in (left, right)]
    lines.append(" " * _LABEL_WIDTH + "+" + "-" * columns)
    lines.append(" " * (_LABEL_WIDTH + 1) + ends[0] + ends[1].rjust(columns - len(ends[0])))
    lines.append(f"x: {axes.x}{', logarithmic' if axes.log_x else ''}; y: {axes.y}")
    lines += [f"{curve.marker} {curve.label}" for curve in curves if len(curves) > 1]
    lines += [f"| {name}: {x:.4g}" for name, x in (marks or {}).items()]
    return lines


def character_map(values: NDArray[np.float64], label: str) -> list[str]:
    """A table of numbers (rows, columns) as shades, two characters for each number, the first row at the bottom.

    The darker the larger; `!` where a number is not finite.
    """
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    steps = np.zeros(values.shape, int)
    steps[finite] = _place(values[finite], low, high, len(_SHADES))
    lines = [
        "".join((_SHADES[step] if known else "!") * 2 for step, known in zip(*row, strict=True)).rstrip()
        for row in zip(steps[::-1], finite[::-1], strict=True)
    ]
    return [*lines, f"{label}: '{_SHADES[0]}' {low:.4g} to '{_SHADES[-1]}' {high:.4g}"]


def _finite(curve: Curve, axes: Axes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    xs, ys = _scaled(np.asarray(curve.xs, np.float64), axes), np.asarray(curve.ys, np.float64)
    kept = np.isfinite(xs) & np.isfinite(ys)
    return xs[kept], ys[kept]


def _scaled(xs: NDArray[np.float64], axes: Axes) -> NDArray[np.float64]:
    return np.log10(xs) if axes.log_x else xs


def _place(values: NDArray[np.float64], low: float, high: float, count: int) -> NDArray[np.int64]:
    """The nearest of `count` places from `low` to `high`."""
    share = (values - low) / (high - low) if high > low else np.zeros(values.shape)
    return np.clip(np.rint(share * (count - 1)), 0, count - 1).astype(np.int64)
