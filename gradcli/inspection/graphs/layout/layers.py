"""The layers of a graph: which box stands on which, where arrows go through, and in what order from left to right."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

from gradcli.inspection.graphs.layout.places import LANE_WIDTH, Arrow, Place, Size

ORDER_SWEEPS = 16


def layers_of(count: int, arrows: Sequence[Arrow]) -> list[int]:
    """The layer of each box, as far down as its arrows allow: an even number, for there is one for texts between."""
    up = [0] * count  # from the lowest layer
    for arrow in sorted(arrows, key=lambda arrow: -arrow.source):
        up[arrow.source] = max(up[arrow.source], up[arrow.target] + 2)
    highest = max(up)
    return [highest - steps for steps in up]


def lane_between(source: Place, target: Place, label: Size) -> list[Place]:
    """The places of an arrow on the layers between its boxes, joined to them."""
    between = range(source.layer + 1, target.layer)
    with_label = between[len(between) // 2]
    lane = [Place(label if layer == with_label else Size(LANE_WIDTH, 0.0), layer, False) for layer in between]
    for upper, lower in zip([source, *lane], [*lane, target], strict=True):
        upper.below.append(lower)
        lower.above.append(upper)
    return lane


def ordered_layers(boxes: Sequence[Place]) -> list[list[Place]]:
    """The places on each layer from left to right, so that arrows cross as little as this finds.

    Again and again the places of each layer are ordered by the mean rank of their neighbours on the layer below or
    above, and the best of these orders is taken.
    """
    layers: list[list[Place]] = [[] for _ in range(max(box.layer for box in boxes) + 1)]
    for place in _from_below(boxes):
        layers[place.layer].append(place)
    return _with_fewest_crossings(layers)


def _from_below(boxes: Sequence[Place]) -> list[Place]:
    """All places in the order of a walk from the results up, which keeps what belongs together beside each other."""
    found: dict[Place, None] = {}
    waiting = [box for box in boxes if not box.below]
    while waiting:
        place = waiting.pop()
        if place not in found:
            found[place] = None
            waiting += reversed(place.above)
    return list(found)


def _with_fewest_crossings(layers: list[list[Place]]) -> list[list[Place]]:
    best, fewest = layers, _crossings(layers)
    for sweep in range(ORDER_SWEEPS):
        if fewest == 0:
            break
        layers = [list(layer) for layer in layers]
        down = sweep % 2 == 1
        order = range(1, len(layers)) if down else range(len(layers) - 2, -1, -1)
        for number in order:
            fixed = {place: rank for rank, place in enumerate(layers[number - 1 if down else number + 1])}
            layers[number] = _by_neighbours(layers[number], fixed, down, turned=sweep % 4 >= 2)
        crossings = _crossings(layers)
        if crossings < fewest:
            best, fewest = layers, crossings
    return best


def _by_neighbours(layer: Sequence[Place], fixed: dict[Place, int], down: bool, turned: bool) -> list[Place]:
    """The layer ordered by the mean rank of each place's neighbours; one without neighbours keeps its rank.

    Places of the same mean stay in their order, or are `turned`: either may be what saves crossings elsewhere.
    """
    ranks = {}
    for rank, place in enumerate(layer):
        neighbours = place.above if down else place.below
        ranks[place] = sum(fixed[other] for other in neighbours) / len(neighbours) if neighbours else float(rank)
    return sorted(reversed(layer) if turned else layer, key=ranks.__getitem__)


def _crossings(layers: Sequence[Sequence[Place]]) -> int:
    """How many pairs of arrows cross."""
    count = 0
    for upper, lower in itertools.pairwise(layers):
        rank = {place: number for number, place in enumerate(lower)}
        passed: list[int] = []  # where the arrows so far end
        for place in upper:
            ends = sorted(rank[other] for other in place.below)
            count += sum(len(passed) - bisect.bisect_right(passed, end) for end in ends)
            for end in ends:
                bisect.insort(passed, end)
    return count
