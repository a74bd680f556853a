"""Layouts of random graphs: nothing overlaps, no arrow runs through a box, chains are straight."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from inspection.graphs.example_graphs import random_arrows

from gradcli.inspection.graphs.layout.layered import lay_out
from gradcli.inspection.graphs.layout.places import Arrow, Layout, Point, Size

Rectangle = tuple[float, float, float, float]


def rectangles(layout: Layout, boxes: list[Size]) -> list[Rectangle]:
    return [
        (corner.x, corner.y, corner.x + size.width, corner.y + size.height)
        for corner, size in zip(layout.boxes, boxes, strict=True)
    ]


def labels(layout: Layout, arrows: list[Arrow]) -> list[Rectangle]:
    return [
        (x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)
        for (_, (x, y)), (_, _, size) in zip(layout.arrows, arrows, strict=True)
    ]


def overlap(first: Rectangle, second: Rectangle, tolerance: float = 1e-6) -> bool:
    return (
        first[0] < second[2] - tolerance
        and second[0] < first[2] - tolerance
        and first[1] < second[3] - tolerance
        and second[1] < first[3] - tolerance
    )


def curve(points: tuple[Point, ...]) -> list[Point]:
    """The way of an arrow at small steps: straight down, or the bends that the pictures draw."""
    way = []
    for (x, y), (next_x, next_y) in itertools.pairwise(points):
        for part in np.linspace(0, 1, 50):
            share = 3 * part**2 - 2 * part**3
            rest = 1 - part
            middle = (y + next_y) / 2
            down = rest**3 * y + 3 * rest * part * middle + part**3 * next_y
            way.append(Point(x + share * (next_x - x), down))
    return way


@pytest.mark.parametrize("seed", range(25))
def test_random_graphs(seed: int) -> None:
    boxes, arrows = random_arrows(seed)
    layout = lay_out(boxes, arrows)
    placed = rectangles(layout, boxes)
    texts = labels(layout, arrows)
    for first, second in itertools.combinations([*placed, *texts], 2):
        assert not overlap(first, second)
    for left, top, right, bottom in [*placed, *texts]:
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= layout.size.width + 1e-6
        assert bottom <= layout.size.height + 1e-6
    for arrow, (points, label) in zip(arrows, layout.arrows, strict=True):
        source, target = placed[arrow.source], placed[arrow.target]
        assert points[0].y == pytest.approx(source[3])
        assert source[0] < points[0].x < source[2]
        assert points[-1].y == pytest.approx(target[1])
        assert target[0] < points[-1].x < target[2]
        way = curve(points)
        assert all(later.y >= earlier.y - 1e-6 for earlier, later in itertools.pairwise(way))
        assert np.interp(label.y, [y for _, y in way], [x for x, _ in way]) == pytest.approx(label.x, abs=2)
        for x, y in way:
            inside = [box for box in placed if box[0] + 1e-6 < x < box[2] - 1e-6 and box[1] + 1e-6 < y < box[3] - 1e-6]
            assert not inside


def test_a_chain_is_straight() -> None:
    boxes = [Size(width, 30.0) for width in (50.0, 120.0, 80.0, 200.0)]
    arrows = [Arrow(number, number + 1, Size(60.0, 13.0)) for number in range(3)]
    layout = lay_out(boxes, arrows)
    middles = {corner.x + size.width / 2 for corner, size in zip(layout.boxes, boxes, strict=True)}
    assert middles == {100.0}
    assert {point.x for arrow in layout.arrows for point in arrow.points} == {100.0}


def test_a_shortcut_passes_its_block_in_a_straight_line() -> None:
    boxes = [Size(100.0, 40.0) for _ in range(6)]
    chain = [Arrow(number, number + 1, Size(60.0, 13.0)) for number in range(5)]
    layout = lay_out(boxes, [*chain, Arrow(0, 5, Size(60.0, 13.0))])
    block = {round(corner.x, 6) for corner in layout.boxes[1:5]}
    assert len(block) == 1
    ends, line = (101.0, 122.0)
    assert [point.x for point in layout.arrows[-1].points] == [ends] * 2 + [line] * 8 + [ends] * 2


def test_a_tree_has_no_crossings() -> None:
    # Each box has two children, whose numbers a shuffle has mixed up within each generation.
    generator = np.random.default_rng(0)
    arrows, last, count = [], [0], 1
    for _ in range(4):
        children = list(generator.permutation(np.arange(count, count + 2 * len(last))))
        arrows += [Arrow(last[number // 2], int(child), Size(20.0, 13.0)) for number, child in enumerate(children)]
        last, count = sorted(map(int, children)), count + len(children)
    layout = lay_out([Size(40.0, 20.0)] * count, arrows)
    for first, second in itertools.combinations(range(len(arrows)), 2):
        (a, b), (c, d) = (
            (layout.boxes[arrow.source], layout.boxes[arrow.target]) for arrow in (arrows[first], arrows[second])
        )
        if a.y == c.y and b.y == d.y:
            assert (a.x - c.x) * (b.x - d.x) >= 0


def test_one_box_alone() -> None:
    layout = lay_out([Size(30.0, 20.0)], [])
    assert (layout.boxes, layout.size) == ((Point(0.0, 0.0),), Size(30.0, 20.0))
