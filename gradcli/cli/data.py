"""`gradcli data list`, `fetch` and `inspect`: the data sets that are known by name, and what one holds."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from gradcli.cli.fetching import FetchFormat, ForceOption, check_url
from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT
from gradcli.cli.plain_values import without_control_characters
from gradcli.cli.progress import progress
from gradcli.cli.tables import Column

if TYPE_CHECKING:
    from gradcli.data.inspection import DatasetReport

logger = logging.getLogger(__name__)

ListFormat = Literal["table", "json", "jsonl", "csv"]
InspectFormat = Literal["table", "json", "jsonl", "csv"]

MOST_WARNINGS = 20

LIST_COLUMNS = [
    Column("name"),
    Column("title", optional=3),
    Column("train", format=","),
    Column("test", format=","),
    Column("size", "bytes", ",", optional=1),
    Column("licence", optional=2),
    Column("place"),
]
FETCH_COLUMNS = [
    Column("name"),
    Column("path"),
    Column("size", "bytes", ","),
]
CLASS_COLUMNS = [
    Column("name", "class"),
    Column("train", format=","),
    Column("validation", format=","),
    Column("test", format=","),
]


def list_datasets(output: OutputOptions, format: Annotated[ListFormat | None, FORMAT] = None) -> None:
    """The data sets that commands know by name, and where each of them is.

    \b
    bundled     comes with gradcli
    cached      in gradcli's cache, ready to use
    installed   put there by the operating system's package, and used from there
    not here    fetched by `gradcli data fetch`
    """
    destination = output.resolve(format, get_args(ListFormat))
    from gradcli.data.known_datasets import data_folder, list_known_datasets

    destination.write_records(
        list_known_datasets(),
        LIST_COLUMNS,
        document={"cache": data_folder()},
        records_field="datasets",
        caption=f"cache {data_folder()}",
    )


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of `gradcli data list`.")],
    output: OutputOptions,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Where to download it instead: a mirror of the file, or of the folder if there are several files.",
        ),
    ] = None,
    force: ForceOption = False,
    format: Annotated[FetchFormat | None, FORMAT] = None,
) -> None:
    """Download known data sets into the cache, and verify them.

    A download that broke off goes on where it stopped; what the operating system's package has installed is taken
    instead. The SHA-256 of every file is checked. HTTPS_PROXY and GRADCLI_HOME are honoured.

    \b
    gradcli data fetch fashion-mnist cifar10
    gradcli data fetch cifar10 --url https://mirror.example/cifar-10-binary.tar.gz
    """
    destination = output.resolve(format, get_args(FetchFormat))
    check_url(url, names, "data set")
    from gradcli.data.known_datasets import fetch_known_datasets

    destination.write_records(fetch_known_datasets(names, url=url, force=force), FETCH_COLUMNS)


def inspect(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A name of `gradcli data list`, a folder of class folders, IDX or CIFAR files, .npz, or .csv.",
        ),
    ],
    output: OutputOptions,
    format: Annotated[InspectFormat | None, FORMAT] = None,
) -> None:
    """What a data set holds, and what is wrong with it; every image is decoded.

    The images of each class and split; below, and in JSON with every name, sizes, modes, files that can't be decoded,
    and images that occur twice, within a split or in two of them.

    \b
    gradcli data inspect photos/
    gradcli data inspect photos/ --json | jq '.duplicates[].images'
    """
    destination = output.resolve(format, get_args(InspectFormat))
    from gradcli.data.inspection import inspect_dataset
    from gradcli.data.sources import open_dataset

    dataset = open_dataset(data)
    total = sum(map(len, dataset.splits().values()))
    with progress(f"inspecting {data}", total) as advance:
        report = inspect_dataset(dataset, advance)
    document = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    del document["classes"]
    destination.write_records(
        report.classes, CLASS_COLUMNS, document={"images": report.images, **document}, records_field="classes"
    )
    _log_findings(report)


def _log_findings(report: DatasetReport) -> None:
    """What is wrong, by name as far as it isn't much, and then the whole in numbers."""
    wrong = [f"{image.path}: {image.reason}" for image in report.unreadable]
    for group in report.duplicates:
        if group.across_splits or group.across_classes:
            first = group.images[0]
            other = next(
                image for image in group.images if (image.split, image.class_name) != (first.split, first.class_name)
            )
            wrong.append(
                f"{other.path} ({other.split}, class {other.class_name}) is the same image as "
                f"{first.path} ({first.split}, class {first.class_name})"
            )
    for line in wrong[:MOST_WARNINGS]:
        logger.warning("%s", without_control_characters(line))
    if len(wrong) > MOST_WARNINGS:
        logger.warning("%d more of the kind; --json has all", len(wrong) - MOST_WARNINGS)
    for line in _summary(report):
        logger.info("%s", line)


def _summary(report: DatasetReport) -> list[str]:
    """The findings beside the counts, in lines."""
    lines = [f"{report.images:,} images in {len(report.classes):,} classes"]
    if report.imbalance is not None and report.imbalance > 1:
        lines[0] += f"; the largest has {report.imbalance:.3g} times the images of the smallest"
    if report.most_common_size and report.smallest_size and report.largest_size:
        sizes = [f"{size.width}x{size.height}" for size in (report.most_common_size, report.smallest_size)]
        largest = f"{report.largest_size.width}x{report.largest_size.height}"
        if report.distinct_sizes == 1:
            lines.append(f"all {sizes[0]} pixels")
        else:
            lines.append(f"{report.distinct_sizes:,} sizes from {sizes[1]} to {largest}, most often {sizes[0]}")
        lines[-1] += f"; {', '.join(f'{mode} {count:,}' for mode, count in report.modes.items())}"
    lines.append(f"{len(report.unreadable):,} unreadable")
    repeated = sum(len(group.images) - 1 for group in report.duplicates)
    across_splits = sum(group.across_splits for group in report.duplicates)
    across_classes = sum(group.across_classes for group in report.duplicates)
    lines.append(f"{repeated:,} repeated ({across_splits:,} across splits, {across_classes:,} across classes)")
    return lines
