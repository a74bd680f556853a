"""Where the boxes of a graph stand and how its arrows run.

Every arrow leads at least two layers down. On the layers between it has places of its own, kept free of boxes, and in
the middle one its text; so no arrow crosses a box, and no text lies on another.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcli.inspection.graphs.layout.layers import lane_between, layers_of, ordered_layers
from gradcli.inspection.graphs.layout.places import Arrow, Layout, Place, Size
from gradcli.inspection.graphs.layout.positions import find_positions
from gradcli.inspection.graphs.layout.routing import routed


def lay_out(boxes: Sequence[Size], arrows: Sequence[Arrow]) -> Layout:
    """Place boxes of these sizes, numbered so that arrows lead from lower to higher numbers: no circles."""
    layer_of = layers_of(len(boxes), arrows)
    places = [Place(size, layer, True) for size, layer in zip(boxes, layer_of, strict=True)]
    lanes = [lane_between(places[arrow.source], places[arrow.target], arrow.label) for arrow in arrows]
    layers = ordered_layers(places)
    find_positions(layers)
    return routed(places, lanes, layers)
