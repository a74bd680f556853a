"""`gradcli features`: what the classifier sees of images, for other programs."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, KernelsOption, NoVerifyOption, WeightsOption
from gradcli.cli.progress import progress
from gradcli.cli.tables import Column
from gradcli.data.split_names import Split
from gradcli.errors import DataError
from gradcli.models.weights_source import DEFAULT_WEIGHTS

logger = logging.getLogger(__name__)

FeaturesFormat = Literal["jsonl", "json", "csv", "npy", "npz"]


def features(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA|PATH...",
            help="A data set as evaluate takes it; or images, folders of images, or - for a list on standard input.",
        ),
    ],
    output: OutputOptions,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    no_verify: NoVerifyOption = False,
    split: Annotated[Split | None, typer.Option("--split", help="Which part of a data set. Left out: all.")] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="The list ends each path with a null byte, not a line's end.")
    ] = False,
    image_size: Annotated[
        int | None, typer.Option(min=8, metavar="INT", help="Pixels of each side. Left out: as the weights say.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse images that can't be read.")] = False,
    no_feature_cache: Annotated[
        bool, typer.Option("--no-feature-cache", help="Compute everything, and keep nothing on disk.")
    ] = False,
    kernels: KernelsOption = "fast",
    format: Annotated[FeaturesFormat | None, FORMAT] = None,
) -> None:
    """The 512 numbers that the classifier sees of each image.

    The network is in evaluation mode. npy holds the features (N, 512); npz `features` and `path`, of a data set also
    `labels`, `split` and `classes`; csv and JSON have a record for each image. They are kept in a cache, which finetune
    shares. An image that can't be read is named and left out; with PATHs, the exit code is then 3.

    \b
    gradcli features digits -w runs/first -o digits.npz
    gradcli features photos/ --format csv > features.csv
    ls *.jpg | gradcli features - --json | jq -c '[.path, .features[0]]'
    """
    destination = output.resolve(format, get_args(FeaturesFormat))
    from gradcli.checkpoints.quoting import some_names
    from gradcli.inspection.features import FeatureSource
    from gradcli.models import load_model

    loaded = load_model(weights, verify=not no_verify, needs_head=False)
    source = FeatureSource.open(data, loaded, split=split, image_size=image_size, separator=b"\0" if null else b"\n")
    with progress("computing features", len(source)) as advance:
        table = source.compute(loaded, strict=strict, kernels=kernels, keep=not no_feature_cache, on_batch=advance)
    caption = f"weights {loaded.weights}, {kernels} kernels"
    if destination.format in ("npy", "npz"):
        destination.write_rows("features", table.shape, table.blocks(), table.columns(), caption=caption)
    else:
        count = table.shape[1]
        named = ["split", "label", "class"] if table.labelled else []
        columns = [Column(name) for name in ("path", *named, *(f"feature_{index}" for index in range(count)))]
        with destination.record_writer(columns, caption=caption) as write:
            for record in table.records():
                about: dict[str, Any] = {"path": record.path}
                if destination.format != "csv":
                    about["weights"] = loaded.weights
                if table.labelled:
                    about |= {"split": record.split, "label": record.label, "class": record.class_name}
                if destination.format == "csv":
                    write(about | {f"feature_{index}": value for index, value in enumerate(record.features)})
                else:
                    write(about | {"features": record.features})
    if table.skipped:
        if not table.labelled:
            raise DataError(f"{len(table.skipped)} of {len(source)} images can't be read: {some_names(table.skipped)}")
        logger.info("%d of %d images can't be read and are left out", len(table.skipped), len(source))
