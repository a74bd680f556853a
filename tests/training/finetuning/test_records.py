"""Which epoch is best, when nothing gets better any more, and means over batches."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.training.finetuning.records import EpochRecord, Tally, best_record, epochs_without_progress


def records(*results: tuple[float, float]) -> list[EpochRecord]:
    """Records of epochs with these validation accuracies and losses."""
    return [
        EpochRecord(
            epoch=epoch,
            train_loss=1.0,
            train_accuracy=0.5,
            val_loss=loss,
            val_accuracy=accuracy,
            lr=0.1,
            seconds=1.0,
            kernels="fast",
        )
        for epoch, (accuracy, loss) in enumerate(results, start=1)
    ]


@pytest.mark.parametrize(
    ("results", "best"),
    [
        ([(0.5, 1.0)], 1),
        ([(0.5, 1.0), (0.6, 2.0)], 2),
        ([(0.6, 2.0), (0.5, 1.0)], 1),
        ([(0.5, 1.0), (0.5, 0.9), (0.5, 0.9)], 2),
    ],
    ids=["one", "more accurate", "less loss alone", "less loss at equal accuracy, the first of equals"],
)
def test_the_best_epoch(results: list[tuple[float, float]], best: int) -> None:
    record = best_record(records(*results))
    assert record is not None
    assert record.epoch == best


def test_of_no_epochs_none_is_best() -> None:
    assert best_record([]) is None


@pytest.mark.parametrize(
    ("results", "count"),
    [
        ([], 0),
        ([(0.5, 1.0)], 0),
        ([(0.5, 1.0), (0.5, 1.0)], 1),
        ([(0.5, 1.0), (0.4, 1.1), (0.3, 1.2)], 2),
        ([(0.5, 1.0), (0.4, 1.1), (0.5, 0.9)], 0),
        ([(0.5, 1.0), (0.6, 1.1), (0.6, 1.0), (0.6, 1.05)], 2),
    ],
)
def test_epochs_without_a_better_loss_or_accuracy(results: list[tuple[float, float]], count: int) -> None:
    assert epochs_without_progress(records(*results)) == count


def test_a_tally_is_the_mean_over_images() -> None:
    tally = Tally()
    scores = np.array([[1, 0], [0, 1], [2, 1]], np.float32)
    tally.add(1.0, 3.0, scores, np.array([0, 1, 1]))
    tally.add(2.0, 1.0, scores[:1], np.array([1]))
    assert (tally.mean_loss, tally.accuracy) == (1.25, 0.5)
    both = Tally(4.0, 2.0, 2, 2)
    both.include(tally)
    assert both == Tally(9.0, 6.0, 4, 6)
