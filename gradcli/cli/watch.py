"""`gradcli watch`: a run of training while it goes on, from another terminal."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.output import Output
from gradcli.cli.tables import Column

if TYPE_CHECKING:
    from gradcli.inspection.training_runs.history import RunFollower

logger = logging.getLogger(__name__)

WatchFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("kind"),
    Column("epoch"),
    Column("step"),
    Column("train_loss"),
    Column("train_accuracy"),
    Column("val_loss"),
    Column("val_accuracy"),
    Column("lr"),
    Column("seconds"),
    Column("grad_norm"),
    Column("update_ratio"),
]

SECONDS_BETWEEN_LOOKS = 0.5


def watch(
    output: OutputOptions,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.", show_default=False)],
    once: Annotated[bool, typer.Option("--once", help="Show what there is so far, and end.")] = False,
    format: Annotated[WatchFormat | None, FORMAT] = None,
) -> None:
    """Loss, accuracy and gradient norms of a run while it trains.

    Follows metrics.jsonl until the run ends; the gradients are there with finetune --log-grads. A picture on a
    terminal, elsewhere each record as it comes.

    \b
    gradcli finetune digits --log-grads 20 --run runs/digits
    gradcli watch runs/digits
    gradcli watch runs/digits --once
    gradcli watch runs/digits --format jsonl | jq .grad_norm
    """
    destination = output.resolve(format, get_args(WatchFormat))
    from gradcli.inspection.training_runs.history import RunFollower

    follower = RunFollower(run)
    if destination.is_drawn_table:
        _show(follower, once=once)
    else:
        _write(follower, destination, once=once)


def _show(follower: RunFollower, *, once: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from gradcli.cli.run_picture import run_picture

    console = Console(file=sys.stdout, color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)
    status = follower.status()
    follower.new_records()
    if once:
        console.print(run_picture(follower.history, status, console.width, None))
        return
    picture = run_picture(follower.history, status, console.width, console.height)
    with Live(picture, console=console, auto_refresh=False, transient=False) as live:
        while status.is_running:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            status = follower.status()  # before the records: none can come after the end
            follower.new_records()
            live.update(run_picture(follower.history, status, console.width, console.height), refresh=True)


def _write(follower: RunFollower, destination: Output, *, once: bool) -> None:
    with destination.record_writer(COLUMNS) as write:
        while True:
            status = follower.status()
            for record in follower.new_records():
                write(record)
            if once or not status.is_running:
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
    logger.info("%s: %s", follower.history.path, status)
