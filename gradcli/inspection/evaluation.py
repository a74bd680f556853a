"""How well a model tells the classes of labelled images apart: loss, accuracies, the confusion matrix and its rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor
from gradcli.data.batches import batch_indices
from gradcli.data.dataset import Dataset
from gradcli.data.loader import Loader
from gradcli.errors import DataError
from gradcli.inspection.class_scores import class_scores
from gradcli.kernels.policy import Kernels
from gradcli.models import LoadedModel
from gradcli.nn.functional import cross_entropy


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """How one class came off.

    `support` is how many images it has, `precision` the share of the images predicted to be of it that are, `recall`
    the share of its images that are predicted to be (the accuracy within the class), `f1` the harmonic mean of both.
    None where the share is one of nothing.
    """

    index: int
    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluate` finds.

    `loss` is the mean cross-entropy, `accuracy` the share of images whose highest score is their class's,
    `top_accuracy` of those where that is among the `top` highest. The macro averages are over the classes that have
    images, each weighing the same; a precision that doesn't exist counts as 0 there. `confusion` (classes, classes)
    counts images, row by their class and column by the predicted one. `skipped` tells the images that can't be read,
    and why.
    """

    images: int
    loss: float
    accuracy: float
    top: int
    top_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    classes: tuple[ClassMetrics, ...]
    confusion: NDArray[np.int64]
    skipped: dict[str, str]


def evaluate(
    loaded: LoadedModel,
    parts: Sequence[Dataset],
    *,
    batch_size: int = 64,
    top: int = 5,
    strict: bool = False,
    kernels: Kernels = "fast",
    on_batch: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """The evaluation of a model, in evaluation mode, on the images of one or more parts of a data set.

    Labels index the model's outputs, whose names are the parts' classes. Among equal scores the class of the lower
    index counts as the higher one. `on_batch` is called with the number of images done. With `strict` an image that
    can't be read is a DataError, and so are images none of which can be; DivergedError for scores that are not finite.
    """
    count = loaded.num_classes
    confusion = np.zeros((count, count), np.int64)
    loss, top_hits = 0.0, 0
    skipped: dict[str, str] = {}
    for part in parts:
        loader = Loader(part, strict=strict)
        batches = batch_indices(np.arange(len(part)), batch_size)
        with closing(class_scores(loaded, loader, batches, kernels=kernels)) as results:
            for wanted, (batch, scores) in zip(batches, results, strict=True):
                if len(batch):
                    losses = cross_entropy(Tensor(scores), Tensor(batch.labels), reduction="none").array
                    loss += float(losses.sum(dtype=np.float64))
                    top_hits += int(np.count_nonzero(_ranks(scores, batch.labels) < top))
                    np.add.at(confusion, (batch.labels, scores.argmax(axis=1)), 1)
                on_batch(len(wanted))
        skipped |= loader.skipped
    images = int(confusion.sum())
    if images == 0:
        raise DataError(f"{parts[0].source}: none of its {sum(map(len, parts))} images can be read")
    classes = tuple(_class_metrics(confusion, parts[0].classes))
    present = [metrics for metrics in classes if metrics.support]
    return Evaluation(
        images=images,
        loss=loss / images,
        accuracy=int(np.trace(confusion)) / images,
        top=top,
        top_accuracy=top_hits / images,
        macro_precision=_mean([metrics.precision for metrics in present]),
        macro_recall=_mean([metrics.recall for metrics in present]),
        macro_f1=_mean([metrics.f1 for metrics in present]),
        classes=classes,
        confusion=confusion,
        skipped=skipped,
    )


def _ranks(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes come before each image's own, by score and among equals by index; scores (n, classes)."""
    own = scores[np.arange(len(labels)), labels][:, None]
    lower_index = np.arange(scores.shape[1]) < labels[:, None]
    ranks: NDArray[np.int64] = np.count_nonzero((scores > own) | ((scores == own) & lower_index), axis=1)
    return ranks


def _class_metrics(confusion: NDArray[np.int64], names: Sequence[str]) -> Iterator[ClassMetrics]:
    supports, predictions = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    for index, hits in enumerate(np.diagonal(confusion).tolist()):
        support, predicted = supports[index], predictions[index]
        yield ClassMetrics(
            index=index,
            name=names[index],
            precision=_share(hits, predicted),
            recall=_share(hits, support),
            f1=_share(2 * hits, support + predicted),
            support=support,
        )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(shares: Sequence[float | None]) -> float:
    return sum(share or 0.0 for share in shares) / len(shares)
