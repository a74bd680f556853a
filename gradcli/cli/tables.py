"""Records as rows: a Rich table on a terminal, tab-separated or comma-separated text elsewhere."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from gradcli.cli.plain_values import field_text, plain, without_control_characters

if TYPE_CHECKING:
    from rich.console import Console

COLUMN_GAP = 2


@dataclass(frozen=True)
class Column:
    """A column of a table: the record's field, and how a terminal shows it.

    `heading` replaces the field's name on a terminal, `format` is a format specification for its numbers there, for
    example `.4g`, or what stands between the numbers of a list; a terminal too narrow for all goes without the
    `optional` ones, the highest number first. Text elsewhere has the field's name, full precision and every column.
    Records can be put in the order of the `ordered` ones, which those of lists aren't.
    """

    field: str
    heading: str | None = None
    format: str = ""
    optional: int = 0
    ordered: bool = True


Caption = str | Callable[[Sequence[Column]], str]
"""What stands below a table; a function makes it of the columns that the terminal had no room for."""


def name_hidden_columns(hidden: Sequence[Column]) -> str:
    """A caption that names the columns that the terminal has no room for; empty without."""
    names = ", ".join(column.heading or column.field for column in hidden)
    return f"no room for {names}: a wider terminal or --json shows them" if names else ""


def header_line(columns: Sequence[Column]) -> str:
    """The tab-separated names of the fields, with the line's end."""
    return "\t".join(column.field for column in columns) + "\n"


def row_line(record: Mapping[str, Any], columns: Sequence[Column]) -> str:
    r"""The tab-separated fields of a record; tabs and other control characters inside fields become `\t`, `\x1b`."""
    texts = (field_text(record.get(column.field)) for column in columns)
    return "\t".join(map(without_control_characters, texts)) + "\n"


def write_csv_row(file: TextIO, values: Sequence[Any]) -> None:
    """Append one row in CSV, fields as `field_text` writes them."""
    csv.writer(file, lineterminator="\n").writerow([field_text(value) for value in values])


def terminal_console(file: TextIO) -> Console:
    """Rich's console for a terminal."""
    from rich.console import Console

    # With NO_COLOR Rich would still write bold and underline; nothing at all is safer to log.
    return Console(file=file, color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)


def draw_table(
    records: Sequence[Mapping[str, Any]], columns: Sequence[Column], file: TextIO, caption: Caption | None = None
) -> None:
    """Draw a table for a reader at a terminal; long names fold instead of being cut."""
    # Imported here because only a table on a terminal needs it.
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = terminal_console(file)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, COLUMN_GAP - 1, 0, 0))
    texts_of = {
        column: [_cell_text(record.get(column.field), column.format) for record in records] for column in columns
    }
    shown = {column: texts for column, texts in texts_of.items() if any(texts)}  # an empty column tells nothing
    fitting = _fitting_columns(shown, console.width)
    for column in fitting:
        numeric = any(_is_number(record.get(column.field)) for record in records)
        table.add_column(Text(column.heading or column.field), justify="right" if numeric else "left", overflow="fold")
    for texts in zip(*(shown[column] for column in fitting), strict=True):
        table.add_row(*(Text(text) for text in texts))
    console.print(table)
    if callable(caption):
        caption = caption([column for column in shown if column not in fitting])
    if caption:
        console.print(Text(without_control_characters(caption, keep_lines=True)))


def _fitting_columns(shown: Mapping[Column, Sequence[str]], width: int) -> list[Column]:
    """The columns that a terminal of `width` has room for: without optional ones until all fit."""
    columns = list(shown)

    def room(column: Column) -> int:
        return max(len(text) for text in [column.heading or column.field, *shown[column]]) + COLUMN_GAP

    for column in sorted((column for column in columns if column.optional), key=lambda column: -column.optional):
        if sum(map(room, columns)) <= width:
            break
        columns.remove(column)
    return columns


def _is_number(value: Any) -> bool:
    value = plain(value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell_text(value: Any, format: str) -> str:
    value = plain(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if format and isinstance(value, list):
        return format.join(map(str, value))
    return (
        f"{value:{format}}"
        if format and isinstance(value, int | float)
        else without_control_characters(field_text(value))
    )
