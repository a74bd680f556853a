"""What the measurements of weights share: options, the networks compared, their features, and how results are given."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from linear_classifier import Features, Labels

from gradcli import __version__
from gradcli.data.dataset import Dataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import GradcliError
from gradcli.inspection.features import FeatureSource
from gradcli.inspection.model_data import file_preprocessing
from gradcli.models import LoadedModel, load_model

RANDOM_WEIGHTS = ("random:0", "random:1", "random:2")
IMAGE_SIZES = (32, 64)
FOLDS = 5


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options that all measurements have; the first line of `description` is the help's."""
    result = argparse.ArgumentParser(description=description.partition("\n")[0])
    result.add_argument(
        "-w", "--weights", required=True, metavar="NAME|PATH", help="the weights to measure, as gradcli takes them"
    )
    result.add_argument(
        "--image-sizes",
        type=int,
        nargs="+",
        default=list(IMAGE_SIZES),
        metavar="PIXELS",
        help=f"height and width of the images (default: {' '.join(map(str, IMAGE_SIZES))})",
    )
    result.add_argument("--json", type=_file_path, metavar="PATH", help="write every number here too")
    return result


def random_models() -> Iterator[LoadedModel]:
    """The networks that weights are compared with, whose values nobody has trained."""
    yield from map(load_model, RANDOM_WEIGHTS)


def straight_preprocessing(loaded: LoadedModel, image_size: int) -> Preprocessing:
    """Straight to a size, without a crop; then mean and standard deviation of the weights, ImageNet's without any."""
    return replace(file_preprocessing(loaded), size=(image_size, image_size), resize=None)


def features_of(loaded: LoadedModel, dataset: Dataset) -> Features:
    """The features (n, 512) that the model's classifier sees of all images, from gradcli's cache if they are there.

    DataError for an image that can't be read, DivergedError for features that are not finite.
    """
    height, width = dataset.preprocessing.size
    print(f"{loaded.weights}: {len(dataset)} images of {dataset.source} at {height}x{width}", file=sys.stderr)
    table = FeatureSource([("images", dataset)]).compute(loaded, strict=True)
    return np.concatenate(list(table.blocks()))


def stratified_order(labels: Labels, seed: int) -> Labels:
    """The positions of all images in a random order, each stretch of which holds every class by its share.

    The same with any version of NumPy.
    """
    keys = np.random.PCG64(seed).random_raw(len(labels))
    places = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        places[members[np.argsort(keys[members], kind="stable")]] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((keys, places))


def consecutive_folds(count: int) -> Labels:
    """For images in a stratified order: the number of the part, of `FOLDS`, that each belongs to."""
    return np.arange(count) * FOLDS // count


def accuracy(scores: Features, labels: Labels) -> float:
    """The share of images, in percent, whose highest score (n, classes) is their class's."""
    return 100 * float((scores.argmax(axis=1) == labels).mean())


def mean_and_spread(values: Sequence[float]) -> str:
    """The mean, and the standard deviation of several."""
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def best_of(accuracies: dict[str, list[float]]) -> str:
    """The name with the highest mean; of equals the first."""
    return max(accuracies, key=lambda name: statistics.fmean(accuracies[name]))


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_json(path: Path | None, measurement: str, report: dict[str, Any]) -> None:
    """Write what was measured where `--json` asks for it."""
    if path is not None:
        document = {"measurement": measurement, "gradcli": __version__, **report}
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a program to its end; an error of gradcli's is one line on standard error, with gradcli's exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        main()
    except GradcliError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit()


def _file_path(text: str) -> Path:
    """A file to write: that its folder is missing is found out before the measurement, not after it."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no file in a folder that exists")
    return path
