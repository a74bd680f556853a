"""Where in their layers boxes and arrows are, so that arrows run as straight as their order allows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from gradcli.inspection.graphs.layout.places import Lane, Place, distance

POSITION_SWEEPS = 24
STRAIGHTNESS = 8.0
"""How much more neighbours without a fork between them draw each other than those at one."""
FIRMNESS = 1e6
"""How little an arrow that passes gives way to the ends of others."""


def find_positions(layers: Sequence[Sequence[Place]]) -> None:
    """Set the `x` of all places."""
    _move_apart(layers)
    for sweep in range(POSITION_SWEEPS):
        for layer in layers if sweep % 2 else reversed(layers):
            _straighten(layer, _middle_of_neighbours)
    _align_rows(layers)


def _move_apart(layers: Sequence[Sequence[Place]]) -> None:
    for layer in layers:
        x = 0.0
        for left, right in itertools.pairwise(layer):
            x += distance(left, right)
            right.x = x
        for place in layer:
            place.x -= x / 2


def _straighten(layer: Sequence[Place], wanted: Callable[[Place], tuple[float, float]]) -> None:
    """Move the places of a layer as near as can be to where they want to be, given with how much they want it.

    The weighted sum of the squared distances from there is the least that order and distances allow: places that press
    against each other move as one block to the mean of their wishes.
    """
    offsets = [0.0]
    for left, right in itertools.pairwise(layer):
        offsets.append(offsets[-1] + distance(left, right))
    blocks: list[tuple[float, float, int]] = []  # position of its first place less that one's offset, weight, size
    for place, offset in zip(layer, offsets, strict=True):
        position, weight = wanted(place)
        block = (position - offset, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            other, other_weight, count = blocks.pop()
            total = other_weight + block[1]
            block = ((other * other_weight + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    positions = (position for position, _, count in blocks for _ in range(count))
    for place, offset, position in zip(layer, offsets, positions, strict=True):
        place.x = position + offset


def _middle_of_neighbours(place: Place) -> tuple[float, float]:
    neighbours = [*place.above, *place.below]
    if not neighbours:
        return place.x, 1.0
    weights = [STRAIGHTNESS if _in_a_row(place, other) else 1.0 for other in neighbours]
    total = sum(weights)
    return sum(other.x * weight for other, weight in zip(neighbours, weights, strict=True)) / total, total


def _in_a_row(place: Place, other: Place) -> bool:
    """Whether two neighbours have no others on these sides."""
    upper, lower = (place, other) if place.layer < other.layer else (other, place)
    return len(upper.below) == len(lower.above) == 1


def _align_rows(layers: Sequence[Sequence[Place]]) -> None:
    """Let boxes and arrows that follow one another without a fork stand in one line, where there is room for it."""
    rank = {place: number for layer in layers for number, place in enumerate(layer)}
    for row in sorted(_rows(layers), key=len, reverse=True):
        least, most = -math.inf, math.inf
        for place in row:
            layer, number = layers[place.layer], rank[place]
            if number > 0:
                least = max(least, layer[number - 1].x + distance(layer[number - 1], place))
            if number + 1 < len(layer):
                most = min(most, layer[number + 1].x - distance(place, layer[number + 1]))
        if least <= most:
            wanted = sum(place.x for place in row) / len(row)
            for place in row:
                place.x = min(max(wanted, least), most)


def _rows(layers: Sequence[Sequence[Place]]) -> list[list[Place]]:
    """Places that follow one another without a fork."""
    rows = []
    for place in itertools.chain(*layers):
        if len(place.above) == 1 and _in_a_row(place.above[0], place):
            continue
        row = [place]
        while len(row[-1].below) == 1 and _in_a_row(row[-1], row[-1].below[0]):
            row.append(row[-1].below[0])
        # An arrow's ends at a fork may bend: they take no part.
        first = int(not row[0].is_box)
        row = row[first : len(row) - int(not row[-1].is_box)]
        if row:
            rows.append(row)
    return rows


def center_ends(layers: Sequence[Sequence[Place]], lanes: Sequence[Lane], ends: Sequence[tuple[float, float]]) -> None:
    """Move the first and last place of each arrow to the middle of what comes before and after it.

    `ends` are where each arrow leaves its upper box and arrives at the lower one. From box to text, and past a text, an
    arrow then is one bend.
    """
    wanted: dict[Place, float] = {}
    for lane, (start, end) in zip(lanes, ends, strict=True):
        xs = [start, *(place.x for place in lane), end]
        for number in {0, len(lane) - 1}:
            wanted[lane[number]] = (xs[number] + xs[number + 2]) / 2
    for layer in layers[1::2]:
        _straighten(layer, lambda place: (wanted[place], 1.0) if place in wanted else (place.x, FIRMNESS))
