"""Progress of a training run: a bar for the images whose features are computed, then one for all epochs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from gradcli.cli.progress import Advance, progress

if TYPE_CHECKING:
    from gradcli.training.finetuning.records import EpochProgress

SECONDS_BETWEEN_LINES = 60.0
"""Off a terminal: each epoch has a line of its own when it is done, so that only a long one needs others."""


class TrainingProgress:
    """Shows how far a run is; a context manager that takes the bar away. There is one bar at a time.

    `images` are those of an epoch, to train and to validate with; `epochs_done` are behind a run that goes on.
    """

    def __init__(self, epochs: int, images: int, epochs_done: int = 0) -> None:
        self._epochs = epochs
        self._images = images
        self._done_before = epochs_done * images
        self._bar: _Bar | None = None

    def features(self, done: int, total: int) -> None:
        """So many images' features are there, of so many."""
        if self._bar is None:
            self._bar = _Bar("features of the frozen layers", total, 0)
        self._bar.move_to(done)
        if done == total:
            self._close()

    def batch(self, epoch: EpochProgress) -> None:
        """The epoch is so far, after one of its batches."""
        if self._bar is None:
            self._bar = _Bar("training", self._epochs * self._images, self._done_before)
        self._bar.move_to(
            (epoch.epoch - 1) * self._images + epoch.images,
            f"epoch {epoch.epoch}/{self._epochs}, loss {epoch.loss:.4g}, accuracy {100 * epoch.accuracy:.1f} %",
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()


class _Bar:
    """A bar on which to say where it is, not how far it went."""

    def __init__(self, description: str, total: int, done: int) -> None:
        self._stack = ExitStack()
        self._done = done
        self._advance: Advance = self._stack.enter_context(
            progress(description, total, done=done, unit="images", seconds_between_lines=SECONDS_BETWEEN_LINES)
        )

    def move_to(self, done: int, status: str = "") -> None:
        self._advance(done - self._done, status)
        self._done = done

    def close(self) -> None:
        self._stack.close()
