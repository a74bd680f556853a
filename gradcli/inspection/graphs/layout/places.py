"""What a layout is made of: boxes, arrows, and the places that both take on the layers of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BOX_GAP = 22.0
"""Between boxes of a layer."""
LANE_GAP = 12.0
"""Beside an arrow that passes a box."""
LAYER_GAP = 16.0
LANE_WIDTH = 6.0


class Size(NamedTuple):
    """Width and height of a box or a text."""

    width: float
    height: float


class Point(NamedTuple):
    """A place in the picture, from its left and its top."""

    x: float
    y: float


class Arrow(NamedTuple):
    """From one box to another, and the size of its text."""

    source: int
    target: int
    label: Size


class PlacedArrow(NamedTuple):
    """The points that an arrow goes through, and the middle of its text.

    Points come in pairs: between the two of a pair it runs straight, from pair to pair it may bend.
    """

    points: tuple[Point, ...]
    label: Point


class Layout(NamedTuple):
    """The upper left corners of the boxes, the arrows, and the size of the whole."""

    boxes: tuple[Point, ...]
    arrows: tuple[PlacedArrow, ...]
    size: Size


@dataclass(eq=False)
class Place:
    """A box, or where an arrow goes through a layer: those on even layers pass boxes, those on odd ones texts.

    `x` is that of its middle; `above` and `below` are the places on the layers beside it that its arrows come from and
    go to.
    """

    size: Size
    layer: int
    is_box: bool
    x: float = 0.0
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)


Lane = Sequence[Place]
"""The places of one arrow between its boxes, from the top."""


def distance(left: Place, right: Place) -> float:
    """How far the middles of neighbours in a layer must be apart."""
    gap = BOX_GAP if left.is_box and right.is_box else LANE_GAP
    return (left.size.width + right.size.width) / 2 + gap
