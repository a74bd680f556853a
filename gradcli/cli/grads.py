"""`gradcli grads`: the gradients of chosen parameters, as statistics or as arrays, and why some are of no use.

And other views of what goes back through the network: activations, saliency, single images, batches of a data set.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from gradcli.cli.bars import row_of_bars
from gradcli.cli.formats import BINARY_FORMATS
from gradcli.cli.gradient_captions import (
    describe_gradients,
    describe_images,
    explain_calls,
    explain_update_ratio,
)
from gradcli.cli.gradient_combinations import check_combinations, check_view
from gradcli.cli.gradient_options import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_BINS,
    CheckOptions,
    StatisticsOptions,
    ViewOptions,
)
from gradcli.cli.gradient_views import NOISE_COLUMNS, SAMPLE_COLUMNS, write_noise, write_samples
from gradcli.cli.option_groups import OutputOptions, PassOptions
from gradcli.cli.options import CHECK_PANEL, FORMAT, ParamOption
from gradcli.cli.output import Output
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from gradcli.inspection.gradients.collection import Gradients
    from gradcli.inspection.gradients.lost import LostGradient
    from gradcli.inspection.gradients.per_sample import SampleGradient
    from gradcli.training.passes import Pass

logger = logging.getLogger(__name__)

GradsFormat = Literal["table", "json", "jsonl", "csv", "npy", "npz", "safetensors", "png"]

STATISTICS_COLUMNS = [
    Column("norm", format=".3g"),
    Column("mean", format=".2g", optional=2),
    Column("std", format=".3g", optional=3),
    Column("min", format=".3g", optional=5),
    Column("max", format=".3g", optional=5),
    Column("zeros", format=",", optional=6),
    Column("nonfinite", format=",", optional=1),
    Column("zero_share", "zero share", ".1%", optional=4),
    *(Column(field, format=".2g", optional=8) for field in ("p1", "p5", "p25", "p50", "p75", "p95", "p99")),
    Column("weight_norm", "weight", ".3g", optional=7),
    Column("update_ratio", "update ratio", ".2g"),
]
COLUMNS = [
    Column("name"),
    Column("shape", optional=4, ordered=False),
    Column("dtype", optional=9),
    *STATISTICS_COLUMNS,
]
GROUP_COLUMNS = [
    Column("name"),
    Column("tensors", optional=4),
    Column("numel", "numbers", ",", optional=3),
    *STATISTICS_COLUMNS,
]
LOST_COLUMNS = [
    Column("name"),
    Column("shape", optional=3, ordered=False),
    Column("numel", "numbers", ",", optional=3),
    Column("reason"),
    Column("stopped_at", "stopped at"),
    Column("zeros_begin_at", "zeros begin at", optional=2),
    Column("nonfinite_begins_at", "NaN or infinity begin at", optional=2),
    Column("explanation"),
    Column("path", optional=4, ordered=False),
]
_COLUMNS_OF_VIEW: dict[str | None, list[Column]] = {
    "--why": LOST_COLUMNS,
    "--per-sample": SAMPLE_COLUMNS,
    "--data": NOISE_COLUMNS,
}

LOST_ON_SCREEN = 10


def grads(
    options: PassOptions,
    statistics: StatisticsOptions,
    views: ViewOptions,
    checks: CheckOptions,
    ranking: RankingOptions,
    output: OutputOptions,
    param: ParamOption = None,
    wrt_input: Annotated[
        bool,
        typer.Option("--wrt-input", help="Show the gradient with respect to the input too, under the name input."),
    ] = False,
    why: Annotated[
        bool,
        typer.Option(
            "--why",
            help="Instead of statistics: which parameters have no gradient of use, why, and where on the way from the "
            "loss it got lost.",
            rich_help_panel=CHECK_PANEL,
        ),
    ] = False,
    format: Annotated[GradsFormat | None, FORMAT] = None,
) -> None:
    """The gradients of parameters, as statistics or as numbers.

    After one forward and one backward pass; of every trainable parameter, or of those asked for.

    \b
    gradcli grads --param fc.weight
    gradcli grads --sort update_ratio --top 5 --histogram
    gradcli grads --group-by block --json | jq '.groups[].norm'
    gradcli grads --why --fail-on zero,nonfinite
    gradcli grads --param fc.bias --format npy > fc.bias.npy
    gradcli grads --data digits --batches 20 --sort signal_to_noise
    gradcli grads -i cat.jpg --mode eval --saliency -o saliency.png
    """
    destination = output.resolve(format, get_args(GradsFormat))
    check_combinations(destination, statistics, ranking, why=why, wrt_input=wrt_input)
    given = [*statistics.given(), *(["--param"] if param else []), *(["--wrt-input"] if wrt_input else [])]
    view = check_view(destination, views, options, [*given, *(["--fail-on"] if checks.fail_on else [])], why=why)
    columns = _COLUMNS_OF_VIEW.get(view, GROUP_COLUMNS if statistics.group_by else COLUMNS)
    ranking.check_field(columns)
    conditions = checks.conditions  # before any work, as it may refuse them
    from gradcli.inspection.gradients.collection import collect_gradients
    from gradcli.inspection.gradients.conditions import check_gradients, failing_gradients
    from gradcli.training.passes import check_finite_loss, prepare

    if view == "--data":
        assert views.data is not None
        write_noise(
            destination,
            ranking,
            options,
            views.data,
            patterns=param or (),
            batches=views.batches,
            batch_size=views.batch_size or DEFAULT_BATCH_SIZE,
        )
        return
    run = prepare(options.settings())
    lost: list[LostGradient] = []
    samples: list[SampleGradient] = []
    if view == "--activations":
        from gradcli.inspection.gradients.activations import collect_activations

        gradients = collect_activations(run, param or ())
    elif view == "--saliency":
        from gradcli.inspection.gradients.saliency import collect_saliency

        gradients = collect_saliency(run)
    elif view == "--per-sample":
        from gradcli.inspection.gradients.per_sample import per_sample_gradients

        gradients, samples = per_sample_gradients(run, param or ())
    elif why:
        from gradcli.inspection.gradients.lost import explain_gradients

        gradients, lost = explain_gradients(run, param or ())
    else:
        gradients = collect_gradients(run, param or (), wrt_input=wrt_input)
    failing = failing_gradients(gradients, conditions, checks.thresholds())
    document: dict[str, Any] = {
        **run.heading(),
        "loss": gradients.loss,
        "seconds": gradients.seconds,
    }
    if conditions:
        document["failing"] = failing
    if why:
        _write_lost(destination, ranking, run, gradients, lost, document)
    elif view == "--per-sample":
        write_samples(destination, ranking, run, gradients, samples, document)
    elif destination.format == "png":
        _write_picture(destination, run, gradients)
    elif destination.format in BINARY_FORMATS:
        _write_arrays(destination, run, gradients)
    else:
        field = "activations" if view == "--activations" else "groups" if statistics.group_by else "gradients"
        _write_statistics(destination, statistics, ranking, columns, run, gradients, document, field)
    called = "outputs and gradients" if view == "--activations" else "gradients"
    check_gradients(failing, checks.thresholds(), len(gradients.arrays) + len(gradients.unreached), called)
    check_finite_loss(gradients.loss, run)
    gradients.check_finite()


def _write_arrays(destination: Output, run: Pass, gradients: Gradients) -> None:
    if destination.format == "npy" and len(gradients.arrays) != 1:
        raise UsageError(
            f"--format npy holds exactly one gradient, not {len(gradients.arrays)}; "
            "choose it with --param NAME, or take npz or safetensors"
        )
    metadata = {"gradcli.weights": gradients.weights, "gradcli.kernels": gradients.kernels}
    destination.write_arrays(gradients.arrays, metadata, caption=f"loss {gradients.loss:.6g}, {run.describe()}")


def _write_picture(destination: Output, run: Pass, gradients: Gradients) -> None:
    from gradcli.inspection.gradients.saliency import SALIENCY_NAME, saliency_picture

    destination.write_bytes(saliency_picture(run.data.detach().array, gradients.arrays[SALIENCY_NAME]))


def _write_statistics(
    destination: Output,
    options: StatisticsOptions,
    ranking: RankingOptions,
    columns: Sequence[Column],
    run: Pass,
    gradients: Gradients,
    document: dict[str, Any],
    records_field: str,
) -> None:
    from gradcli.inspection.gradients.collection import flat_values
    from gradcli.inspection.gradients.grouping import grouped, groups_of_parameters
    from gradcli.inspection.gradients.histogram import histogram
    from gradcli.inspection.gradients.statistics import gradient_records, group_records, total_record

    group_of = {} if options.group_by is None else groups_of_parameters(run.model, options.group_by)
    described: Sequence[Any] = (
        group_records(gradients, group_of, options.lr) if group_of else gradient_records(gradients, options.lr)
    )
    records = ranking.ranked([dataclasses.asdict(record) for record in described])
    columns = [*columns]
    if options.histogram:
        columns.append(Column("histogram"))
        arrays = grouped(gradients.arrays, group_of)
        for record in records:
            counted = histogram(arrays[record["name"]], options.bins or DEFAULT_BINS, log_scale=options.log_scale)
            record["histogram"] = row_of_bars(counted.counts) if destination.is_drawn_table else counted
    if options.values:
        columns.append(Column("values"))
        for record in records:
            record["values"] = flat_values(gradients.arrays[record["name"]])
    document = document | {"lr": options.lr}
    if group_of:
        document["group_by"] = options.group_by
    caption = describe_gradients(run, gradients) + explain_calls(record["name"] for record in records)
    if gradients.parameters:
        caption += explain_update_ratio(options.lr)
    if destination.format == "json" and gradients.parameters:
        document["total"] = total_record(gradients, options.lr)
    destination.write_records(
        records,
        columns,
        document=document,
        records_field=records_field,
        caption=caption,
    )


def _write_lost(
    destination: Output,
    ranking: RankingOptions,
    run: Pass,
    gradients: Gradients,
    lost: Sequence[LostGradient],
    document: dict[str, Any],
) -> None:
    on_screen = LOST_ON_SCREEN if destination.is_drawn_table else None
    records = ranking.ranked([dataclasses.asdict(each) for each in lost], otherwise=on_screen)
    useful = len(gradients.parameters.keys() - {each.name for each in lost})
    reasons = Counter(each.reason for each in lost)
    hidden = len(lost) - len(records) if ranking.top is None else 0
    images = describe_images(run)
    destination.write_records(
        records,
        LOST_COLUMNS,
        document=document | {"images": len(run.names), "useful": useful, "reasons": reasons},
        records_field="lost",
        caption=f"{describe_gradients(run, gradients)}, {images}"
        + explain_calls(record["stopped_at"] or "" for record in records),
    )
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    hints = [f"{hidden} more with --format json"] if hidden else []
    if "nonfinite" in reasons:
        hints.append("`gradcli trace` follows NaN and infinity")
    if "dead-relu" in reasons:
        hints.append(f"dead for {images}, -i or --shape takes more")
    logger.info(
        "%d of %d parameters have a gradient of use%s%s",
        useful,
        useful + len(lost),
        f"; without one: {counts}" if lost else "",
        f" ({'; '.join(hints)})" if hints else "",
    )
