"""A run of training as a terminal shows it: how far it is, its curves, and the gradients of its layers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gradcli.cli.bars import row_of_bars
from gradcli.cli.plain_values import without_control_characters
from gradcli.inspection.training_runs.history import as_number
from gradcli.inspection.training_runs.layers import (
    LARGE_UPDATE_RATIO,
    first_large_update,
    is_large,
    largest_update,
    layer_records,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from gradcli.cli.ranking_options import RankingOptions
    from gradcli.inspection.training_runs.history import RunHistory, RunStatus

CURVE_WIDTH = 32
_FEWEST_BARS = 4
_LEVELS = 800
_CURVES = (
    ("train_loss", "train loss", ".4g"),
    ("val_loss", "val loss", ".4g"),
    ("train_accuracy", "train accuracy", ".4f"),
    ("val_accuracy", "val accuracy", ".4f"),
)
_LINES_AROUND_ROWS = 4
"""Of a table: empty ones, its headings and the line below them."""

_ALERT = "bold red"


class _Row(NamedTuple):
    """Of a table: a name, numbers, and its bars in so many characters."""

    name: str
    numbers: Sequence[str | Text]
    bars: Callable[[int], str]


def run_picture(
    history: RunHistory, status: RunStatus, width: int, height: int | None, ranking: RankingOptions | None = None
) -> Group:
    """The picture of a run for Rich, `width` characters wide: numbers stay whole, the bars get the room that is left.

    Layers are in the order of `ranking`, else in the model's. In `height` lines, if given, there are the first of them,
    and without an order those of the largest gradients.
    """
    from rich.console import Group
    from rich.text import Text

    texts = [Text(without_control_characters(_heading(history, status)))]
    if status.error is not None:
        texts.append(Text(without_control_characters(str(status)), style=_ALERT))
    parts: list[Any] = [*texts]
    curves = _curves(history)
    if curves:
        parts.append(_table(("", "last", "smallest", "largest", "by epoch or step"), curves, width))
    if history.gradients:
        above = sum(len(textwrap.wrap(part.plain, width)) for part in texts)
        above += len(curves) + _LINES_AROUND_ROWS if curves else 0
        parts += _gradients(history, width, None if height is None else height - above, ranking)
    if not history.epochs and not history.gradients:
        parts.append(Text("no records yet: the first comes at the end of the first epoch"))
    elif not history.gradients and history.config.get("log-grads") is None:
        parts.append(Text("no gradients: begin a run with --log-grads epoch, or a number of steps"))
    return Group(*parts)


def _heading(history: RunHistory, status: RunStatus) -> str:
    total = history.config.get("epochs")
    done = len(history.epochs)
    return f"{history.path}  {replace(status, error=None)}  epoch {done}{f' of {total}' if total else ''} done"


def _curves(history: RunHistory) -> list[_Row]:
    """The last, smallest and largest loss and accuracy of epochs, and loss of steps whose gradients are logged."""
    curves = [
        (name, form, [float(record[field]) for record in history.epochs])
        for field, name, form in _CURVES
        if history.epochs
    ]
    losses = [float(record["loss"]) for record in history.gradients if record.get("loss") is not None]
    if losses:
        curves.append(("loss by step", ".4g", losses))
    rows = []
    for name, form, values in curves:
        finite = [value for value in values if math.isfinite(value)] or [math.nan]
        numbers = [f"{value:{form}}" for value in (values[-1], min(finite), max(finite))]
        rows.append(_Row(name, numbers, partial(row_of_values, values)))
    return rows


def _gradients(history: RunHistory, width: int, height: int | None, ranking: RankingOptions | None) -> list[Any]:
    """The last logged step: its loss, how far it moved the weights, and its layers in lines of this number."""
    from rich.text import Text

    last = history.gradients[-1]
    loss = "" if last.get("loss") is None else f"loss {float(last['loss']):.4g}, "
    parts: list[Any] = [
        Text(f"step {last['step']} in epoch {last['epoch']}: {loss}learning rate {float(last['lr']):.3g}")
    ]
    update = _update_in_words(history)
    parts += [] if update is None else [update]
    layers = layer_records(last)
    chosen = layers if ranking is None else ranking.ranked(layers)
    shown = chosen
    if height is not None:
        room = max(3, height - len(parts) - _LINES_AROUND_ROWS - 2)
        if ranking is None or ranking.sort is None:
            largest = sorted(chosen, key=lambda layer: -_size(layer["grad_norm"]))[:room]
            shown = [layer for layer in chosen if layer in largest]
        else:
            shown = chosen[:room]
    parts.append(_layers(history, shown, width))
    if len(shown) < len(chosen):
        parts.append(Text(f"{len(chosen) - len(shown)} more: --once shows all"))
    return parts


def _update_in_words(history: RunHistory) -> Text | None:
    """Where weights first moved too far, marked; else where they moved the furthest; None where none has a ratio."""
    from rich.text import Text

    first, largest = first_large_update(history.gradients), largest_update(history.gradients)
    if first is not None:
        name, step, ratio = first
        text = f"! update ratio above {LARGE_UPDATE_RATIO:g}, first at step {step}: {name} ({ratio:.3g})"
    elif largest is not None:
        name, step, ratio = largest
        text = f"largest update ratio {ratio:.2g}: {name} at step {step}"
    else:
        return None
    return Text(without_control_characters(text), style=_ALERT if first is not None else "")


def _layers(history: RunHistory, layers: Sequence[Mapping[str, Any]], width: int) -> Any:
    """The last norm and update ratio of all layers together and of these, and norms by step on one scale for all."""
    last = history.gradients[-1]
    total = {"name": "", "grad_norm": as_number(last["grad_norm"]), "update_ratio": as_number(last["update_ratio"])}
    norms = {
        "": [as_number(record["grad_norm"]) for record in history.gradients],
        **history.layer_series("grad_norm"),
    }
    shown = [norm for of_steps in norms.values() for norm in of_steps[-CURVE_WIDTH:]]
    logarithms = [math.log10(norm) for norm in shown if norm and math.isfinite(norm)]
    bounds = (min(logarithms), max(logarithms)) if logarithms else None
    is_marked = any(is_large(each["update_ratio"]) for each in (total, *layers))
    rows = [
        _Row(
            without_control_characters(each["name"]) or "all layers",
            [_number(each["grad_norm"], ".3g"), _ratio(each["update_ratio"], is_marked)],
            partial(_row_of_norms, norms[each["name"]], bounds),
        )
        for each in (total, *layers)
    ]
    return _table(("layer", "norm", "update ratio", "norm by step, one log scale"), rows, width)


def _ratio(value: float | None, is_marked: bool) -> Text:
    """An update ratio; a large one has a mark behind it, for which the others of its column leave room."""
    from rich.text import Text

    text = _number(value, ".2g")
    if is_large(value):
        return Text(f"{text} !", style=_ALERT)
    return Text(f"{text}  " if is_marked else text)


def _row_of_norms(norms: Sequence[float | None], bounds: tuple[float, float] | None, width: int) -> str:
    """The logarithms of norms as bars; 0 for a norm that is zero, a space where a record has none."""
    norms = norms[-width:]
    logarithms = [math.log10(norm) if norm and norm > 0 else math.nan for norm in norms]
    bars = row_of_values(logarithms, width, bounds)
    return "".join(" " if norm is None else "0" if norm == 0 else bar for norm, bar in zip(norms, bars, strict=True))


def row_of_values(values: Sequence[float], width: int = CURVE_WIDTH, bounds: tuple[float, float] | None = None) -> str:
    """The last `width` values as bars; `!` for one that is not finite.

    The lowest bar is the smallest of them and a full one the largest, or these are the two `bounds`.
    """
    values = values[-width:]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "!" * len(values)
    low, high = bounds or (min(finite), max(finite))
    span = high - low
    levels = [
        1 + round((_LEVELS - 1) * ((value - low) / span if span else 1.0)) if math.isfinite(value) else 0
        for value in values
    ]
    bars = row_of_bars([*levels, _LEVELS])[:-1]
    return "".join(bar if level else "!" for bar, level in zip(bars, levels, strict=True))


def _table(headings: Sequence[str], rows: Sequence[_Row], width: int) -> Any:
    """A name, numbers and, if there is room, bars in each row; names are cut short where numbers alone are too wide."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    name_heading, *number_headings, bars_heading = headings
    columns: list[list[str | Text]] = [
        [heading, *(row.numbers[place] for row in rows)] for place, heading in enumerate(number_headings)
    ]
    names: list[str | Text] = [name_heading, *(row.name for row in rows)]
    taken = 1 + sum(max(map(len, column)) + 1 for column in (names, *columns))
    room = min(CURVE_WIDTH, width - taken - 1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(name_heading)  # the only one that may become narrower
    for heading in number_headings:
        table.add_column(heading, justify="right", no_wrap=True)
    if room >= _FEWEST_BARS:
        table.add_column(bars_heading, max_width=room)
    for row in rows:
        bars = [row.bars(room)] if room >= _FEWEST_BARS else []
        table.add_row(Text(row.name, no_wrap=True, overflow="ellipsis"), *row.numbers, *bars)
    return table


def _size(value: float | None) -> float:
    """For ordering: what is not finite is largest."""
    if value is None:
        return -1.0
    return value if math.isfinite(value) else math.inf


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"
