"""`gradcli weights`: convert and inspect checkpoint files."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.tables import Column

InspectFormat = Literal["table", "json", "jsonl", "csv"]
ConvertFormat = Literal["table", "json", "csv"]

TENSOR_COLUMNS = [
    Column("name"),
    Column("shape"),
    Column("dtype"),
    Column("norm", format=".6g"),
    Column("nonfinite"),
]
CONVERSION_COLUMNS = [
    Column("source"),
    Column("destination"),
    Column("container", optional=True),
    Column("tensors"),
    Column("elements", format=","),
    Column("source_sha256", optional=True),
    Column("destination_sha256", optional=True),
]


def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="A .pth, .pt or .safetensors file.")],
    destination: Annotated[str, typer.Argument(metavar="OUT", help="The .safetensors file to write.")],
    output: OutputOptions,
    format: Annotated[ConvertFormat | None, FORMAT] = None,
) -> None:
    """Convert a checkpoint to safetensors, without PyTorch.

    What was written is read back and compared, bit for bit.
    """
    report = output.resolve(format, get_args(ConvertFormat))
    from gradcli.checkpoints import convert_checkpoint

    report.write_records([convert_checkpoint(source, destination)], CONVERSION_COLUMNS)


def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .pth, .pt or .safetensors file, or a run folder.")],
    output: OutputOptions,
    format: Annotated[InspectFormat | None, FORMAT] = None,
) -> None:
    """What a checkpoint holds.

    Tensors with shapes, dtypes and norms; JSON adds metadata and checksum.
    """
    destination = output.resolve(format, get_args(InspectFormat))
    from gradcli.checkpoints import describe_checkpoint, load_checkpoint
    from gradcli.models.loading import weights_file

    description = describe_checkpoint(load_checkpoint(weights_file(file)))
    document = {
        field.name: getattr(description, field.name)
        for field in dataclasses.fields(description)
        if field.name != "tensors"
    }
    destination.write_records(
        description.tensors,
        TENSOR_COLUMNS,
        document=document,
        records_field="tensors",
        caption=f"{description.container}, {len(description.tensors)} tensors, {description.elements:,} numbers, "
        f"{description.file_size:,} bytes, SHA-256 {description.sha256}",
    )
