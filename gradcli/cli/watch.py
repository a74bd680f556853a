"""`gradcli watch`: a run of training while it goes on, from another terminal."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.output import Output
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Group

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
    Column("loss"),
]

LAYER_COLUMNS = [
    Column("kind"),
    Column("epoch"),
    Column("step"),
    Column("name"),
    Column("grad_norm"),
    Column("update_ratio"),
]

# By which fields layers can be ordered.
_FIELDS = LAYER_COLUMNS[3:]

SECONDS_BETWEEN_LOOKS = 0.5


def watch(
    output: OutputOptions,
    ranking: RankingOptions,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of the run.", show_default=False)],
    once: Annotated[bool, typer.Option("--once", help="Show what there is so far, and end.")] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="One record for each layer of each logged step, and no others.")
    ] = False,
    format: Annotated[WatchFormat | None, FORMAT] = None,
) -> None:
    """Loss, accuracy and gradient norms of a run while it trains.

    Follows metrics.jsonl until the run ends; the gradients are there with finetune --log-grads. A picture on a
    terminal, elsewhere each record as it comes. --sort orders the layers, by name, grad_norm or update_ratio; ! is
    behind an update ratio above 0.1, with which a step moves weights too far.

    \b
    gradcli finetune digits --log-grads 20 --run runs/digits
    gradcli watch runs/digits
    gradcli watch runs/digits --once --sort update_ratio
    gradcli watch runs/digits --format jsonl | jq .grad_norm
    gradcli watch runs/digits --layers --format csv > layers.csv
    """
    destination = output.resolve(format, get_args(WatchFormat))
    ranking.check_field(_FIELDS)
    is_picture = destination.is_drawn_table and not layers
    is_ordered = ranking.sort is not None or ranking.top is not None
    if is_ordered and not layers and not is_picture and destination.format in ("table", "csv"):
        option = "--top" if ranking.sort is None else "--sort"
        raise UsageError(f"{option} is for layers, which {destination.format} shows with --layers; add it")
    from gradcli.inspection.training_runs.history import RunFollower

    follower = RunFollower(run)
    if is_picture:
        _show(follower, ranking, once=once)
    else:
        _write(follower, destination, ranking, once=once, layers=layers)


def _show(follower: RunFollower, ranking: RankingOptions, *, once: bool) -> None:
    """The picture while it changes, in the lines of the terminal; at the end of the run, or once, the whole of it."""
    from rich.console import Console
    from rich.live import Live

    from gradcli.cli.run_picture import run_picture

    console = Console(file=sys.stdout, color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)
    status = follower.status()
    follower.new_records()

    def picture(height: int | None) -> Group:
        return run_picture(follower.history, status, console.width, height, ranking)

    if status.is_running and not once:
        with Live(picture(console.height), console=console, auto_refresh=False, transient=True) as live:
            while status.is_running:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                status = follower.status()  # before the records: none can come after the end
                follower.new_records()
                live.update(picture(console.height), refresh=True)
    console.print(picture(None))


def _write(follower: RunFollower, destination: Output, ranking: RankingOptions, *, once: bool, layers: bool) -> None:
    with destination.record_writer(LAYER_COLUMNS if layers else COLUMNS) as write:
        while True:
            status = follower.status()
            for record in follower.new_records():
                for each in _written(record, ranking, layers=layers):
                    write(each)
            if once or not status.is_running:
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
    logger.info("%s: %s", follower.history.path, status)


def _written(record: Mapping[str, Any], ranking: RankingOptions, *, layers: bool) -> list[Mapping[str, Any]]:
    """The record with its layers in order, or with `layers` a record of each of them."""
    if "layers" not in record:
        return [] if layers else [record]
    from gradcli.inspection.training_runs.layers import layer_records

    of_layers = ranking.ranked(layer_records(record))
    if not layers:
        return [{**record, "layers": of_layers}]
    return [{"kind": "layer", "epoch": record["epoch"], "step": record["step"], **layer} for layer in of_layers]
