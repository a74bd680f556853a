"""`gradcli diff`: what sets two gradient dumps, checkpoints or runs apart."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import Annotated, Literal, get_args

import typer

from gradcli.checkpoints.quoting import some_names
from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, PARAMETER_PANEL, ParamOption
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column
from gradcli.errors import UsageError

logger = logging.getLogger(__name__)

DiffFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("name"),
    Column("status"),
    Column("shape", optional=3, ordered=False),
    Column("shape_b", "shape B", optional=2, ordered=False),
    Column("dtype", optional=8),
    Column("dtype_b", "dtype B", optional=7),
    Column("max_abs", "max abs", ".3g"),
    Column("relative", format=".3g"),
    Column("cosine", format=".12f"),
    Column("ulp_max", "max ULP", ",", optional=1),
    Column("ulp_median", "median ULP", ",", optional=6),
    Column("elements", format=",", optional=9),
    Column("differing", format=",", optional=5),
    Column("unmatched_nonfinite", optional=13),
    Column("norm_a", "norm A", ".3g", optional=12),
    Column("norm_b", "norm B", ".3g", optional=11),
    Column("position", "at", ",", optional=4, ordered=False),
    Column("value_a", "A there", ".6g", optional=10),
    Column("value_b", "B there", ".6g", optional=10),
]

# At a terminal: those that do not agree, those that do, those of which no element differs.
_PLACES = {"beyond": 0, "shape": 0, "only-a": 0, "only-b": 0, "within": 1, "equal": 2}


def diff(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A file of tensors (safetensors, torch.save, .npz, .npy), a folder of .npy, a run folder, a name of "
            "weights, or - for a file on standard input.",
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="As A: what A is measured against.")],
    output: OutputOptions,
    ranking: RankingOptions,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            metavar="FLOAT",
            min=0,
            help="A tensor agrees if |A - B| is at most this times |B|, as Euclidean norms. Left out: if no element "
            "differs.",
            show_default=False,
        ),
    ] = 0.0,
    atol: Annotated[
        float,
        typer.Option(
            "--atol",
            metavar="FLOAT",
            min=0,
            help="A tensor agrees as well if no element differs by more than this.",
            show_default=False,
        ),
    ] = 0.0,
    param: ParamOption = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore",
            metavar="PATTERN",
            help="Leave these tensors out, as if neither side had them; repeatable.",
            rich_help_panel=PARAMETER_PANEL,
        ),
    ] = None,
    format: Annotated[DiffFormat | None, FORMAT] = None,
) -> None:
    """Compare two gradient dumps, checkpoints or runs, tensor by tensor.

    Ends with exit code 6 if a tensor doesn't agree, or only one side has it, and names the first to depart in the order
    in which a backward pass reaches the parameters, which is that of the output, but a table at a terminal begins with
    what doesn't agree. Equal NaN count as equal.

    \b
    gradcli diff before.safetensors after.safetensors
    gradcli diff gradcli.safetensors pytorch.pt --tolerance 1e-5
    gradcli diff runs/photos imagenet1k-v1 --ignore 'fc.*' --sort relative
    gradcli grads --format npz | gradcli diff - expected.pt --tolerance 1e-4
    """
    for name, value in (("tolerance", tolerance), ("atol", atol)):
        if not math.isfinite(value):
            raise UsageError(f"--{name} must be a finite number")
    if a == b == "-":
        raise UsageError("A and B: only one of them can be standard input")
    destination = output.resolve(format, get_args(DiffFormat))
    ranking.check_field(COLUMNS)
    from gradcli.inspection.differences.comparison import compare
    from gradcli.inspection.differences.named_arrays import read_named_arrays

    comparison = compare(
        read_named_arrays(a),
        read_named_arrays(b),
        tolerance=tolerance,
        atol=atol,
        patterns=param or (),
        ignored=ignore or (),
    )
    tensors = comparison.tensors
    if destination.is_drawn_table:
        tensors = sorted(tensors, key=lambda tensor: _PLACES[tensor.status])
    records = [dataclasses.asdict(tensor) for tensor in tensors]
    document = {
        field.name: getattr(comparison, field.name)
        for field in dataclasses.fields(comparison)
        if field.name != "tensors"
    }
    destination.write_records(
        ranking.ranked(records), COLUMNS, document={"agrees": comparison.agrees, **document}, records_field="tensors"
    )
    for side in (comparison.a, comparison.b):
        if side.ignored:
            logger.info("%s: no tensors, and not compared: %s", side.source, some_names(side.ignored))
    if comparison.renamed:
        logger.info("the two name their tensors in different ways; compared under torchvision's names")
    if comparison.other_dtypes:
        logger.warning("other dtypes: %s", some_names(comparison.other_dtypes))
    logger.info("%s", comparison.describe())
    comparison.check()
