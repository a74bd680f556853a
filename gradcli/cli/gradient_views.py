"""What `gradcli grads` writes of single images and of batches of a data set; which options go with which view."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcli.cli.formats import BINARY_FORMATS
from gradcli.cli.given_options import given_options
from gradcli.cli.gradient_options import ViewOptions
from gradcli.cli.option_groups import PassOptions
from gradcli.cli.options import Loss
from gradcli.cli.output import Output
from gradcli.cli.progress import progress
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column
from gradcli.errors import UsageError

if TYPE_CHECKING:
    from gradcli.inspection.gradients.collection import Gradients
    from gradcli.inspection.gradients.per_sample import SampleGradient
    from gradcli.training.passes import Pass

logger = logging.getLogger(__name__)

SAMPLE_COLUMNS = [
    Column("index"),
    Column("image"),
    Column("loss", format=".4g", optional=1),
    Column("norm", format=".4g"),
]
NOISE_COLUMNS = [
    Column("name"),
    Column("numel", "numbers", ",", optional=3),
    Column("mean_norm", "mean's norm", ".3g", optional=1),
    Column("std_norm", "std's norm", ".3g", optional=2),
    Column("variance", format=".2g", optional=4),
    Column("signal_to_noise", "signal to noise", ".3g"),
    Column("cosine", format=".3f"),
]

# Options of `grads` that make no sense in a view.
_REFUSED = {
    "--activations": ("--param", "--group-by", "--wrt-input"),
    "--saliency": ("--param", "--group-by", "--wrt-input"),
    "--per-sample": ("--group-by", "--histogram", "--values", "--wrt-input"),
    "--data": ("--group-by", "--histogram", "--values", "--wrt-input", "--fail-on"),
}


def check_view(
    destination: Output, views: ViewOptions, options: PassOptions, given: Sequence[str], *, why: bool
) -> str | None:
    """The view that was asked for; UsageError for two, and for options and formats that don't go with it."""
    chosen = [*views.given(), *(["--why"] if why else [])]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} show different things; leave out one of them")
    view = chosen[0] if chosen else None
    if destination.format == "png" and view != "--saliency":
        raise UsageError("--format png is a picture of the saliency; add --saliency")
    for option in given:
        if view is not None and option in _REFUSED.get(view, ()):
            raise UsageError(f"{option} does not go with {view}; leave out one of them")
    if view in ("--per-sample", "--data") and destination.format in BINARY_FORMATS:
        raise UsageError(f"{view} goes with table, json, jsonl and csv, not with {destination.format}")
    if view == "--data":
        chosen_options = dict(given_options(options.context))
        for name in ("input", "shape", "target"):
            if name in chosen_options:
                raise UsageError(f"--{name} does not go with --data, which has images and labels; leave it out")
        if "loss" in chosen_options and options.loss is not Loss.CROSS_ENTROPY:
            raise UsageError(
                f"--loss {options.loss.value} takes no labels; with --data the loss is cross-entropy, leave it out"
            )
    return view


def write_samples(
    destination: Output,
    ranking: RankingOptions,
    run: Pass,
    gradients: Gradients,
    samples: Sequence[SampleGradient],
    document: dict[str, Any],
) -> None:
    """A record for each image: in JSON with `norms`, in tables and csv with a column for each parameter instead."""
    from gradcli.inspection.gradients.statistics import norm_of

    batch_norm = norm_of([gradients.arrays[name] for name in gradients.parameters])
    records = ranking.ranked([dataclasses.asdict(sample) for sample in samples])
    columns = [*SAMPLE_COLUMNS]
    if destination.format in ("table", "csv"):
        records = [record | record.pop("norms") for record in records]
        for place, name in enumerate(gradients.parameters):  # a narrow terminal has room for the first ones
            columns.append(Column(name, format=".3g", optional=10 + place))
    destination.write_records(
        records,
        columns,
        document=document | {"grad_norm": batch_norm},
        records_field="samples",
        caption=f"loss {gradients.loss:.6g}, gradient norm {batch_norm:.6g}, {run.describe()}",
    )


def write_noise(
    destination: Output,
    ranking: RankingOptions,
    options: PassOptions,
    data: str,
    *,
    patterns: Sequence[str],
    batches: int | None,
    batch_size: int,
) -> None:
    """A record for each parameter: how far its gradients agree over the batches of a data set."""
    from gradcli.inspection.gradients.noise import gradient_noise, open_batches

    settings = dataclasses.replace(options.settings(), loss="cross-entropy")
    source = open_batches(settings, data, batch_size=batch_size, batches=batches)
    with progress(f"gradients of {data}", len(source.batches), unit="batches") as advance:
        found = gradient_noise(source, patterns, on_batch=lambda: advance(1))
    records = ranking.ranked([dataclasses.asdict(each) for each in found.parameters])
    document = {
        "data": data,
        "weights": source.loaded.weights,
        "mode": settings.mode or "train",
        "frozen_batch_norms": source.frozen_batch_norms,
        "kernels": settings.kernels,
        "seconds": found.seconds,
        "batches": len(found.losses),
        "batch_size": batch_size,
        "images": found.images,
        "losses": found.losses,
        "cosines": found.cosines,
        "total": found.total,
        "skipped": [{"path": path, "reason": reason} for path, reason in found.skipped.items()],
    }
    total = found.total
    destination.write_records(
        records,
        NOISE_COLUMNS,
        document=document,
        records_field="gradients",
        caption=f"{len(found.losses)} batches of {batch_size} of {data}: all parameters together have signal to noise "
        f"{total.signal_to_noise:.3g}, cosine {total.cosine:.3f}; weights {source.loaded.weights}, "
        f"{document['mode']} mode, {settings.kernels} kernels",
    )
