"""Plots drawn with matplotlib: what the axes reach over."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradcli.inspection.plots import pictures
from gradcli.inspection.plots.curves import Axes, Curve


def test_the_x_axis_reaches_over_points_that_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    figures: list[Any] = []
    monkeypatch.setattr(pictures, "figure_png", lambda figure: figures.append(figure) or b"")
    pictures.plot_curves([Curve("a", ".", [1, 10, 100], [3.0, 4.0, math.nan])], Axes("x", "y", log_x=True), "title")
    [[axes]] = [figure.axes for figure in figures]
    assert axes.get_xlim()[1] >= 100
    assert 2 < axes.get_ylim()[0] < 3
