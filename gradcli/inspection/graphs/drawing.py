"""A picture of a graph as shapes with coordinates, from which the SVG and the PNG file are made."""

from __future__ import annotations

import unicodedata
from typing import Literal, NamedTuple

from gradcli.inspection.graphs.labels import LEGEND, Style, details, edge_text, saved_text, style, title
from gradcli.inspection.graphs.layout.layered import lay_out
from gradcli.inspection.graphs.layout.places import Arrow, Layout, Point, Size
from gradcli.inspection.graphs.recorded import GraphNode, RecordedGraph

MARGIN = 20.0
TITLE_SIZE, DETAIL_SIZE, LABEL_SIZE = 13.0, 11.0, 10.0
LINE_HEIGHT = 1.35
CHARACTER_WIDTH = 0.62
"""Of a text's size, on average: what the wider sans-serif fonts take, as a picture doesn't know its reader's."""
BOLD_WIDTH = 1.1
PADDING = 9.0


class Box(NamedTuple):
    """A rectangle in the colours of a style."""

    corner: Point
    size: Size
    style: Style


class Text(NamedTuple):
    """A line of text, whose middle, or with `start` whose left end, is at `place`, at half of its height.

    `style` is that of the box around it, None outside of boxes. What stands `on_arrow` hides it.
    """

    place: Point
    text: str
    size: float
    style: Style | None
    bold: bool = False
    anchor: Literal["middle", "start"] = "middle"
    on_arrow: bool = False


class Line(NamedTuple):
    """An arrow through points in pairs: straight within a pair, bent from one to the next, if they aren't in line."""

    points: tuple[Point, ...]
    dashed: bool


class Drawing(NamedTuple):
    """Everything to be drawn, in this order: lines, boxes, texts."""

    size: Size
    lines: tuple[Line, ...]
    boxes: tuple[Box, ...]
    texts: tuple[Text, ...]


def draw(graph: RecordedGraph) -> Drawing:
    """The graph from the leaves at the top down to the result, with a legend below it."""
    boxes = [_box_size(node) for node in graph.nodes]
    labels = _arrow_labels(graph)
    arrows = [Arrow(source, target, _text_size(text, LABEL_SIZE)) for (source, target), (text, _) in labels.items()]
    layout = lay_out(boxes, arrows)
    legend_boxes, legend_texts, legend_size = _legend(graph, MARGIN * 2 + layout.size.height)
    width = max(layout.size.width, legend_size.width)
    layout = _moved(layout, Point(MARGIN + (width - layout.size.width) / 2, MARGIN))
    lines = [Line(arrow.points, dashed) for arrow, (_, dashed) in zip(layout.arrows, labels.values(), strict=True)]
    texts = [
        Text(arrow.label, text, LABEL_SIZE, None, on_arrow=True)
        for arrow, (text, _) in zip(layout.arrows, labels.values(), strict=True)
    ]
    drawn = []
    for node, corner, size in zip(graph.nodes, layout.boxes, boxes, strict=True):
        drawn.append(Box(corner, size, style(node, graph)))
        texts += _texts_in_box(node, corner, size, style(node, graph))
    height = layout.size.height + legend_size.height + 3 * MARGIN
    return Drawing(Size(width + 2 * MARGIN, height), tuple(lines), (*drawn, *legend_boxes), (*texts, *legend_texts))


def text_width(text: str, size: float) -> float:
    """About how wide a text is, in a font that the picture doesn't know."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return (len(text) + 0.75 * wide) * size * CHARACTER_WIDTH


def _text_size(text: str, size: float) -> Size:
    return Size(text_width(text, size) + 4.0, size * LINE_HEIGHT)


def _box_size(node: GraphNode) -> Size:
    lines = [(title(node), TITLE_SIZE), *((line, DETAIL_SIZE) for line in details(node))]
    width = max(text_width(text, size) * (BOLD_WIDTH if size == TITLE_SIZE else 1.0) for text, size in lines)
    return Size(width + 2 * PADDING, sum(size * LINE_HEIGHT for _, size in lines) + PADDING)


def _texts_in_box(node: GraphNode, corner: Point, size: Size, style: Style) -> list[Text]:
    texts = []
    x, y = corner.x + size.width / 2, corner.y + PADDING / 2
    for number, text in enumerate([title(node), *details(node)]):
        height = TITLE_SIZE if number == 0 else DETAIL_SIZE
        y += height * LINE_HEIGHT / 2
        texts.append(Text(Point(x, y), text, height, style, bold=number == 0))
        y += height * LINE_HEIGHT / 2
    return texts


def _arrow_labels(graph: RecordedGraph) -> dict[tuple[int, int], tuple[str, bool]]:
    """One arrow for all edges between the same nodes: the shapes on it, and whether backward skips it."""
    found: dict[tuple[int, int], tuple[list[str], bool]] = {}
    for edge in graph.edges:
        shapes, skipped = found.get((edge.source, edge.target), ([], True))
        text = edge_text(edge)
        found[edge.source, edge.target] = shapes if text in shapes else [*shapes, text], skipped and edge.skipped
    return {ends: (", ".join(shapes), skipped) for ends, (shapes, skipped) in found.items()}


def _moved(layout: Layout, by: Point) -> Layout:
    def moved(point: Point) -> Point:
        return Point(point.x + by.x, point.y + by.y)

    arrows = tuple(
        arrow._replace(points=tuple(map(moved, arrow.points)), label=moved(arrow.label)) for arrow in layout.arrows
    )
    return layout._replace(boxes=tuple(map(moved, layout.boxes)), arrows=arrows)


def _legend(graph: RecordedGraph, top: float) -> tuple[list[Box], list[Text], Size]:
    """What the colours mean, as far as they occur, and how much is saved; from `top` down."""
    used = {style(node, graph) for node in graph.nodes}
    boxes, texts = [], []
    line = LABEL_SIZE * LINE_HEIGHT + 4
    y = top + line / 2
    width = 0.0
    for kind, meaning in LEGEND.items():
        if kind in used:
            boxes.append(Box(Point(MARGIN, y - 5), Size(16.0, 10.0), kind))
            texts.append(Text(Point(MARGIN + 24, y), meaning, LABEL_SIZE, None, anchor="start"))
            width = max(width, 24 + text_width(meaning, LABEL_SIZE))
            y += line
    for text in saved_text(graph).split("; "):
        texts.append(Text(Point(MARGIN, y), text, LABEL_SIZE, None, anchor="start"))
        width = max(width, text_width(text, LABEL_SIZE))
        y += line
    return boxes, texts, Size(width, y - line / 2 - top)
