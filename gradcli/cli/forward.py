"""`gradcli forward`: one forward pass."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.tables import Column

ForwardFormat = Literal["table", "json", "csv", "npy", "npz"]

COLUMNS = [
    Column("image"),
    Column("rank"),
    Column("index"),
    Column("name"),
    Column("score", format=".4f"),
    Column("probability", format=".4f"),
]


def forward(
    options: PassOptions,
    output: OutputOptions,
    top: Annotated[int, typer.Option(min=1, metavar="INT", help="How many classes to show.")] = 5,
    format: Annotated[ForwardFormat | None, FORMAT] = None,
) -> None:
    """One forward pass: the prediction, and the loss of a target.

    npy holds the scores (N, classes), npz the same as `prediction`.
    """
    destination = output.resolve(format, get_args(ForwardFormat))
    from gradcli.inspection.prediction import top_classes
    from gradcli.training.passes import check_finite_loss, check_finite_prediction, prepare, run_forward

    run = prepare(options.settings())
    prediction, loss_tensor, seconds = run_forward(run, with_loss=options.target is not None)
    loss = None if loss_tensor is None else loss_tensor.item()
    caption = f"{run.describe()}, {seconds:.3f} s" + ("" if loss is None else f", loss {loss:.6g}")
    if destination.format in ("npy", "npz"):
        destination.write_arrays({"prediction": prediction.array}, caption=caption)
    else:
        document = {
            **run.heading(),
            "shape": list(prediction.shape),
            "loss": loss,
            "seconds": seconds,
        }
        classes = top_classes(prediction.array, run.names, run.loaded.classes, top)
        destination.write_records(
            [dataclasses.asdict(record) for record in classes],
            COLUMNS,
            document=document,
            records_field="classes",
            caption=caption,
        )
    check_finite_prediction(prediction, run)
    if loss is not None:
        check_finite_loss(loss, run)
