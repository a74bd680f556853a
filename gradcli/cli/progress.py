"""Progress on standard error: a bar on a terminal, a line now and then elsewhere, nothing with -q."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[..., None]
"""`advance(count=1, status="")`: so many steps are done; the status, such as a loss, stands beside."""


@contextlib.contextmanager
def progress(
    description: str,
    total: int,
    *,
    done: int = 0,
    unit: str | None = None,
    seconds_between_lines: float = SECONDS_BETWEEN_LINES,
) -> Iterator[Advance]:
    """Show how many of `total` steps are done, `done` of them before; yields the function to call after each of them.

    With a `unit`, what the steps are, a bar says how many of them a second brings.
    """
    if not logger.isEnabledFor(logging.INFO):
        yield lambda count=1, status="": None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar(description, total, done, unit) as advance:
            yield advance
    else:
        yield _lines(description, total, done, unit, seconds_between_lines)


@contextlib.contextmanager
def _bar(description: str, total: int, done: int, unit: str | None) -> Iterator[Advance]:
    # Imported here because only a terminal needs it.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column, Table
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text("" if unit is None or not task.speed else f"{task.speed:,.0f} {unit}/s")

    bars, count, rate, remaining = BarColumn(bar_width=20), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn()
    console = Console(file=sys.stderr)
    unlimited = console.options.update(max_width=10_000)  # else everything that is measured fits

    class FittingProgress(Progress):
        def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
            """The line; a column for which it has no room once is left out from then on, so that nothing jumps."""
            tasks = list(tasks)
            table = super().make_tasks_table(tasks)
            for column in (rate, count, bars, remaining):
                if not tasks or console.measure(table, options=unlimited).maximum <= console.width:
                    break
                self.columns = tuple(each for each in self.columns if each is not column)
                table = super().make_tasks_table(tasks)
            return table

    def text(field: str) -> ProgressColumn:
        return TextColumn(field, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))

    columns = (text("{task.description}"), bars, count, rate, remaining, text("{task.fields[status]}"))
    # Rich would send standard output through its own console, which is standard error.
    bar = FittingProgress(*columns, console=console, transient=True, redirect_stdout=False, refresh_per_second=4)
    with bar:
        task = bar.add_task(description, total=total, completed=done, status="")
        yield lambda count=1, status="": bar.update(task, advance=count, status=status)


def _lines(description: str, total: int, done: int, unit: str | None, seconds_between_lines: float) -> Advance:
    of_what = "" if unit is None else f" {unit}"
    last_line = time.monotonic()

    def advance(count: int = 1, status: str = "") -> None:
        nonlocal done, last_line
        done += count
        now = time.monotonic()
        if now - last_line >= seconds_between_lines:
            last_line = now
            logger.info("%s: %d of %d%s%s", description, done, total, of_what, f", {status}" if status else "")

    return advance
