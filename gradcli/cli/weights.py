"""`gradcli weights inspect` and `convert`: what a checkpoint file holds, and turning it into safetensors."""

from __future__ import annotations

import dataclasses
import logging
from typing import Annotated, Literal, get_args

import typer

from gradcli.checkpoints.quoting import some_names
from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.tables import Column

logger = logging.getLogger(__name__)

InspectFormat = Literal["table", "json", "jsonl", "csv"]
ConvertFormat = Literal["table", "json", "csv"]

TENSOR_COLUMNS = [
    Column("name"),
    Column("shape"),
    Column("dtype"),
    Column("norm", format=".6g"),
    Column("min", format=".4g", optional=2),
    Column("max", format=".4g", optional=2),
    Column("zeros", format=",", optional=1),
    Column("nonfinite", format=","),
]
CONVERSION_COLUMNS = [
    Column("source"),
    Column("destination"),
    Column("container", optional=3),
    Column("tensors"),
    Column("elements", "numbers", ",", optional=4),
    Column("dtypes", optional=5),
    Column("source_naming", "from", optional=2),
    Column("naming", "naming", optional=2),
    Column("source_sha256", optional=7),
    Column("destination_sha256", optional=6),
]


def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A file of weights, such as .pth, .pt, .bin, .npz or .safetensors.")
    ],
    destination: Annotated[str, typer.Argument(metavar="OUT", help="The .safetensors file to write.")],
    output: OutputOptions,
    dtype: Annotated[
        Literal["float16", "bfloat16", "float32", "float64"] | None,
        typer.Option("--dtype", help="Round floating-point tensors to this. Left out: every tensor stays as it is."),
    ] = None,
    naming: Annotated[
        Literal["torchvision", "timm", "hf"] | None,
        typer.Option(
            "--naming",
            help="Names of the tensors, for a ResNet: torchvision's (timm's are the same), or those of Hugging Face's "
            "transformers. Left out: every name stays.",
        ),
    ] = None,
    format: Annotated[ConvertFormat | None, FORMAT] = None,
) -> None:
    """Convert a checkpoint to safetensors, without PyTorch.

    What was written is read back and compared, bit for bit.

    \b
    gradcli weights convert resnet18-f37072fd.pth imagenet.safetensors
    gradcli weights convert trained.pt half.safetensors --dtype float16
    gradcli weights convert trained.pt timm.safetensors --naming timm
    """
    report = output.resolve(format, get_args(ConvertFormat))
    from gradcli.checkpoints import convert_checkpoint

    conversion = convert_checkpoint(source, destination, dtype=dtype, naming=naming)
    if conversion.ignored:
        logger.info("%s: left out, because they are not of the network: %s", source, some_names(conversion.ignored))
    if conversion.not_renamed:
        logger.info("%s: no rule of the naming knows, and so keeps: %s", source, some_names(conversion.not_renamed))
    report.write_records([conversion], CONVERSION_COLUMNS)


def inspect(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A file of weights, a known name (fetched if need be), or a run folder."),
    ],
    output: OutputOptions,
    format: Annotated[InspectFormat | None, FORMAT] = None,
) -> None:
    """What a checkpoint holds, of whatever network.

    Tensors with shapes, dtypes and norms; JSON adds names, architecture, metadata and checksum.
    """
    destination = output.resolve(format, get_args(InspectFormat))
    from gradcli.inspection.weights import inspect_weights

    inspected = inspect_weights(file)
    description = inspected.description
    document = {
        field.name: getattr(value, field.name)
        for value in (description, inspected)
        for field in dataclasses.fields(value)
        if field.name not in ("tensors", "description")
    }
    if inspected.suspicion is not None:
        logger.warning("%s: %s", description.path, inspected.suspicion)
    if description.ignored:
        logger.info("%s: not looked at: %s", description.path, some_names(description.ignored))
    named = [f"names as in {description.naming}" if description.naming != "unknown" else "names of no known style"]
    named += [f"behind {description.prefix}"] if description.prefix else []
    network = [inspected.architecture or "no known network"]
    network += [f"{inspected.classes:,} classes"] if inspected.classes is not None else []
    known = [f"known as {inspected.known_as}"] if inspected.known_as else []
    destination.write_records(
        description.tensors,
        TENSOR_COLUMNS,
        document=document,
        records_field="tensors",
        caption=f"{description.container}, {' '.join(named)}: {', '.join([*network, *known])}\n"
        f"{len(description.tensors)} tensors, {description.parameters:,} parameters, {description.elements:,} numbers, "
        f"{description.nonfinite:,} not finite, {description.file_size:,} bytes\nSHA-256 {description.sha256}",
    )
