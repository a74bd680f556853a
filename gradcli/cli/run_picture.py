"""A run of training as a terminal shows it: how far it is, its curves, and the gradients of its layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcli.cli.bars import row_of_bars
from gradcli.cli.plain_values import without_control_characters

if TYPE_CHECKING:
    from rich.console import Group

    from gradcli.inspection.training_runs.history import RunHistory, RunStatus

CURVE_WIDTH = 32
_FEWEST_BARS = 4
_LEVELS = 800
_CURVES = (
    ("train_loss", "train loss", ".4f"),
    ("val_loss", "val loss", ".4f"),
    ("train_accuracy", "train accuracy", ".4f"),
    ("val_accuracy", "val accuracy", ".4f"),
)
_LINES_OF_THE_REST = 16


def run_picture(history: RunHistory, status: RunStatus, width: int, height: int | None) -> Group:
    """The picture of a run for Rich, `width` characters wide: numbers stay whole, the bars get the room that is left.

    In `height` lines, if given, with the layers of the largest gradients only.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(without_control_characters(_heading(history, status)))]
    if history.epochs:
        parts += [Text(), _curves(history, width)]
    if history.gradients:
        parts += [Text(), Text(_step(history)), _layers(history, width, height)]
    if not history.epochs and not history.gradients:
        parts.append(Text("no records yet: the first comes at the end of the first epoch"))
    elif not history.gradients and history.config.get("log-grads") is None:
        parts.append(Text("no gradients: begin a run with --log-grads epoch, or a number of steps"))
    return Group(*parts)


def _heading(history: RunHistory, status: RunStatus) -> str:
    total = history.config.get("epochs")
    done = len(history.epochs)
    return f"{history.path}  {status}  epoch {done}{f' of {total}' if total else ''} done"


def _step(history: RunHistory) -> str:
    last = history.gradients[-1]
    return (
        f"gradients of step {last['step']} in epoch {last['epoch']}: norm {float(last['grad_norm']):.4g}, "
        f"update ratio {_number(last['update_ratio'], '.2g')}, learning rate {float(last['lr']):.3g}"
    )


def _curves(history: RunHistory, width: int) -> Any:
    rows = []
    for field, name, form in _CURVES:
        values = [float(record[field]) for record in history.epochs]
        finite = [value for value in values if math.isfinite(value)] or [math.nan]
        rows.append((name, [f"{value:{form}}" for value in (values[-1], min(finite), max(finite))], values))
    return _table(("", "last", "smallest", "largest", "by epoch"), rows, width)


def _layers(history: RunHistory, width: int, height: int | None) -> Any:
    """The last norm and update ratio of each layer that fits, and its norms on a logarithmic scale."""
    norms, ratios = history.layer_series("grad_norm"), history.layer_series("update_ratio")
    names = list(norms)
    shown = set(names)
    if height is not None:
        largest = sorted(names, key=lambda name: -_size(norms[name][-1]))
        shown = set(largest[: max(3, height - _LINES_OF_THE_REST)])
    rows = []
    for name in names:
        if name in shown:
            series = [math.nan if value is None else value for value in norms[name]]
            logarithms = [math.log10(value) if value > 0 else math.nan for value in series]
            numbers = [_number(norms[name][-1], ".3g"), _number(ratios[name][-1], ".2g")]
            rows.append((without_control_characters(name), numbers, logarithms))
    if len(shown) < len(names):
        rows.append((f"{len(names) - len(shown)} more", ["", ""], []))
    return _table(("layer", "norm", "update ratio", "norm by step, logarithmic"), rows, width)


def row_of_values(values: Sequence[float], width: int = CURVE_WIDTH) -> str:
    """The last `width` values as bars between the smallest and the largest of them; `!` for one that is not finite."""
    values = values[-width:]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "!" * len(values)
    low, span = min(finite), max(finite) - min(finite)
    levels = [
        1 + round((_LEVELS - 1) * ((value - low) / span if span else 1.0)) if math.isfinite(value) else 0
        for value in values
    ]
    bars = row_of_bars([*levels, _LEVELS])[:-1]
    return "".join(bar if level else "!" for bar, level in zip(bars, levels, strict=True))


def _table(headings: Sequence[str], rows: Sequence[tuple[str, Sequence[str], Sequence[float]]], width: int) -> Any:
    """A name, numbers and, if there is room, bars in each row; names are cut short where numbers alone are too wide."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    name_heading, *number_headings, bars_heading = headings
    columns = [[heading, *(numbers[place] for _, numbers, _ in rows)] for place, heading in enumerate(number_headings)]
    names = [name_heading, *(name for name, _, _ in rows)]
    taken = 1 + sum(max(map(len, column)) + 1 for column in (names, *columns))
    room = min(CURVE_WIDTH, width - taken - 1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(name_heading)  # the only one that may become narrower
    for heading in number_headings:
        table.add_column(heading, justify="right", no_wrap=True)
    if room >= _FEWEST_BARS:
        table.add_column(bars_heading, max_width=room)
    for name, numbers, values in rows:
        bars = [row_of_values(values, room)] if room >= _FEWEST_BARS else []
        table.add_row(Text(name, no_wrap=True, overflow="ellipsis"), *numbers, *bars)
    return table


def _size(value: float | None) -> float:
    """For ordering: what is not finite is largest."""
    if value is None:
        return -1.0
    return value if math.isfinite(value) else math.inf


def _number(value: Any, form: str) -> str:
    return "" if value is None else f"{float(value):{form}}"
