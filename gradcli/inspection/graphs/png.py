"""A drawing as a PNG file, drawn with Pillow."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcli.errors import UsageError
from gradcli.inspection.graphs.drawing import Box, Drawing, Line, Text
from gradcli.inspection.graphs.layout.places import Point
from gradcli.inspection.graphs.palette import LIGHT, LIGHT_PAPER

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SMOOTHING = 2
"""Pillow draws lines with steps: the picture is drawn this much larger and made smaller."""
SCALES = (2.0, 1.0)
"""Pixels for each unit of the drawing; the second if the picture would be too large."""
MOST_PIXELS = 120_000_000
"""Drawn at most: half a gigabyte."""
CURVE_STEPS = 16
ARROW = 8.0
ANCHORS = {"middle": "mm", "start": "lm"}


def png_bytes(drawing: Drawing) -> bytes:
    """The drawing as a PNG file. UsageError for one too large to be a picture of pixels."""
    from PIL import Image, ImageDraw

    area = drawing.size.width * drawing.size.height * SMOOTHING**2
    scale = next((scale for scale in SCALES if area * scale**2 <= MOST_PIXELS), None)
    if scale is None:
        raise UsageError("the graph is too large for png; take svg, or a smaller --depth")
    width, height = (math.ceil(length * scale) for length in drawing.size)
    image = Image.new("RGB", (width * SMOOTHING, height * SMOOTHING), LIGHT_PAPER.background)
    canvas = _Canvas(ImageDraw.Draw(image), scale * SMOOTHING)
    for line in drawing.lines:
        canvas.line(line)
    for box in drawing.boxes:
        canvas.box(box)
    for text in drawing.texts:
        canvas.text(text)
    stream = io.BytesIO()
    image.resize((width, height), Image.Resampling.LANCZOS).save(stream, "PNG")
    return stream.getvalue()


class _Canvas:
    """Draws shapes, whose coordinates it multiplies by `scale`."""

    def __init__(self, draw: ImageDraw, scale: float) -> None:
        self._draw = draw
        self._scale = scale
        self._fonts: dict[float, Any] = {}

    def line(self, line: Line) -> None:
        points = [self._scaled(point) for point in _flattened(line.points)]
        tip = points[-1]
        width = max(1, round(1.3 * self._scale))
        points[-1] = Point(tip.x, tip.y - ARROW * self._scale / 2)  # the head covers the rest
        pieces = _dashes(points, 4 * self._scale) if line.dashed else [points]
        for piece in pieces:
            self._draw.line([(x, y) for x, y in piece], LIGHT_PAPER.arrow, width, joint="curve")
        length, half = ARROW * self._scale, 0.4 * ARROW * self._scale
        head = [(tip.x, tip.y), (tip.x - half, tip.y - length), (tip.x + half, tip.y - length)]
        self._draw.polygon(head, LIGHT_PAPER.arrow)

    def box(self, box: Box) -> None:
        colors = LIGHT[box.style]
        corner, opposite = box.corner, Point(box.corner.x + box.size.width, box.corner.y + box.size.height)
        ends = (*self._scaled(corner), *self._scaled(opposite))
        width = max(1, round(self._scale))
        self._draw.rounded_rectangle(ends, 5 * self._scale, colors.fill, colors.line, width)

    def text(self, text: Text) -> None:
        color = LIGHT_PAPER.text if text.style is None else LIGHT[text.style].text
        place, font, anchor = self._scaled(text.place), self._font(text.size), ANCHORS[text.anchor]
        if text.on_arrow:
            left, top, right, bottom = self._draw.textbbox(place, text.text, font, anchor)
            room = 2 * self._scale
            self._draw.rectangle((left - room, top - room, right + room, bottom + room), LIGHT_PAPER.background)
        # The font that Pillow brings has no bold letters.
        stroke = max(1, round(0.25 * self._scale)) if text.bold else 0
        self._draw.text(place, text.text, color, font, anchor, stroke_width=stroke, stroke_fill=color)

    def _font(self, size: float) -> Any:
        from PIL import ImageFont

        if size not in self._fonts:
            self._fonts[size] = ImageFont.load_default(round(size * self._scale))
        return self._fonts[size]

    def _scaled(self, point: Point) -> Point:
        return Point(point.x * self._scale, point.y * self._scale)


def _flattened(points: Sequence[Point]) -> list[Point]:
    """The points of an arrow, with those of its bends between them."""
    flat = [points[0]]
    for point in points[1:]:
        last = flat[-1]
        if point.x != last.x:
            middle = (last.y + point.y) / 2
            for step in range(1, CURVE_STEPS):
                part = step / CURVE_STEPS
                rest = 1 - part
                # A cubic Bézier curve, whose control points are straight below the one end and above the other.
                bent = rest**3 + 3 * rest**2 * part
                down = rest**3 * last.y + 3 * rest * part * middle + part**3 * point.y
                flat.append(Point(bent * last.x + (1 - bent) * point.x, down))
        flat.append(point)
    return flat


def _dashes(points: Sequence[Point], length: float) -> list[list[Point]]:
    """The line in pieces of this length, every other one left out."""
    pieces: list[list[Point]] = [[points[0]]]
    room = length
    for start, end in itertools.pairwise(points):
        distance = math.dist(start, end)
        gone = 0.0
        while distance - gone > room:
            gone += room
            part = gone / distance
            turn = Point(start.x + part * (end.x - start.x), start.y + part * (end.y - start.y))
            pieces[-1].append(turn)
            pieces.append([turn])
            room = length
        room -= distance - gone
        pieces[-1].append(end)
    return pieces[::2]
