"""`gradcli grads`: the gradients of chosen parameters, as statistics or as arrays."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, get_args

import typer

from gradcli.cli.formats import BINARY_FORMATS
from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT, ParamOption
from gradcli.cli.tables import Column
from gradcli.errors import UsageError

GradsFormat = Literal["table", "json", "jsonl", "csv", "npy", "npz", "safetensors"]

COLUMNS = [
    Column("name"),
    Column("shape"),
    Column("dtype", optional=4),
    Column("norm", format=".3g"),
    Column("mean", format=".2g"),
    Column("std", format=".3g", optional=1),
    Column("min", format=".3g", optional=2),
    Column("max", format=".3g", optional=2),
    Column("zeros", format=",", optional=3),
    Column("nonfinite", format=","),
]


def grads(
    options: PassOptions,
    output: OutputOptions,
    param: ParamOption = None,
    wrt_input: Annotated[bool, typer.Option("--wrt-input", help="Add the gradient of the input.")] = False,
    values: Annotated[
        bool, typer.Option("--values", help="Add the numbers themselves to json, jsonl and csv, in row-major order.")
    ] = False,
    format: Annotated[GradsFormat | None, FORMAT] = None,
) -> None:
    """The gradients of parameters, as statistics or as numbers.

    After one forward and one backward pass; of every trainable parameter, or of those asked for.

    \b
    gradcli grads --param fc.weight
    gradcli grads --param 'layer4.*.weight' --json | jq '.gradients[].norm'
    gradcli grads --param fc.bias --format npy > fc.bias.npy
    """
    destination = output.resolve(format, get_args(GradsFormat))
    if values and destination.format in ("table", *BINARY_FORMATS):
        raise UsageError(f"--values goes with json, jsonl and csv, not with {destination.format}")
    from gradcli.inspection.gradients import collect_gradients, flat_values
    from gradcli.training.passes import check_finite_loss, prepare

    run = prepare(options.settings())
    gradients = collect_gradients(run, param or (), wrt_input=wrt_input)
    if destination.format in BINARY_FORMATS:
        if destination.format == "npy" and len(gradients.arrays) != 1:
            raise UsageError(
                f"--format npy holds exactly one gradient, not {len(gradients.arrays)}; "
                "choose it with --param NAME, or take npz or safetensors"
            )
        destination.write_arrays(gradients.arrays, {"gradcli.kernels": gradients.kernels})
    else:
        records: list[dict[str, Any]] = [dataclasses.asdict(record) for record in gradients.records()]
        if values:
            for record, array in zip(records, gradients.arrays.values(), strict=True):
                record["values"] = flat_values(array)
        destination.write_records(
            records,
            [*COLUMNS, Column("values")] if values else COLUMNS,
            document={
                "weights": gradients.weights,
                "mode": gradients.mode,
                "frozen_batch_norms": gradients.frozen_batch_norms,
                "kernels": gradients.kernels,
                "loss": gradients.loss,
                "seconds": gradients.seconds,
            },
            records_field="gradients",
            caption=f"loss {gradients.loss:.6g}, {run.describe()}",
        )
    check_finite_loss(gradients.loss, run)
    gradients.check_finite()
