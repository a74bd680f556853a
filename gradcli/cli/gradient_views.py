"""What `gradcli grads` writes of single images, and of batches of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcli.cli.gradient_captions import describe_gradients, name_hidden
from gradcli.cli.option_groups import PassOptions
from gradcli.cli.output import Output
from gradcli.cli.progress import progress
from gradcli.cli.ranking_options import RankingOptions
from gradcli.cli.tables import Column

if TYPE_CHECKING:
    from gradcli.inspection.gradients.collection import Gradients
    from gradcli.inspection.gradients.per_sample import SampleGradient
    from gradcli.training.passes import Pass

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
        caption=lambda hidden: describe_gradients(run, gradients) + name_hidden(hidden, gradients.parameters),
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
    together = (
        "the parameter has" if len(found.parameters) == 1 else f"{len(found.parameters)} parameters together have"
    )
    destination.write_records(
        records,
        NOISE_COLUMNS,
        document=document,
        records_field="gradients",
        caption=f"{len(found.losses)} batches of {batch_size} of {data}: {together} signal to noise "
        f"{total.signal_to_noise:.3g}, cosine {total.cosine:.3f}; weights {source.loaded.weights}, "
        f"{document['mode']} mode, {settings.kernels} kernels",
    )
