"""What an image shows, drawn for a reader at a terminal: a bar of its probability for each class, best first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradcli.cli.plain_values import without_control_characters

if TYPE_CHECKING:
    from gradcli.inspection.prediction import ClassScore, ImagePrediction

BAR_CELLS = 20


def prediction_bars(prediction: ImagePrediction) -> RenderableType:
    """The image's path, below it a row for each class, or why it can't be read; then an empty line.

    Percentages and bars stand before the names: terminals differ in how wide they show some emoji, and what comes
    last moves nothing.
    """
    heading = Text(without_control_characters(prediction.path), style="bold")
    if prediction.error is not None:
        answer: RenderableType = Text(without_control_characters(prediction.error), style="red")
    else:
        answer = _rows(prediction.classes)
    return Group(heading, Padding(answer, (0, 0, 1, 2), expand=False))


def _rows(classes: tuple[ClassScore, ...]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, width=BAR_CELLS)
    table.add_column(overflow="fold")
    for entry in classes:
        name = f"class {entry.index}" if entry.name is None else without_control_characters(entry.name)
        bar = Bar(1.0, 0.0, entry.probability, width=BAR_CELLS, color="cyan")
        table.add_row(f"{100 * entry.probability:.1f} %", bar, Text(name, style="bold" if entry.rank == 1 else ""))
    return table
