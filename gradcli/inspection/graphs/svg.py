"""A drawing as an SVG file: text of the reader's own sans-serif font, colours that follow a dark display."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from gradcli.inspection.graphs.drawing import Box, Drawing, Line, Text
from gradcli.inspection.graphs.labels import Style
from gradcli.inspection.graphs.layout.places import Point
from gradcli.inspection.graphs.palette import DARK, DARK_PAPER, LIGHT, LIGHT_PAPER, Colors, Paper

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
BASELINE = 0.35
"""How far below the middle of a line its letters stand, in sizes of the text."""


def svg_text(drawing: Drawing) -> str:
    """The drawing as an SVG document, whose units are CSS pixels. It may stand in an HTML page as it is."""
    width, height = map(_number, drawing.size)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="gradcli-graph" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="{FONTS}">',
            f"<style>\n{_rules(LIGHT, LIGHT_PAPER)}"
            f"@media (prefers-color-scheme: dark) {{\n{_rules(DARK, DARK_PAPER)}}}\n</style>",
            '<defs><marker id="gradcli-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0.8L8 4L0 7.2z"/></marker></defs>',
            '<rect class="paper" width="100%" height="100%"/>',
            *map(_line, drawing.lines),
            *map(_box, drawing.boxes),
            *map(_text, drawing.texts),
            "</svg>\n",
        ]
    )


def _rules(colors: Mapping[Style, Colors], paper: Paper) -> str:
    """The style sheet; it begins every rule with the drawing's own class, for there may be other drawings around."""
    rules = {
        ".paper": f"fill: {paper.background}",
        ".line": f"fill: none; stroke: {paper.arrow}; stroke-width: 1.3",
        ".dashed": "stroke-dasharray: 4 4",
        ".head": f"fill: {paper.arrow}",
        "text": f"fill: {paper.text}",
        # The arrow stops around its text.
        ".label": f"paint-order: stroke; stroke: {paper.background}; stroke-width: 5",
    }
    for style, (fill, line, text) in colors.items():
        rules[f"rect.{style}"] = f"fill: {fill}; stroke: {line}"
        rules[f"text.{style}"] = f"fill: {text}"
    rules["rect.skipped"] += "; stroke-dasharray: 4 3"
    return "".join(f".gradcli-graph {selector} {{ {rule} }}\n" for selector, rule in rules.items())


def _line(line: Line) -> str:
    first, *rest = (Point(round(x, 2), round(y, 2)) for x, y in line.points)
    path = [f"M{_number(first.x)} {_number(first.y)}"]
    last = first
    for point in rest:
        if point == last:
            continue  # a path's last piece gives the head its direction
        x, y = _number(point.x), _number(point.y)
        if point.x == last.x:
            path.append(f"V{y}")
        else:
            middle = _number((last.y + point.y) / 2)
            path.append(f"C{_number(last.x)} {middle} {x} {middle} {x} {y}")
        last = point
    kind = "line dashed" if line.dashed else "line"
    return f'<path class="{kind}" marker-end="url(#gradcli-arrow)" d="{"".join(path)}"/>'


def _box(box: Box) -> str:
    (x, y), (width, height) = box.corner, box.size
    return (
        f'<rect class="{box.style}" x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" '
        f'height="{_number(height)}" rx="5"/>'
    )


def _text(text: Text) -> str:
    kind = text.style or ("label" if text.on_arrow else "")
    attributes = [
        f'x="{_number(text.place.x)}" y="{_number(text.place.y + BASELINE * text.size)}"',
        f'font-size="{_number(text.size)}" text-anchor="{text.anchor}"',
    ]
    if kind:
        attributes.insert(0, f'class="{kind}"')
    if text.bold:
        attributes.append('font-weight="600"')
    return f"<text {' '.join(attributes)}>{escape(text.text)}</text>"


def _number(value: float) -> str:
    """A coordinate to a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
