"""`gradcli trace`: where NaN and infinity begin in a pass, and what they reach."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.tables import Column, name_hidden_columns

if TYPE_CHECKING:
    from gradcli.inspection.non_finite.records import TensorRecord

logger = logging.getLogger(__name__)

TraceFormat = Literal["table", "json", "jsonl", "csv"]

COLUMNS = [
    Column("phase"),
    Column("role"),
    Column("order", optional=7),
    Column("module"),
    Column("operation", optional=4),
    Column("tensor"),
    Column("shape", optional=6),
    Column("dtype", optional=8),
    Column("numel", "numbers", ",", optional=5),
    Column("nan", "NaN", ","),
    Column("inf", "infinite", ","),
    Column("min", format=".3g", optional=1),
    Column("max", format=".3g", optional=1),
    Column("norm", format=".3g", optional=3),
    Column("first_nonfinite", "first at", ",", optional=2),
]

REACHED_ON_SCREEN = 3


def trace(
    options: PassOptions,
    output: OutputOptions,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            "--inject",
            metavar="NAME=VALUE[:INDEX]",
            help="Put nan, inf, -inf or another number into an element of a parameter, of input, of MODULE.output or "
            "of MODULE.gradient first; repeatable. Without INDEX into the first element.",
        ),
    ] = None,
    format: Annotated[TraceFormat | None, FORMAT] = None,
) -> None:
    """Find where NaN or infinity begin in a forward and backward pass.

    The first operation to give some, forward and backward, with its module and statistics of what went in, and every
    result that they reach. Ends with exit code 5 if there are any, with 0 if every value is finite.

    \b
    gradcli trace -w broken.safetensors
    gradcli trace --inject layer2.0.bn1.output=inf:0,3,1,1
    gradcli trace -w run/last.safetensors -i batch.npy --json | jq -r .module
    """
    destination = output.resolve(format, get_args(TraceFormat))
    from gradcli.inspection.non_finite.injection import parse_injection
    from gradcli.inspection.non_finite.trace import trace_pass
    from gradcli.training.passes import prepare

    injections = [parse_injection(text) for text in inject or ()]
    run = prepare(options.settings())
    traced = trace_pass(run, injections)
    records = traced.records
    if destination.is_drawn_table:
        records = _for_the_screen(records)
    document = {
        field.name: getattr(traced, field.name) for field in dataclasses.fields(traced) if field.name != "records"
    }
    destination.write_records(
        records,
        COLUMNS,
        document={
            "finite": traced.finite,
            **document,
            "injected": injections,
            **run.heading(),
        },
        records_field="tensors",
        caption=name_hidden_columns,
    )
    if traced.finite:
        logger.info("%s; %s", traced.describe(), run.describe())
    elif destination.format != "json":
        logger.info("%s", run.describe())
    if len(records) < len(traced.records):
        logger.info("%d more results are reached; --format json has them", len(traced.records) - len(records))
    traced.check()


def _for_the_screen(records: Sequence[TensorRecord]) -> list[TensorRecord]:
    """All but the later ones of the results that are reached in each phase."""
    reached: Counter[str] = Counter()
    shown = []
    for record in records:
        reached[record.phase] += record.role == "reached"
        if record.role != "reached" or reached[record.phase] <= REACHED_ON_SCREEN:
            shown.append(record)
    return shown
