"""Line charts with logarithmic axes as SVG text: panels in a grid, one legend for all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

PLOT_WIDTH, PLOT_HEIGHT = 380, 240
LEFT, TOP, RIGHT, BOTTOM = 70, 40, 20, 50  # around each plot, for its title and labels
LEGEND_LINE = 20
COLOURS = (
    *("#1b6ca8", "#c8611b", "#3a8a3f", "#8a4fa3", "#7a7a7a", "#a8871b"),
    *("#1aa3a3", "#b0417f", "#5b6b2c"),
)
CLIFF_COLOUR = "#d00000"
LEAST_TICK_DISTANCE = 26  # in pixels, so that labels don't touch


@dataclass(frozen=True)
class Line:
    """A named curve. `marked` maps a point's index to the short text that stands at its ring."""

    name: str
    points: Sequence[tuple[float, float]]
    marked: dict[int, str]


@dataclass(frozen=True)
class Panel:
    """One plot. Lines of one name have one colour in all panels."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class _Axis:
    """Where the values from `low` to `high` lie: from pixel `start` on, over `length` pixels (negative: upwards)."""

    low: float
    high: float
    start: float
    length: float

    def position(self, value: float) -> float:
        return self.start + self.length * math.log(value / self.low) / math.log(self.high / self.low)


def line_chart(title: str, panels: Sequence[Panel], columns: int = 2) -> str:
    """The SVG document."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    cell_width, cell_height = LEFT + PLOT_WIDTH + RIGHT, TOP + PLOT_HEIGHT + BOTTOM
    head = 40 + LEGEND_LINE * len(names)
    width, height = columns * cell_width, head + -(-len(panels) // columns) * cell_height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(20, 26, title, "start", 'font-size="16"'),
    ]
    for row, name in enumerate(names):
        y = 44 + LEGEND_LINE * row
        parts.append(f'<path d="M24 {y}h26" stroke="{colours[name]}" stroke-width="2"/>')
        parts.append(_text(58, y + 4, name, "start"))
    for index, panel in enumerate(panels):
        parts.append(
            f'<g transform="translate({index % columns * cell_width},{head + index // columns * cell_height})">'
        )
        parts += _panel(panel, colours)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, colours: dict[str, str]) -> Iterator[str]:
    xs = sorted({x for line in panel.lines for x, _ in line.points})
    ys = [y for line in panel.lines for _, y in line.points]
    x_axis = _Axis(xs[0] / 1.1, xs[-1] * 1.1, LEFT, PLOT_WIDTH)
    y_axis = _Axis(min(ys) / 1.25, max(ys) * 1.25, TOP + PLOT_HEIGHT, -PLOT_HEIGHT)
    yield _text(LEFT + PLOT_WIDTH / 2, 24, panel.title, "middle", 'font-size="14"')
    yield _text(LEFT + PLOT_WIDTH / 2, TOP + PLOT_HEIGHT + 38, panel.x_label, "middle")
    yield _text(0, 0, panel.y_label, "middle", f'transform="translate(16,{TOP + PLOT_HEIGHT / 2}) rotate(-90)"')
    for tick in _spaced(xs, x_axis):
        x = x_axis.position(tick)
        yield f'<path d="M{x:.1f} {TOP}v{PLOT_HEIGHT}" stroke="#e4e4e4"/>'
        yield _text(x, TOP + PLOT_HEIGHT + 18, f"{tick:g}", "middle")
    for tick in _spaced(_round_numbers(y_axis.low, y_axis.high), y_axis):
        y = y_axis.position(tick)
        yield f'<path d="M{LEFT} {y:.1f}h{PLOT_WIDTH}" stroke="#e4e4e4"/>'
        yield _text(LEFT - 8, y + 4, f"{tick:g}", "end")
    yield f'<rect x="{LEFT}" y="{TOP}" width="{PLOT_WIDTH}" height="{PLOT_HEIGHT}" fill="none" stroke="#888"/>'
    for line in panel.lines:
        yield from _line(line, colours[line.name], x_axis, y_axis)


def _line(line: Line, colour: str, x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    places = [(x_axis.position(x), y_axis.position(y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for index, (x, y) in enumerate(places):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
        if index in line.marked:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none" stroke="{CLIFF_COLOUR}" stroke-width="2"/>'
            yield _text(x, y - 12, line.marked[index], "middle", f'fill="{CLIFF_COLOUR}"')


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [number for e in exponents for digit in (1, 2, 5) if low <= (number := digit * 10.0**e) <= high]


def _spaced(ticks: Sequence[float], axis: _Axis) -> list[float]:
    """As many of the ticks, from the first on, as leave room for their labels."""
    chosen: list[float] = []
    for tick in ticks:
        if not chosen or abs(axis.position(tick) - axis.position(chosen[-1])) >= LEAST_TICK_DISTANCE:
            chosen.append(tick)
    return chosen


def _text(x: float, y: float, text: str, anchor: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {attributes}>{escape(text)}</text>'
