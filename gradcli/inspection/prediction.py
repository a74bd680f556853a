"""A prediction in words: the classes with the highest scores, of rows of scores and of image files."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcli.data.batches import batch_indices
from gradcli.data.image_paths import image_files
from gradcli.data.loader import Loader
from gradcli.data.preprocessing import Preprocessing
from gradcli.inspection.class_scores import class_scores
from gradcli.kernels.policy import Kernels
from gradcli.models import LoadedModel
from gradcli.ops.softmax import softmax


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """One of the top classes of one image: its rank from 1, index, name where known, score and probability."""

    image: str
    rank: int
    index: int
    name: str | None
    score: float
    probability: float


@dataclass(frozen=True, kw_only=True)
class ImagePrediction:
    """What an image shows: its top classes, best first; or why it can't be read, and then no classes."""

    path: str
    classes: tuple[ClassScore, ...] = ()
    error: str | None = None


def predict_images(
    loaded: LoadedModel,
    paths: Iterable[Sequence[str]],
    preprocessing: Preprocessing,
    *,
    top: int = 5,
    batch_size: int = 8,
    full_batches: bool = False,
    strict: bool = False,
    kernels: Kernels = "fast",
) -> Generator[ImagePrediction]:
    """The prediction for each image file, in their order, as soon as its batch is computed.

    The paths come some at a time, and those that came are answered before more are asked for. The batches of such a
    chunk are computed as equally large ones: of `batch_size`, or of fewer where the chunk has no more. With
    `full_batches` they are of `batch_size` always, so that the last digits of an image's prediction don't depend on
    what else came with it: for lists that come as their writer finds the time. With `strict` an image that can't be
    read is a DataError; otherwise its prediction tells what is wrong.
    """
    for chunk in paths:
        dataset = image_files("images", chunk, preprocessing)
        loader = Loader(dataset, strict=strict)
        batches = batch_indices(np.arange(len(chunk)), batch_size)
        fill_to = batch_size if full_batches else min(batch_size, len(chunk))
        with closing(class_scores(loaded, loader, batches, kernels=kernels, fill_to=fill_to)) as results:
            for positions, (batch, scores) in zip(batches, results, strict=True):
                names = [chunk[index] for index in batch.indices]
                best = iter(_best_classes(scores, names, loaded.classes, top))
                readable = set(batch.indices.tolist())
                for position in positions.tolist():
                    path = chunk[position]
                    if position in readable:
                        yield ImagePrediction(path=path, classes=tuple(next(best)))
                    else:
                        yield ImagePrediction(path=path, error=loader.skipped[path])


def top_classes(
    prediction: np.ndarray[Any, Any], images: list[str], classes: list[str] | None, count: int
) -> list[ClassScore]:
    """The `count` best classes of each row of scores (N, classes), best first, the lower index first among equals."""
    return [record for records in _best_classes(prediction, images, classes, count) for record in records]


def _best_classes(
    prediction: np.ndarray[Any, Any], images: Sequence[str], classes: Sequence[str] | None, count: int
) -> list[list[ClassScore]]:
    """The best classes of each row of scores."""
    probabilities = softmax(prediction, 1)
    records = []
    for row, image in enumerate(images):
        best = np.argsort(-prediction[row], kind="stable")[:count]
        records.append(
            [
                ClassScore(
                    image=image,
                    rank=rank,
                    index=int(index),
                    name=classes[index] if classes is not None else None,
                    score=float(prediction[row, index]),
                    probability=float(probabilities[row, index]),
                )
                for rank, index in enumerate(best, start=1)
            ]
        )
    return records
