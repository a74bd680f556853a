"""How far a download is, on standard error: a bar on a terminal, a line now and then elsewhere, nothing with -q."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0

Report = Callable[[int, int | None], None]
"""`report(done, total)`: so many bytes are there, of so many, None if nobody knows."""


@contextlib.contextmanager
def download_progress(
    description: str, *, wanted: bool = True, seconds_between_lines: float = SECONDS_BETWEEN_LINES
) -> Iterator[Report]:
    """Show how many bytes are there, how fast more come and how long it takes; yields the function to report them to.

    The count may start above zero, for a download that is resumed, and may fall, for one that starts over. Nothing is
    shown if it is not `wanted` or if gradcli's logger was told to be quiet. In Python, where nobody set up logging,
    the bar shows on a terminal and the lines don't.
    """
    if not wanted or logging.getLogger("gradcli").level > logging.INFO:
        yield lambda done, total: None
    elif sys.stderr is not None and sys.stderr.isatty():
        with _bar(description) as report:
            yield report
    else:
        yield _lines(description, seconds_between_lines)


@contextlib.contextmanager
def _bar(description: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    # Rich would send standard output through its own console, which is standard error.
    console = Console(file=sys.stderr)
    bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, refresh_per_second=4)
    task: TaskID | None = None
    before = 0

    def report(done: int, total: int | None) -> None:
        nonlocal task, before
        if task is None:  # now, so that what lay on disk already doesn't count as speed
            task = bar.add_task(description, total=total, completed=done)
        elif done < before:
            bar.reset(task, total=total, completed=done)
        else:
            bar.update(task, total=total, completed=done)
        before = done

    with bar:
        yield report


def _lines(description: str, seconds_between_lines: float) -> Report:
    from rich.filesize import decimal

    start: int | None = None
    before = 0
    first_time = last_line = time.monotonic()

    def report(done: int, total: int | None) -> None:
        nonlocal start, before, first_time, last_line
        now = time.monotonic()
        if start is None or done < before:
            start, first_time = done, now
        before = done
        if now - last_line < seconds_between_lines or done == total:
            return
        last_line = now
        line = decimal(done) if total is None else f"{decimal(done)} of {decimal(total)}"
        if done > start and now > first_time:
            rate = (done - start) / (now - first_time)
            line += f", {decimal(int(rate))}/s"
            if total is not None:
                line += f", {(total - done) / rate:.0f} s left"
        logger.info("%s: %s", description, line)

    return report
