"""`gradcli weights inspect` and `convert`: what a checkpoint file holds, and turning it into safetensors."""

from __future__ import annotations

import dataclasses
import logging
from typing import Annotated, Literal, get_args

import typer

from gradcli.checkpoints.quoting import some_names
from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, ParamOption
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column, name_hidden_columns

logger = logging.getLogger(__name__)

InspectFormat = Literal["table", "json", "jsonl", "csv"]
ConvertFormat = Literal["table", "json", "csv"]

TENSOR_COLUMNS = [
    Column("name"),
    Column("shape", optional=5, ordered=False),
    Column("dtype", optional=7),
    Column("norm", format=".3g", optional=4),
    Column("mean", format=".3g", optional=3),
    Column("std", format=".3g", optional=2),
    Column("min", format=".3g"),
    Column("max", format=".3g"),
    Column("zeros", format=",", optional=6),
    Column("nonfinite", "NaN, inf", ","),
    Column("first_nonfinite", "first at", ",", optional=1, ordered=False),
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

# Of each batch norm one, with a name that takes the room of two columns.
_COUNTER = "num_batches_tracked"


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="A file of weights, such as .pth, .bin, .npz or .safetensors, or a known name."
        ),
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
    from gradcli.inspection.weights import convert_weights

    conversion = convert_weights(source, destination, dtype=dtype, naming=naming)
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
    ranking: RankingOptions,
    param: ParamOption = None,
    format: Annotated[InspectFormat | None, FORMAT] = None,
) -> None:
    """What a checkpoint holds, of whatever network.

    Tensors with shapes, dtypes, and statistics of their finite elements; JSON adds names, architecture, metadata and
    checksum. A table at a terminal has the network's order, but tensors with NaN or infinity first.

    \b
    gradcli weights inspect trained.safetensors --param 'layer4.*' --sort std
    gradcli weights inspect run/last.safetensors --sort max --top 5
    """
    destination = output.resolve(format, get_args(InspectFormat))
    ranking.check_field(TENSOR_COLUMNS)
    from gradcli.inspection.weights import choose_tensors, inspect_weights, order_for_reading

    inspected = inspect_weights(file)
    description = inspected.description
    tensors = choose_tensors(description, param or ())
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
    about = [
        f"{description.container}, {' '.join(named)}: {', '.join([*network, *known])}",
        f"{len(description.tensors)} tensors, {description.parameters:,} parameters, {description.elements:,} numbers, "
        f"{description.nonfinite:,} not finite, {description.file_size:,} bytes",
        f"SHA-256 {description.sha256}",
    ]
    columns = TENSOR_COLUMNS
    if destination.is_drawn_table:
        tensors = order_for_reading(tensors)
        if not param:
            shown = [tensor for tensor in tensors if not tensor.name.endswith(_COUNTER)]
            if len(shown) < len(tensors):
                about.append(f"{len(tensors) - len(shown)} {_COUNTER} not shown; --param '*' shows all")
            tensors = shown
        if not description.nonfinite:
            columns = [column for column in columns if column.field != "nonfinite"]
    destination.write_records(
        ranking.ranked([vars(tensor) for tensor in tensors]),
        columns,
        document=document,
        records_field="tensors",
        caption=lambda hidden: "\n".join(filter(None, [*about, name_hidden_columns(hidden)])),
    )
