"""Charts as SVG: bars by name, lines over steps, histograms; each with a title and a description for screen readers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gradcli.inspection.report.axes import Axis, linear_axis, log_axis
from gradcli.inspection.report.markup import Markup, element

WIDTH = 720.0
_LABELS = 170.0
_ROW = 18.0
_LINE_HEIGHT = 260.0
_LINE_MARGIN = 64.0
_SMALL_WIDTH, _SMALL_HEIGHT = 232.0, 150.0


def bar_chart(identity: str, title: str, axis_title: str, values: Mapping[str, float | None]) -> Markup:
    """Horizontal bars by name on a logarithmic axis; what is zero, not finite or not there is written instead."""
    height = _ROW * len(values) + 46
    axis = log_axis((value for value in values.values() if value is not None), _LABELS, WIDTH - 56)
    parts = [_vertical_grid(axis, 8.0, height - 38)]
    for row, (name, value) in enumerate(values.items()):
        top = 8 + _ROW * row
        parts.append(element("text", name, x=_LABELS - 8, y=top + 13, text_anchor="end"))
        if value is not None and math.isfinite(value) and value > 0:
            end = axis.place(value)
            bar = element("title", f"{name}: {value!r}")
            width = max(end - _LABELS, 1.0)
            parts.append(element("rect", bar, class_="bar", x=_LABELS, y=top + 3, width=width, height=_ROW - 6))
            parts.append(element("text", f"{value:.3g}", class_="value", x=_LABELS + width + 5, y=top + 13))
        else:
            text = "none" if value is None else f"{value:.3g}"
            parts.append(element("text", text, class_="value", x=_LABELS + 5, y=top + 13))
    parts.append(
        element("text", f"{axis_title}, logarithmic", class_="axis", x=(axis.start + axis.end) / 2, y=height - 4)
    )
    described = f"Horizontal bars, one for each of {len(values)} names. {_extremes(values)}"
    return _svg(identity, title, described, WIDTH, height, parts)


def line_chart(
    identity: str,
    title: str,
    x_title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    log: bool = False,
) -> Markup:
    """Lines over common places `x`, told apart by colour, dashes and marks; a gap where a number is not finite."""
    everything = [value for values in series.values() for value in values if value is not None]
    bottom, top = _LINE_HEIGHT - 44, 34.0
    y_axis = log_axis(everything, bottom, top) if log else linear_axis(everything, bottom, top)
    x_axis = linear_axis(x, _LINE_MARGIN, WIDTH - 24)
    parts = [_horizontal_grid(y_axis, x_axis.start, x_axis.end)]
    for tick in x_axis.ticks:
        if tick == int(tick):
            place = x_axis.place(tick)
            parts.append(
                element("text", x_axis.text(tick), class_="tick", x=place, y=bottom + 16, text_anchor="middle")
            )
    for number, (name, values) in enumerate(series.items()):
        kind = f"series{number % 4}"
        left = x_axis.start + 150 * number
        parts.append(element("path", class_=f"line {kind}", d=f"M{left} 14h26"))
        parts.append(_mark(kind, number, left + 13, 14.0, name))
        parts.append(element("text", name, x=left + 33, y=18))
        path, pen_is_down = [], False
        marks = []
        for place, value in zip(x, values, strict=True):
            if value is None or not math.isfinite(value) or (log and value <= 0):
                pen_is_down = False
                continue
            left, height = x_axis.place(place), y_axis.place(value)
            path.append(f"{'L' if pen_is_down else 'M'}{left:.2f} {height:.2f}")
            pen_is_down = True
            marks.append(_mark(kind, number, left, height, f"{name} at {place:g}: {value!r}"))
        if path:
            parts.append(element("path", class_=f"line {kind}", d="".join(path)))
        if len(x) <= 60:
            parts += marks
    scale = ", vertical axis logarithmic" if log else ""
    parts.append(element("text", x_title + scale, class_="axis", x=(x_axis.start + x_axis.end) / 2, y=_LINE_HEIGHT - 6))
    ends = "; ".join(
        f"{name} from {_short(values[0])} to {_short(values[-1])}" for name, values in series.items() if values
    )
    return _svg(identity, title, f"Lines over {x_title}: {ends}.", WIDTH, _LINE_HEIGHT, parts)


def histogram_chart(identity: str, title: str, edges: Sequence[float], counts: Sequence[int]) -> Markup:
    """A small chart of counts by magnitude, whose edges are at equal ratios; empty without counts."""
    bottom, top = _SMALL_HEIGHT - 40, 26.0
    y_axis = linear_axis([0, *counts], bottom, top, from_zero=True)
    parts = [element("text", title, class_="small-title", x=4, y=14)]
    if counts:
        x_axis = log_axis(edges, 44.0, _SMALL_WIDTH - 18)
        parts.append(_horizontal_grid(y_axis, x_axis.start, x_axis.end, most=3))
        for tick in x_axis.ticks[:: max(1, len(x_axis.ticks) - 1)]:
            place = x_axis.place(tick)
            parts.append(
                element("text", x_axis.text(tick), class_="tick", x=place, y=bottom + 15, text_anchor="middle")
            )
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            if count:
                left, height = x_axis.place(low), y_axis.place(count)
                width = max(x_axis.place(high) - left - 0.5, 0.8)
                hint = element("title", f"{low!r} to {high!r}: {count}")
                parts.append(
                    element("rect", hint, class_="bar", x=left, y=height, width=width, height=max(bottom - height, 0.8))
                )
        parts.append(element("text", "magnitude", class_="axis", x=(x_axis.start + x_axis.end) / 2, y=bottom + 32))
        most = max(range(len(counts)), key=lambda place: counts[place])
        described = (
            f"{sum(counts)} numbers between {edges[0]:.3g} and {edges[-1]:.3g}, most of them from "
            f"{edges[most]:.3g} to {edges[most + 1]:.3g}."
        )
    else:
        described = "No number that is finite and not zero."
        parts.append(element("text", described, x=4, y=40))
    return _svg(identity, title, described, _SMALL_WIDTH, _SMALL_HEIGHT, parts, small=True)


def _svg(
    identity: str,
    title: str,
    description: str,
    width: float,
    height: float,
    parts: Sequence[str],
    *,
    small: bool = False,
) -> Markup:
    return element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        element("desc", description, id=f"{identity}-desc"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        class_="chart small" if small else "chart",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-desc",
    )


def _vertical_grid(axis: Axis, top: float, bottom: float) -> Markup:
    parts = []
    for tick in axis.ticks:
        place = axis.place(tick)
        parts.append(element("path", class_="grid", d=f"M{place:.2f} {top}V{bottom}"))
        parts.append(element("text", axis.text(tick), class_="tick", x=place, y=bottom + 15, text_anchor="middle"))
    return element("g", *parts)


def _horizontal_grid(axis: Axis, left: float, right: float, most: int = 99) -> Markup:
    parts = []
    for tick in axis.ticks[:: math.ceil(len(axis.ticks) / most)]:
        place = axis.place(tick)
        parts.append(element("path", class_="grid", d=f"M{left} {place:.2f}H{right}"))
        parts.append(element("text", axis.text(tick), class_="tick", x=left - 6, y=place + 4, text_anchor="end"))
    return element("g", *parts)


def _mark(kind: str, number: int, x: float, y: float, text: str) -> Markup:
    """A disc, square, diamond or triangle."""
    hint = element("title", text)
    if number % 4 == 0:
        return element("circle", hint, class_=f"mark {kind}", cx=x, cy=y, r=3)
    path = ("M-3-3h6v6h-6z", "M0-4.2L4.2 0 0 4.2-4.2 0z", "M0-3.8L3.8 3H-3.8z")[number % 4 - 1]
    return element("path", hint, class_=f"mark {kind}", d=path, transform=f"translate({x:.2f} {y:.2f})")


def _extremes(values: Mapping[str, float | None]) -> str:
    finite = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    if not finite:
        return "None is a finite number."
    largest, smallest = max(finite, key=lambda name: finite[name]), min(finite, key=lambda name: finite[name])
    return f"Largest: {largest} with {finite[largest]:.3g}; smallest: {smallest} with {finite[smallest]:.3g}."


def _short(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"
