"""Curves and maps in plain characters: every point at its place."""

from __future__ import annotations

import math

import numpy as np

from gradcli.inspection.plots.characters import HEIGHT, character_map, character_plot
from gradcli.inspection.plots.curves import Axes, Curve

WIDTH = 32
LABELS = 11  # ten characters and the axis


def test_corners_and_middle() -> None:
    curve = Curve("rise", "*", [0.0, 1.0, 2.0], [10.0, 20.0, 30.0])
    lines = character_plot([curve], Axes("step", "loss"), WIDTH)
    places = {(row, line.index("*") - LABELS) for row, line in enumerate(lines[:HEIGHT]) if "*" in line}
    assert places == {(HEIGHT - 1, 0), (HEIGHT - 1 - round(0.5 * (HEIGHT - 1)), 10), (0, 20)}
    assert lines[0].startswith("        30|")
    assert lines[HEIGHT - 1].startswith("        10|")
    assert lines[HEIGHT + 1].split() == ["0", "2"]
    assert lines[-1] == "x: step; y: loss"
    assert max(map(len, lines)) <= WIDTH


def test_a_logarithmic_axis_and_marks() -> None:
    curves = [Curve("a", ".", [1e-4, 1e-2, 1.0], [1.0, 1.0, 1.0]), Curve("b", "*", [1.0], [2.0])]
    lines = character_plot(curves, Axes("rate", "loss", log_x=True), WIDTH, {"best": 1e-2})
    assert lines[0][LABELS:] == " " * 10 + "|" + " " * 9 + "*"
    assert lines[HEIGHT - 1][LABELS:] == "." + " " * 9 + "." + " " * 9 + "."
    assert lines[-4:] == ["x: rate, logarithmic; y: loss", ". a", "* b", "| best: 0.01"]


def test_the_x_axis_reaches_over_points_that_are_not_drawn() -> None:
    lines = character_plot([Curve("a", "*", [0.0, 1.0, 2.0], [3.0, 4.0, math.nan])], Axes("x", "loss"), WIDTH)
    assert lines[0][LABELS:] == " " * 10 + "*"
    assert lines[HEIGHT + 1].split() == ["0", "2"]


def test_what_is_not_finite_is_left_out() -> None:
    axes = Axes("x", "loss")
    lines = character_plot([Curve("a", "*", [0.0, 1.0, 2.0], [math.nan, 1.0, math.inf])], axes, WIDTH)
    assert sum(line.count("*") for line in lines) == 1
    assert character_plot([Curve("a", "*", [0.0], [math.nan])], axes, WIDTH) == ["loss: no finite number to plot"]


def test_a_map_has_its_first_row_at_the_bottom() -> None:
    values = np.array([[0.0, 9.0], [math.nan, 5.0]])
    assert character_map(values, "loss") == ["!!++", "  @@", "loss: ' ' 0 to '@' 9"]
