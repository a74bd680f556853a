"""What a run keeps count of: sums over an epoch's batches, records of epochs, which was best, when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcli.kernels.policy import Kernels


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What an epoch came to: mean losses, shares of images classified right, seconds.

    `lr` is the learning rate of its last step, in a run with `--head-lr` that of the other layers if they train.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    kernels: Kernels


class EpochProgress(NamedTuple):
    """How far an epoch is: its images so far, validation included, and what training on them came to on average."""

    epoch: int
    images: int
    loss: float
    accuracy: float


@dataclass
class Tally:
    """Sums over batches: losses times the weights that they are means over, these weights, hits and images."""

    loss: float = 0.0
    weight: float = 0.0
    hits: int = 0
    images: int = 0

    def add(self, loss: float, weight: float, scores: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Add a batch: its mean loss over images of this weight together, scores (n, classes) and labels (n,)."""
        self.loss += loss * weight
        self.weight += weight
        self.hits += int(np.count_nonzero(scores.argmax(axis=1) == labels))
        self.images += len(labels)

    def include(self, other: Tally) -> None:
        """Add another's sums."""
        self.loss += other.loss
        self.weight += other.weight
        self.hits += other.hits
        self.images += other.images

    @property
    def mean_loss(self) -> float:
        """The mean loss of all images."""
        return self.loss / self.weight

    @property
    def accuracy(self) -> float:
        """The share of images whose largest score is their class's."""
        return self.hits / self.images


def is_better(record: EpochRecord, best: EpochRecord) -> bool:
    """Whether an epoch's weights are kept instead of an earlier one's: more accurate, or as accurate at less loss."""
    return (record.val_accuracy, -record.val_loss) > (best.val_accuracy, -best.val_loss)


def best_record(records: Sequence[EpochRecord]) -> EpochRecord | None:
    """The record of the best epoch, the first of equal ones; None of none."""
    best: EpochRecord | None = None
    for record in records:
        if best is None or is_better(record, best):
            best = record
    return best


def epochs_without_progress(records: Sequence[EpochRecord]) -> int:
    """How many epochs at the end brought neither a lower validation loss nor a higher accuracy than all before them."""
    count, lowest, highest = 0, float("inf"), -1.0
    for record in records:
        progress = record.val_loss < lowest or record.val_accuracy > highest
        count = 0 if progress else count + 1
        lowest, highest = min(lowest, record.val_loss), max(highest, record.val_accuracy)
    return count
