"""TensorBoard's event files beside a run's other records, written by the optional package tensorboardX."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Self

from gradcli.errors import DataError, UsageError
from gradcli.training.finetuning.records import EpochRecord

# The curves by name in TensorBoard, where those of one prefix share a panel, and the record's field of each.
_CURVES = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "val_accuracy",
    "learning_rate": "lr",
}


class EventFile:
    """A file of the curves of a run's epochs, in the run's folder; a context manager that closes it.

    UsageError if the package is missing. The file appears with the first record; those that earlier files hold of this
    epoch and later ones no longer count for TensorBoard, as after a resume.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboardX") is None:
            raise UsageError("--tensorboard: needs the package tensorboardX; pip install 'gradcli[tensorboard]'")
        self._folder = folder
        self._writer: Any = None

    def add(self, record: EpochRecord) -> None:
        """Append an epoch's values, so that TensorBoard sees them at once; DataError if they can't be written."""
        try:
            if self._writer is None:
                from tensorboardX import SummaryWriter

                self._writer = SummaryWriter(str(self._folder), purge_step=record.epoch)
            for name, field in _CURVES.items():
                self._writer.add_scalar(name, getattr(record, field), record.epoch)
            self._writer.flush()
        except OSError as error:
            raise DataError(f"{self._folder}: TensorBoard's events cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.close()
