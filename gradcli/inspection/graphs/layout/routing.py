"""How the arrows run between the boxes, once all places are known."""

from __future__ import annotations

from collections.abc import Sequence

from gradcli.inspection.graphs.layout.places import LAYER_GAP, Lane, Layout, Place, PlacedArrow, Point, Size
from gradcli.inspection.graphs.layout.positions import center_ends

PORTS = 0.6
"""The share of a box's width that arrows begin and end on."""
IN_LINE = 0.5
"""A place this near to the bend of an arrow is on it."""


def routed(boxes: Sequence[Place], lanes: Sequence[Lane], layers: Sequence[Sequence[Place]]) -> Layout:
    """The finished layout; its left and upper edges are at 0."""
    ends = _ends(lanes)
    center_ends(layers, lanes, ends)
    bands = _bands(layers)
    everything = [place for layer in layers for place in layer]
    left = min(place.x - place.size.width / 2 for place in everything)
    right = max(place.x + place.size.width / 2 for place in everything)

    def corner(box: Place) -> Point:
        top, bottom = bands[box.layer]
        return Point(box.x - box.size.width / 2 - left, (top + bottom - box.size.height) / 2)

    arrows = []
    for lane, (start, end) in zip(lanes, ends, strict=True):
        (source,), (target,) = lane[0].above, lane[-1].below
        xs = [start - left, *(place.x - left for place in lane), end - left]
        # From a low box straight to the edge of its layer, so that no bend touches a higher box beside it.
        points = [Point(xs[0], corner(source).y + source.size.height), Point(xs[0], bands[source.layer][1])]
        for number, place in enumerate(lane, start=1):
            is_on_bend = place.layer % 2 == 1 and abs(xs[number] - (xs[number - 1] + xs[number + 1]) / 2) < IN_LINE
            if not is_on_bend:
                points += [Point(xs[number], y) for y in bands[place.layer]]
        points += [Point(xs[-1], bands[target.layer][0]), Point(xs[-1], corner(target).y)]
        middle = lane[len(lane) // 2]
        arrows.append(PlacedArrow(tuple(points), Point(middle.x - left, sum(bands[middle.layer]) / 2)))
    return Layout(tuple(map(corner, boxes)), tuple(arrows), Size(right - left, bands[-1][1]))


def _bands(layers: Sequence[Sequence[Place]]) -> list[tuple[float, float]]:
    """The upper and lower edge of each layer."""
    bands = []
    top = 0.0
    for layer in layers:
        bottom = top + max(place.size.height for place in layer)
        bands.append((top, bottom))
        top = bottom + LAYER_GAP
    return bands


def _ends(lanes: Sequence[Lane]) -> list[tuple[float, float]]:
    """Where on its boxes each arrow begins and ends: side by side with others, in the order of where they go."""
    sides: dict[tuple[Place, bool], list[Place]] = {}
    for lane in lanes:
        sides.setdefault((lane[0].above[0], True), []).append(lane[0])
        sides.setdefault((lane[-1].below[0], False), []).append(lane[-1])
    ports: dict[tuple[Place, Place], float] = {}
    for (box, _), nearest in sides.items():
        for number, place in enumerate(sorted(nearest, key=lambda place: place.x)):
            ports[box, place] = box.x + PORTS * box.size.width * ((number + 0.5) / len(nearest) - 0.5)
    return [(ports[lane[0].above[0], lane[0]], ports[lane[-1].below[0], lane[-1]]) for lane in lanes]
