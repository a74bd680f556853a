"""`gradcli step`: the tutorial's step of gradient descent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions, PassOptions, SGDOptions
from gradcli.cli.options import FORMAT, SaveOption
from gradcli.cli.output import check_weights_path
from gradcli.cli.stopping import stop_requests
from gradcli.cli.tables import Column
from gradcli.errors import ExitCode

StepFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("step"),
    Column("loss", format=".6g"),
    Column("grad_norm", "gradient norm", ".6g"),
    Column("update_norm", "update norm", ".6g"),
    Column("trainable", format=",", optional=2),
    Column("frozen", format=",", optional=2),
    Column("seconds", format=".3f", optional=1),
]


def step(
    options: PassOptions,
    sgd: SGDOptions,
    output: OutputOptions,
    steps: Annotated[int, typer.Option(min=1, metavar="INT", help="Steps to take, all on the same batch.")] = 1,
    save: SaveOption = None,
    format: Annotated[StepFormat | None, FORMAT] = None,
) -> None:
    """Forward, loss, backward and a step of SGD, as in the tutorial.

    \b
    gradcli step                     random image and labels, as in the tutorial
    gradcli step -i photo.jpg -t 207 --loss cross-entropy --freeze-backbone --json
    """
    destination = output.resolve(format, get_args(StepFormat))
    if save is not None:
        check_weights_path(save)
    from gradcli.training.passes import prepare
    from gradcli.training.saving import save_model
    from gradcli.training.step import run_steps

    run = prepare(options.settings())
    records = run_steps(run, sgd.settings(), steps)
    with stop_requests() as should_stop:
        with destination.record_writer(COLUMNS, caption=run.describe()) as write:
            for record in records:
                write(record)
                if should_stop():
                    break
        if save is not None:
            save_model(Path(save), run.loaded)
        if should_stop():
            raise typer.Exit(ExitCode.TERMINATED)
