"""The curves and the map of a landscape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcli.inspection.landscape.surface import Landscape
from gradcli.inspection.plots.curves import Axes, Curve

CURVE_AXES = Axes("distance from the weights", "loss")
MAP_AXES = Axes("down the gradient", "random direction")


def curves_of(found: Landscape) -> list[Curve]:
    """The loss by distance, in each direction alone."""
    random = [(point.random, point.loss) for point in found.points if point.gradient == 0]
    gradient = [(point.gradient, point.loss) for point in found.points if point.random == 0]
    return [
        Curve(label, marker, *zip(*sorted(points), strict=True))
        for label, marker, points in (("random direction", "o", random), ("down the gradient", "*", gradient))
    ]


def map_of(found: Landscape) -> NDArray[np.float64]:
    """The losses of a grid (distances in the random direction, distances down the gradient)."""
    side = len(found.distances)
    return np.array([point.loss for point in found.points], np.float64).reshape(side, side)
